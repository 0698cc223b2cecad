/** Training samples as the simulation's devices make them, with the draws of the Kotlin device. */
import {clockReading} from './clock.js';
import {InputError} from './errors.js';
import {firstPosition, guardPositions, ItemsOutside, knownHistory, padHistory} from './guard.js';
import {SplitMix64} from './splitmix64.js';

// With so many items for each that a position has, a position seldom repeats one.
const AMPLE = 8;

/**
 * @typedef {object} Sample
 * @property {Int32Array} history `[L]`, what came before, newest last, 0 at the front
 * @property {number} candidate
 * @property {number} label 1 for an interaction, 0 for a negative, or a grade
 * @property {number} weight in the loss
 * @property {Float32Array} clock what the clock said when the interaction happened
 * @property {Float32Array} targets `[T]`, labels of the further targets, below 0 for none
 */

/**
 * Each of the newest positions that the cloud does not know, with what came before it, and items that the
 * user never touched; shuffled once. The very newest, which the device judges by, are left out.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./metadata.js').EdgeMetadata} metadata
 * @param {{negatives?: number, positions?: number}} options
 * @param {bigint | number} seed fixes negatives and order
 * @returns {Sample[]} none without such a position
 * @throws {InputError} when the history covers every item.
 */
export function drawSamples(state, metadata, options, seed) {
  const defaults = metadata.trainingDefaults;
  const negatives = options.negatives ?? defaults.negatives;
  const group = defaults.groupSize;
  if (group !== 1 && group !== 1 + negatives) {
    throw new InputError(
      `train: expected ${group - 1} negatives, as the file's loss reads positions, got ${negatives}; leave negatives out`,
    );
  }
  // A state may name items that came after the file was made; they have no row to learn from.
  const {items: history, times, context, older} = knownHistory(state, metadata);
  const positions = options.positions ?? defaults.positions;
  const first = firstPosition(history.length, older, positions);
  if (first >= history.length) return [];
  // By the newest the device judges what training gave it.
  const [held] = guardPositions(history.length, older, positions, defaults.guardPositions);
  const random = new SplitMix64(seed);
  const sampler = new NegativeSampler(history, metadata.itemRows - 1);
  /** @type {Sample[]} */
  const drawn = [];
  const {outcomes} = metadata;
  for (let position = first; position < held; position++) {
    const before = padHistory(history, metadata.historyLength, position);
    const clock = clockReading(times, times[position], metadata.historyLength, position);
    const codes = context[position];
    const weight = Math.fround(positionWeight(held - 1 - position, defaults.halfLife) * outcomes.weight(codes));
    const candidates = [history[position], ...sampler.row(random, negatives)];
    candidates.forEach((candidate, place) => {
      const isOwn = place === 0;
      const label = isOwn ? outcomes.label(codes) : outcomes.negative;
      drawn.push({history: before, candidate, label, weight, clock, targets: outcomes.targetLabels(codes, isOwn)});
    });
  }
  // What belongs together stays so, in its order.
  return shuffled(drawn.length / group, random).flatMap((place) => drawn.slice(place * group, (place + 1) * group));
}

/**
 * How much a position weighs in the loss that has so many `newer` ones among those that are trained on: half
 * behind `halfLife` of them; all alike where that is 0. One division of floats, as in the simulation.
 *
 * @param {number} newer
 * @param {number} halfLife
 */
export const positionWeight = (newer, halfLife) =>
  halfLife === 0 ? 1 : Math.fround(Math.fround(halfLife) / Math.fround(halfLife + newer));

/** Draws items in `1..items` outside `positives`, uniformly. */
export class NegativeSampler {
  #others;

  /**
   * @param {Int32Array} positives
   * @param {number} items
   */
  constructor(positives, items) {
    this.#others = new ItemsOutside(positives, items);
    if (this.#others.size < 1) {
      throw new InputError(
        `train: expected an item outside the history, it covers all ${items}; train on less of it`,
      );
    }
  }

  /**
   * The negatives of one position: each by itself in a large catalog; in a small one all different, or each item
   * equally often, or once more, where fewer are left than `size`.
   *
   * @param {SplitMix64} random
   * @param {number} size
   * @returns {number[]}
   */
  row(random, size) {
    const remaining = this.#others.size;
    if (remaining >= AMPLE * size) {
      return Array.from({length: size}, () => this.#others.item(random.below(remaining)));
    }
    const pack = Array.from({length: remaining}, (_, place) => place);
    return Array.from({length: size}, (_, draw) => {
      // What was drawn goes behind what is left.
      const last = remaining - 1 - (draw % remaining);
      const place = random.below(last + 1);
      const found = this.#others.item(pack[place]);
      [pack[place], pack[last]] = [pack[last], pack[place]];
      return found;
    });
  }
}

/**
 * `0 .. size - 1` in a random order (Fisher and Yates).
 *
 * @param {number} size
 * @param {SplitMix64} random
 */
function shuffled(size, random) {
  const order = Array.from({length: size}, (_, place) => place);
  for (let last = size - 1; last >= 1; last--) {
    const chosen = random.below(last + 1);
    [order[last], order[chosen]] = [order[chosen], order[last]];
  }
  return order;
}

/**
 * A batch as `train` reads it, in `rows` rows: those of mask 0 are padding.
 *
 * @param {Sample[]} samples at most `rows`
 * @param {number} rows
 * @param {import('./metadata.js').EdgeMetadata} metadata
 * @returns {Record<string, Int32Array | Float32Array>}
 */
export function batchOf(samples, rows, metadata) {
  const {historyLength} = metadata;
  const history = new Int32Array(rows * historyLength);
  const candidates = new Int32Array(rows);
  const labels = new Float32Array(rows);
  const mask = new Float32Array(rows);
  const width = samples[0].clock.length;
  const clock = new Float32Array(rows * width);
  const heads = samples[0].targets.length;
  const targets = new Float32Array(rows * heads);
  samples.forEach((sample, place) => {
    history.set(sample.history, place * historyLength);
    clock.set(sample.clock, place * width);
    targets.set(sample.targets, place * heads);
    candidates[place] = sample.candidate;
    labels[place] = sample.label;
    mask[place] = sample.weight;
  });
  const read = {...(metadata.readsClock && {clock}), ...(heads > 0 && {target_labels: targets})};
  return {history, candidates, labels, mask, ...read};
}
