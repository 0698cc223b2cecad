/** A model file in an interpreter: what its signatures say of a state, and the weights that are loaded. */
import {Downlink} from './downlink.js';
import {InputError, RefusedError} from './errors.js';
import {padHistory} from './guard.js';
import {SignatureRunner} from './runner.js';
import {DeviceState} from './state.js';
import {encodeUplink} from './uplink.js';

/** @typedef {import('./runner.js').Values} Values */

export class LoadedModel {
  /**
   * @param {import('./model_file.js').ModelFile} file
   * @param {import('./runner.js').EdgeInterpreter} interpreter of that file
   */
  constructor(file, interpreter) {
    this.file = file;
    this.metadata = file.metadata;
    this.runner = new SignatureRunner(interpreter, file.metadata);
  }

  /** A new device with the weights that are loaded. @param {number} user */
  async begin(user) {
    return new DeviceState({
      model: this.file.sha256,
      layout: this.metadata.layout,
      user,
      profile: this.file.profileRows({}),
      history: new Int32Array(0),
      times: [],
      olderItems: 0,
      values: this.metadata.trainable ? await this.savedValues() : new Float32Array(0),
      downlink: null,
      round: 0,
      columns: this.metadata.outcomes.columns,
    });
  }

  /** `[S] float32`: weights, optimiser slots and step. */
  async savedValues() {
    const state = /** @type {Float32Array} */ ((await this.runner.read('save')).state);
    if (!state.every(Number.isFinite)) {
      throw new RefusedError('save: expected finite values, the model answered others; open it again');
    }
    return state;
  }

  /** `[P] float32`. */
  async weights() {
    return /** @type {Float32Array} */ ((await this.runner.read('get_weights')).weights);
  }

  /** @param {Float32Array} weights `[P]` */
  async setWeights(weights) {
    if (weights.length !== this.metadata.weights) {
      throw new InputError(
        `weights: expected ${this.metadata.weights} values, got ${weights.length}; do they belong to this model?`,
      );
    }
    await this.#accepted('set_weights', {weights});
  }

  /** Replaces the weights at the front, a federated mean. @param {Float32Array} shared `[P_shared]` */
  async setSharedWeights(shared) {
    if (shared.length !== this.metadata.sharedWeights) {
      throw new InputError(
        `shared weights: expected ${this.metadata.sharedWeights} values, got ${shared.length}; do they belong to ` +
          'this model?',
      );
    }
    const weights = await this.weights();
    weights.set(shared);
    await this.setWeights(weights);
  }

  /** Loads what `savedValues` gave. @param {Float32Array} values */
  restore(values) {
    return this.#accepted('restore', {state: values});
  }

  /** Profile and downlink, as the signatures read them. @param {DeviceState} state @returns {Record<string, Values>} */
  userInputs(state) {
    const {exchange, profile} = this.metadata;
    return {
      ...(profile.length > 0 && {profile: state.profile}),
      ...(state.downlink ?? Downlink.unknownUser(exchange)).inputs(),
    };
  }

  /** The newest items. @param {DeviceState} state */
  history(state) {
    return padHistory(state.history, this.metadata.historyLength);
  }

  /**
   * Logits and probabilities of `rows`, in portions of a static file's size, and the logits of further targets, `[rows, T]`.
   *
   * @param {Record<string, Values>} inputs all but the candidates
   * @param {Int32Array} rows
   */
  async scored(inputs, rows) {
    const portion = this.metadata.rowsOf('score', 'candidates') ?? rows.length;
    const logits = new Float32Array(rows.length);
    const probabilities = new Float32Array(rows.length);
    const width = this.metadata.targets.length;
    const targets = new Float32Array(rows.length * width);
    for (let start = 0; start < rows.length; start += portion) {
      const candidates = new Int32Array(portion);
      candidates.set(rows.subarray(start, start + portion));
      const outputs = await this.runner.run('score', {...inputs, candidates});
      const used = Math.min(portion, rows.length - start);
      logits.set(outputs.logit.subarray(0, used), start);
      probabilities.set(outputs.probability.subarray(0, used), start);
      if (width > 0) targets.set(outputs.target_logits.subarray(0, used * width), start * width);
    }
    return {logits, probabilities, targets};
  }

  /**
   * The bytes that answer the downlink of a state.
   *
   * @param {DeviceState} state
   * @throws {InputError} when no downlink asked for anything.
   */
  async uplink(state) {
    const {exchange} = this.metadata;
    if (state.downlink === null || state.downlink.queries.length === 0) {
      throw new InputError('uplink: expected a downlink with queries, got none; call receive first');
    }
    const {queries} = state.downlink;
    const needsNoise = this.metadata.signature('uplink').inputs.some(({name}) => name === 'noise');
    const inputs = {
      ...this.userInputs(state),
      history: this.history(state),
      queries,
      ...(needsNoise && {noise: normalNumbers(queries.length * (exchange.embeddingDim + 1))}),
    };
    return encodeUplink(state.user, await this.runner.run('uplink', inputs), exchange);
  }

  /** Frees the interpreter. */
  close() {
    this.runner.close();
  }

  /**
   * @param {string} signature
   * @param {Record<string, Values>} inputs
   */
  async #accepted(signature, inputs) {
    if ((await this.runner.run(signature, inputs)).accepted[0] !== 1) {
      throw new RefusedError(
        `${signature}: expected finite values of plausible size, the model refused them and keeps its weights; fetch ` +
          'them again',
      );
    }
  }
}

/** Standard normal numbers that nobody can predict (Box and Muller). @param {number} count */
function normalNumbers(count) {
  return Float32Array.from({length: count}, () => {
    const [one, other] = crypto.getRandomValues(new Uint32Array(2));
    return Math.sqrt(-2 * Math.log((one + 1) / 2 ** 32)) * Math.cos((2 * Math.PI * other) / 2 ** 32);
  });
}
