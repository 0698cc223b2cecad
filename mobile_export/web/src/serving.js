/** What a device ranks with: its trained weights, or those that it started with where training did harm. */
import {clockReading} from './clock.js';
import {InputError, RefusedError} from './errors.js';
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
    // A history too short to hold back as many as wanted gave little to learn from: there a tie speaks for the start.
    const tie = held.length < metadata.trainingDefaults.guardPositions ? 1 : 0;
    const start = held.length > 0 && trained + tie > (await this.#atStart(state, () => this.#places(state, held)));
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
    const {file} = this.#loaded;
    const rows = Int32Array.from(candidates, (token) => file.itemRow(token));
    if (rows.length === 0) return [];
    const ask = () => this.#loaded.scored(this.#inputs(state, now), rows);
    const {logits, probabilities} = (await this.servesStart(state)) ? await this.#atStart(state, ask) : await ask();
    checkFinite(logits);
    return candidates.map((item, place) => ({
      item, logit: logits[place], probability: probabilities[place], known: rows[place] !== 0,
    }));
  }

  /**
   * The best items for the user, best first; of equal ones the lower row.
   *
   * @param {import('./state.js').DeviceState} state whose weights are loaded
   * @param {{k?: number, candidates?: string[], withMet?: boolean}} request
   * @param {number} now second of the request
   */
  async recommend(state, {k = 10, candidates, withMet = false}, now) {
    const {file, metadata} = this.#loaded;
    if (!Number.isInteger(k) || k < 1) throw new InputError(`recommend: expected k of 1 or more, got ${k}; 10 is usual`);
    const all = () => Array.from({length: metadata.itemRows - 1}, (_, place) => place + 1);
    const given = candidates?.map((token) => file.itemRow(token)).filter((row) => row !== 0);
    const met = new Set(withMet ? [] : state.history);
    const rows = [...new Set(given ?? all())].filter((row) => !met.has(row)).sort((one, other) => one - other);
    const scores = await this.score(state, rows.map((row) => /** @type {string} */ (file.itemToken(row))), now);
    return scores.sort((one, other) => other.logit - one.logit).slice(0, k);
  }

  /**
   * Logits of each further target, by its name, with the trained weights.
   *
   * @param {import('./state.js').DeviceState} state whose weights are loaded
   * @param {string[]} candidates tokens
   * @param {number} now second of the request
   * @returns {Promise<Record<string, Float32Array>>}
   */
  async targetLogits(state, candidates, now) {
    const {file, metadata: {targets: names}} = this.#loaded;
    if (names.length === 0) {
      throw new InputError(`targetLogits: expected a model of a run with samples.targets, ${file.name} has none`);
    }
    const rows = Int32Array.from(candidates, (token) => file.itemRow(token));
    const {targets} = await this.#loaded.scored(this.#inputs(state, now), rows);
    checkFinite(targets);
    const width = names.length;
    const of = (/** @type {number} */ head) => Float32Array.from(rows, (_, place) => targets[place * width + head]);
    return Object.fromEntries(names.map((name, head) => [name, of(head)]));
  }

  /**
   * What a request reads beside the candidates.
   *
   * @param {import('./state.js').DeviceState} state
   * @param {number} now
   */
  #inputs(state, now) {
    const {readsClock, historyLength} = this.#loaded.metadata;
    return {
      ...this.#loaded.userInputs(state),
      history: this.#loaded.history(state),
      ...(readsClock && {clock: clockReading(state.times, now, historyLength)}),
    };
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

/** @param {Float32Array} values */
function checkFinite(values) {
  if (!values.every(Number.isFinite)) {
    throw new RefusedError('score: expected finite values, the model answered others; open it again');
  }
}
