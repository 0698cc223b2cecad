/** What a device holds back from training, to judge whether training did any good. */
import {clockReading} from './clock.js';

/** Items that a held-back position is ranked against. */
const GUARD_NEGATIVES = 99;

/**
 * The newest `length` of the first `end` items of `history`, padded with 0 at the front.
 *
 * @param {Int32Array} history
 * @param {number} length
 * @param {number} [end]
 */
export function padHistory(history, length, end = history.length) {
  const padded = new Int32Array(length);
  const taken = Math.min(length, end);
  padded.set(history.subarray(end - taken, end), length - taken);
  return padded;
}

/**
 * A history without the items that the file has no row for, which no position can have.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./metadata.js').EdgeMetadata} metadata
 */
export function knownHistory(state, metadata) {
  const isKnown = (/** @type {number} */ row) => row >= 1 && row < metadata.itemRows;
  return {
    items: state.history.filter(isKnown),
    times: state.times.filter((_, place) => isKnown(state.history[place])),
    context: state.context.filter((_, place) => isKnown(state.history[place])),
    older: state.history.subarray(0, state.olderItems).filter(isKnown).length,
  };
}

/**
 * The oldest position of a history of `size` items that a device could train on.
 *
 * @param {number} size
 * @param {number} older
 * @param {number} positions
 */
export const firstPosition = (size, older, positions) => Math.max(1, older, size - positions);

/**
 * The newest positions, which stay out of training, from the first to behind the last: `guard` of them, but never
 * more than half of those that a device could train on.
 *
 * @param {number} size
 * @param {number} older
 * @param {number} positions
 * @param {number} guard
 * @returns {[number, number]}
 */
export function guardPositions(size, older, positions, guard) {
  const trainable = Math.max(size - firstPosition(size, older, positions), 0);
  return [size - Math.min(guard, Math.floor(trainable / 2)), size];
}

/** The items of `1..items` outside `positives`, by their rank among them. */
export class ItemsOutside {
  #known;

  /**
   * @param {Int32Array} positives
   * @param {number} items
   */
  constructor(positives, items) {
    this.#known = [...new Set(positives)].sort((one, other) => one - other);
    /** How many there are. */
    this.size = items - this.#known.length;
  }

  /** The item of a `rank`, from 0: no rejection is needed, however long the history. @param {number} rank */
  item(rank) {
    let low = 0;
    let high = this.#known.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      // Items below known[middle] that are not known themselves.
      if (this.#known[middle] - middle - 1 <= rank) low = middle + 1;
      else high = middle;
    }
    return rank + 1 + low;
  }
}

/**
 * What a held-back position is ranked among: its item first, then 99 others outside the history, evenly spread over
 * the catalog. Nothing is drawn, so that all devices judge alike; null where the history covers all `items`.
 *
 * @param {Int32Array} history
 * @param {number} position
 * @param {number} items
 */
export function guardCandidates(history, position, items) {
  const others = new ItemsOutside(history, items);
  if (others.size < 1) return null;
  // The middles of as many stretches of the same length; the products stay below 2^53.
  return Int32Array.from({length: 1 + GUARD_NEGATIVES}, (_, place) =>
    place === 0
      ? history[position]
      : others.item(Math.floor(((2 * place - 1) * others.size) / (2 * GUARD_NEGATIVES))));
}

/**
 * The held-back positions of a device, as `score` reads them; none for a file without a guard.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./metadata.js').EdgeMetadata} metadata
 */
export function heldBack(state, metadata) {
  const {positions, guardPositions: guard} = metadata.trainingDefaults;
  const {items, times, older} = knownHistory(state, metadata);
  const held = [];
  const [first, end] = guardPositions(items.length, older, positions, guard);
  for (let position = first; position < end; position++) {
    const candidates = guardCandidates(items, position, metadata.itemRows - 1);
    if (candidates === null) continue;
    held.push({
      history: padHistory(items, metadata.historyLength, position),
      candidates,
      clock: clockReading(times, times[position], metadata.historyLength, position),
    });
  }
  return held;
}

/** The place of the first of `logits` among all, from 0; a tie counts against it. @param {Float32Array} logits */
export const guardPlace = (logits) => logits.subarray(1).filter((each) => !(each < logits[0])).length;
