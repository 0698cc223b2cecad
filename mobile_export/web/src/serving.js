/** What a device ranks with: its trained weights, or those that it started with where training did harm. */
import {clockReading} from './clock.js';
import {RefusedError} from './errors.js';
import {guardPlace, heldBack} from './guard.js';

/**
 * What the model says of a candidate; `known` is false for an item that the model does not have.
 *
 * @typedef {{item: string, logit: number, probability: number, known: boolean}} Score
 */

export class Serving {
  #loaded;
  /**
   * The newest state that was judged, and whether its start serves.
   *
   * @type {{state: import('./state.js').DeviceState, start: boolean} | null}
   */
  #judged = null;

  /** @param {import('./loaded_model.js').LoadedModel} loaded */
  constructor(loaded) {
    this.#loaded = loaded;
  }

  /**
   * Whether the start serves in the place of the trained weights, which rank the held-back positions lower.
   *
   * @param {import('./state.js').DeviceState} state whose weights are loaded
   */
  async servesStart(state) {
    const {metadata} = this.#loaded;
    if (state.start.length === 0 || !metadata.guards) return false;
    if (this.#judged?.state === state) return this.#judged.start;
    const held = heldBack(state, metadata);
    const trained = await this.#places(state, held);
    const start = held.length > 0 && trained > (await this.#atStart(state, () => this.#places(state, held)));
    this.#judged = {state, start};
    return start;
  }

  /**
   * @param {import('./state.js').DeviceState} state whose weights are loaded
   * @param {string[]} candidates tokens
   * @param {number} now second of the request
   * @returns {Promise<Score[]>}
   */
  async score(state, candidates, now) {
    const {file, metadata} = this.#loaded;
    const rows = Int32Array.from(candidates, (token) => file.itemRow(token));
    if (rows.length === 0) return [];
    const inputs = {
      ...this.#loaded.userInputs(state),
      history: this.#loaded.history(state),
      ...(metadata.readsClock && {clock: clockReading(state.times, now, metadata.historyLength)}),
    };
    const ask = () => this.#loaded.scored(inputs, rows);
    const {logits, probabilities} = (await this.servesStart(state)) ? await this.#atStart(state, ask) : await ask();
    if (!logits.every(Number.isFinite)) {
      throw new RefusedError('score: expected finite values, the model answered others; open it again');
    }
    return candidates.map((item, place) => ({
      item, logit: logits[place], probability: probabilities[place], known: rows[place] !== 0,
    }));
  }

  /**
   * Where the held-back items rank with the weights that are loaded, all places added up.
   *
   * @param {import('./state.js').DeviceState} state
   * @param {ReturnType<typeof heldBack>} held
   */
  async #places(state, held) {
    let sum = 0;
    for (const {history, candidates, clock} of held) {
      const inputs = {...this.#loaded.userInputs(state), history, clock};
      sum += guardPlace((await this.#loaded.scored(inputs, candidates)).logits);
    }
    return sum;
  }

  /**
   * Runs `block` with the starting weights; afterwards the interpreter has those of the state again.
   *
   * @template T
   * @param {import('./state.js').DeviceState} state
   * @param {() => Promise<T>} block
   */
  async #atStart(state, block) {
    const values = state.values.slice();
    values.set(state.start);
    try {
      await this.#loaded.restore(values);
      return await block();
    } finally {
      await this.#loaded.restore(state.values);
    }
  }
}
