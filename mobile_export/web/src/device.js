/** A device in the browser: a model file, its interpreter, and the state that it keeps. */
import {interactionTimes, latestTime, possible} from './clock.js';
import {InputError} from './errors.js';
import {withInteractions, withOlder, withProfile} from './interactions.js';
import {MAX_INT} from './json.js';
import {contextCodes} from './kept_columns.js';
import {LoadedModel} from './loaded_model.js';
import {adopted} from './migration.js';
import {personalData} from './personal.js';
import {proofOf} from './sealed.js';
import {Serving} from './serving.js';
import {DeviceState} from './state.js';
import {trainRounds} from './training.js';
import {Turns} from './turns.js';
import {encodeUplinkRecord} from './uplink.js';

/**
 * A device. Calls run one after another, whatever their caller does meanwhile; each that changes the state has it on the
 * disk when its promise is kept, and one that throws has changed neither weights nor state.
 *
 *     const model = await ModelFile.fetch('/models/edge-mlp-trainable-int8-static.tflite');
 *     const states = await IndexedDbStates.open();
 *     const device = await EdgeDevice.open({
 *       model, user: 17, states: states.of(17),
 *       interpreter: await liteRtInterpreter(model, {wasm: '/litert/wasm/'}),
 *     });
 *     await device.interact(['tt0111161', 'tt0068646']);
 *     const best = await device.recommend({k: 10});
 */
export class EdgeDevice {
  #loaded;
  #serving;
  #states;
  #clock;
  #release;
  #metadata;
  #turns = new Turns();
  /** @type {DeviceState} */
  #current;
  /** @type {Uint8Array | null} */
  #proof;

  /**
   * Use `EdgeDevice.open`.
   *
   * @param {object} parts
   * @param {LoadedModel} parts.loaded
   * @param {import('./stores.js').StateStore} parts.states
   * @param {() => number} parts.clock
   * @param {() => void} parts.release
   * @param {DeviceState} parts.state
   * @param {Uint8Array | null} parts.proof
   * @param {import('./migration.js').Migration | null} parts.migration
   */
  constructor({loaded, states, clock, release, state, proof, migration}) {
    this.model = loaded.file;
    /** What became of the device where this opening took it over from another model; null elsewhere. */
    this.migration = migration;
    this.#metadata = loaded.metadata;
    this.#loaded = loaded;
    this.#serving = new Serving(loaded);
    this.#states = states;
    this.#clock = clock;
    this.#release = release;
    this.#current = state;
    this.#proof = proof;
  }

  /**
   * Opens a device: where `states` has none, a new one with the weights of the file.
   *
   * @param {object} given
   * @param {import('./model_file.js').ModelFile} given.model
   * @param {import('./runner.js').EdgeInterpreter} given.interpreter of that file, such as `liteRtInterpreter` makes;
   *   closed with the device
   * @param {import('./stores.js').StateStore} given.states the place of this device
   * @param {number} given.user the id that the cloud knows the user by
   * @param {Record<string, string>} [given.profile] replaces the kept profile, if given
   * @param {boolean} [given.adopt] whether to take over a state of another model: what is sound stays, by tokens, not by
   *   rows, and the optimiser starts anew; `migration` tells what became of it
   * @param {boolean} [given.weightsAnew] whether a state that is taken over begins with the weights of the file, and keeps
   *   history and profile alone
   * @param {import('./model_file.js').ModelFile} [given.previous] the model of the state, for one of an earlier release
   * @param {Float32Array} [given.start] `[P]`, weights of the cloud that a new device begins with
   * @param {() => number} [given.clock] the device's own, seconds since 1970
   * @throws {StateError} when the state is damaged, open elsewhere, of another model or user, or something in it cannot be
   *   carried over: with the reason and the way out.
   * @throws {InputError} when the user is none, or the profile has a column that is none.
   */
  static async open({
    model, interpreter, states, user, profile, adopt = false, weightsAnew = false, previous, start,
    clock = () => Math.floor(Date.now() / 1000),
  }) {
    let release = () => {};
    try {
      if (!Number.isInteger(user) || user < 0 || user > MAX_INT) {
        throw new InputError(`user: expected an id in 0..${MAX_INT}, as payloads name users, got ${user}`);
      }
      if (profile !== undefined) model.profileRows(profile); // Refused before anything is opened.
      release = await states.own();
      const content = await states.read();
      const kept = content === null ? null : DeviceState.decode(content, states.name);
      const loaded = new LoadedModel(model, interpreter);
      if (kept === null && start !== undefined) await loaded.setWeights(start);
      const begun = await loaded.begin(user);
      const isTakenOver = kept !== null && adopt && kept.model !== model.sha256;
      const [found, migration] = isTakenOver
        ? adopted({
            state: kept, model, fresh: begun.values, given: profile ?? null, anew: weightsAnew, previous: previous ?? null,
          })
        : [kept ?? begun, null];
      found.checkFits(model, user, states.name);
      const proof = content === null ? null : proofOf(content);
      const device = new EdgeDevice({loaded, states, clock, release, state: found, proof, migration});
      const state = profile === undefined ? found : withProfile(found, model, profile);
      device.#current = state;
      if (kept !== null && model.metadata.trainable) await device.#restore();
      if (kept !== state) await device.#keep(state);
      return device;
    } catch (error) {
      release();
      interpreter.close();
      throw error;
    }
  }

  /** What the device keeps now. */
  get state() {
    return this.#current;
  }

  /** How many interactions wait for a model that knows the item, by its token. @returns {Map<string, number>} */
  get unknownItems() {
    const found = new Map();
    for (const {token} of this.#current.labels?.waiting ?? []) found.set(token, (found.get(token) ?? 0) + 1);
    return found;
  }

  /**
   * Whether it ranks with the weights that it started with, since its own rank its newest positions, which it never
   * trained on, lower. It trains and answers with its own all the same.
   */
  servesStart() {
    return this.#turns.take(() => this.#serving.servesStart(this.#current));
  }

  /**
   * Adds interactions, oldest first, and answers how many the model knows; the others wait in the state, see
   * `unknownItems`, and take their place in the history once a model knows them.
   *
   * @param {string[]} items tokens
   * @param {readonly (number | null)[]} [times] seconds since 1970, when each was; null where that is unknown
   * @param {import('./kept_columns.js').Context} [context] what came of each, for a model that trains by it
   *   (`metadata.contextColumns`): by column a value for each, null where that is unknown; it stays on the device
   * @throws {InputError} when a time is negative, or over a day ahead of the device's clock, or the model has no such
   *   column.
   */
  interact(items, times, context) {
    return this.#turns.take(async () => {
      const moments = interactionTimes(times, items.length, latestTime(this.#clock()));
      const codes = contextCodes(context, items.length, this.#current.columns);
      const {state, known} = withInteractions(this.#current, this.model, items, moments, codes);
      if (items.length > 0) await this.#keep(state);
      return known;
    });
  }

  /**
   * Says how many of the oldest interactions the cloud has too, for instance those from before this device. Devices train
   * on the others.
   *
   * @param {number} oldest
   */
  setKnownToCloud(oldest) {
    return this.#turns.take(async () => this.#keep(withOlder(this.#current, oldest)));
  }

  /** Replaces the private profile: values by column. @param {Record<string, string>} profile */
  setProfile(profile) {
    return this.#turns.take(async () => this.#keep(withProfile(this.#current, this.model, profile)));
  }

  /**
   * Takes what the cloud sent.
   *
   * @param {import('./downlink.js').Downlink} downlink
   * @throws {PayloadError} when it is of another user, of another form or item table than the model's, or older than the
   *   device's.
   */
  receive(downlink) {
    return this.#turns.take(async () => {
      this.#check(downlink);
      await this.#keep(this.#current.with({downlink}));
    });
  }

  /**
   * Scores candidates for the user as of now, in their order; any number, in portions of the file's size.
   *
   * @param {string[]} candidates tokens
   * @param {{nowSeconds?: number}} [request] the time of the request, since 1970, for a model with a clock
   * @returns {Promise<import('./serving.js').Score[]>}
   */
  score(candidates, request = {}) {
    return this.#turns.take(() => this.#serving.score(this.#current, candidates, this.#moment(request.nowSeconds)));
  }

  /**
   * Logits of each further target, such as a like, by its name: of the candidates, in their order. They are of the trained
   * weights, even where the device ranks with those of its start, whose further heads are untrained.
   *
   * @param {string[]} candidates tokens
   * @param {{nowSeconds?: number}} [request] as for `score`
   * @throws {InputError} when the model has no further targets (`metadata.targets`).
   */
  targetLogits(candidates, request = {}) {
    return this.#turns.take(async () =>
      this.#serving.targetLogits(this.#current, candidates, this.#moment(request.nowSeconds)));
  }

  /**
   * The best items for the user, best first; of equal ones the lower row.
   *
   * @param {object} [request]
   * @param {number} [request.k] how many at most
   * @param {string[]} [request.candidates] to choose from; left out, all items of the model
   * @param {boolean} [request.withMet] whether items that the user has met may be among them
   * @param {number} [request.nowSeconds] as for `score`
   * @returns {Promise<import('./serving.js').Score[]>}
   */
  recommend({nowSeconds, ...request} = {}) {
    return this.#turns.take(async () => this.#serving.recommend(this.#current, request, this.#moment(nowSeconds)));
  }

  /** All that the device keeps of its user, as JSON: what a user may ask for. */
  exportPersonalData() {
    return this.#turns.take(async () => personalData(this.#current, this.model));
  }

  /**
   * Removes the state from the disk, with history, profile, weights, downlink and answers that wait, and closes the
   * device. What has left it in uplinks is the cloud's to forget (`ecct cloud erase`).
   */
  async forget() {
    await this.#turns.take(() => this.#states.remove());
    await this.close();
  }

  /**
   * Trains on the interactions that the cloud does not know, and counts a round. Where there are none, nothing changes,
   * no round is counted, and the report is one of zeros.
   *
   * @param {import('./training.js').TrainingOptions} [options]
   */
  train(options = {}) {
    return this.#turns.take(() => this.#trained(this.#current, options, 1));
  }

  /**
   * `receive` and `train` at once: a call that throws, or a tab that ends, leaves the device before both or after.
   *
   * @param {import('./downlink.js').Downlink} downlink
   * @param {import('./training.js').TrainingOptions & {rounds?: number}} [options] `rounds` of training, 1 by default
   */
  takePart(downlink, {rounds = 1, ...options} = {}) {
    return this.#turns.take(async () => {
      this.#check(downlink);
      if (!Number.isInteger(rounds) || rounds < 1) {
        throw new InputError(`train: expected rounds of at least 1, a whole number, got ${rounds}`);
      }
      return this.#trained(this.#current.with({downlink}), options, rounds);
    });
  }

  /**
   * The bytes that answer the last downlink: user, items, embeddings and logits as encoded.
   *
   * @throws {InputError} when no downlink asked for anything.
   */
  uplink() {
    return this.#turns.take(() => this.#loaded.uplink(this.#current));
  }

  /**
   * `uplink` in the envelope that the cloud's log reads, with the round and version of the downlink that it answers.
   *
   * @param {number} createdAtSeconds the time, in whole seconds since 1970, UTC
   */
  uplinkRecord(createdAtSeconds) {
    return this.#turns.take(async () => {
      const payload = await this.#loaded.uplink(this.#current);
      const {round, cloudVersion} = /** @type {import('./downlink.js').Downlink} */ (this.#current.downlink);
      return encodeUplinkRecord(payload, this.#metadata.exchange, {round, cloudVersion, createdAtSeconds});
    });
  }

  /** `[P] float32`, the trained weights; the shared ones are at the front. @returns {Promise<Float32Array>} */
  weights() {
    return this.#turns.take(() => this.#loaded.weights());
  }

  /**
   * Replaces the shared weights with a federated mean; the private ones stay.
   *
   * @param {Float32Array} shared `[P_shared]`
   * @throws {RefusedError} when a value is not finite or implausible.
   */
  replaceSharedWeights(shared) {
    return this.#turns.take(() =>
      this.#undoable(async () => {
        await this.#loaded.setSharedWeights(shared);
        const start = this.#current.startOnceChanged(this.#metadata);
        await this.#keep(this.#current.with({values: await this.#loaded.savedValues(), start}));
      }));
  }

  /** Frees the interpreter and the device; further calls throw `ClosedError`. */
  close() {
    return this.#turns.close(() => {
      this.#loaded.close();
      this.#release();
    });
  }

  /** The answers that wait to be sent. */
  get answers() {
    return this.#states.answers;
  }

  /** The second of a request. @param {number} [nowSeconds] */
  #moment(nowSeconds) {
    const own = this.#clock();
    return nowSeconds === undefined ? own : possible(nowSeconds, 'score: now', latestTime(own));
  }

  /** @param {import('./downlink.js').Downlink} downlink */
  #check(downlink) {
    downlink.checkFor(this.#current.user);
    downlink.check(this.model);
    if (this.#current.downlink !== null) downlink.checkNotOlder(this.#current.downlink);
  }

  /**
   * Trains on `begun`, which is the current state or the same with another downlink, and keeps what comes of it.
   *
   * @param {DeviceState} begun
   * @param {import('./training.js').TrainingOptions} options
   * @param {number} rounds
   * @returns {Promise<import('./training.js').TrainingReport>}
   */
  async #trained(begun, options, rounds) {
    return this.#undoable(async () => {
      const {state, report} = await trainRounds(this.#loaded, begun, options, rounds);
      if (state !== this.#current) await this.#keep(state);
      return report;
    });
  }

  /**
   * Runs `block`; when it throws, the interpreter has the weights of the kept state again.
   *
   * @template T
   * @param {() => Promise<T>} block
   */
  async #undoable(block) {
    try {
      return await block();
    } catch (error) {
      await this.#restore().catch(() => undefined);
      throw error;
    }
  }

  /** @param {DeviceState} changed */
  async #keep(changed) {
    const told = changed.labelled(this.model);
    const content = told.encode();
    await this.#states.replace(content, this.#proof);
    this.#proof = proofOf(content);
    this.#current = told;
  }

  #restore() {
    return this.#loaded.restore(this.#current.values);
  }
}
