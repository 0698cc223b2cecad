/**
 * How what came of interactions counts in training, from `samples` of the metadata, as `ecct_tf.data.outcomes` of Python
 * has it: grades, weights and further targets such as a like.
 */
import {JsonError} from './errors.js';
import {wordOf} from './kept_columns.js';

/** Stands for a missing label of a further target; labels are in 0..1. */
export const NO_LABEL = -1;

/**
 * By a column of the interactions, a public number for each of its values; `unknown` for any other.
 *
 * @typedef {{column: string, values: Map<string, number>, unknown: number, negatives: number | null}} Rule
 */

export class Outcomes {
  /** @param {import('./json.js').Told | null} samples of the metadata; null for files of before they told them */
  constructor(samples) {
    const targets = samples?.has('targets') ? samples.child('targets') : null;
    const names = [...(targets?.names ?? [])].sort(byCodePoint);
    const found = (/** @type {string} */ name) => (samples?.has(name) ? rule(samples.child(name), 1) : null);
    this.grade = found('grade');
    this.weightRule = found('weight');
    /** @type {{name: string, rule: Rule}[]} further targets, in the order of their heads */
    this.targets = names.map((name) => ({
      name, rule: rule(/** @type {import('./json.js').Told} */ (targets).child(name), NO_LABEL),
    }));
    /** @type {import('./kept_columns.js').KeptColumn[]} columns whose values the device keeps with each interaction */
    this.columns = columnsOf([this.grade, this.weightRule, ...this.targets.map((target) => target.rule)]);
    /** The label of negatives. */
    this.negative = this.grade?.negatives ?? 0;
  }

  /** The label of a position's own item. @param {number[]} codes of its interaction */
  label(codes) {
    return this.grade === null ? 1 : this.#of(this.grade, codes);
  }

  /** How much the position weighs. @param {number[]} codes */
  weight(codes) {
    return this.weightRule === null ? 1 : this.#of(this.weightRule, codes);
  }

  /**
   * Labels of the further targets, `NO_LABEL` where there is none.
   *
   * @param {number[]} codes
   * @param {boolean} isOwn whether they are those of the position's own item
   */
  targetLabels(codes, isOwn) {
    return Float32Array.from(this.targets, ({rule: told}) => {
      const own = this.#of(told, codes);
      return isOwn || own < 0 ? own : told.negatives ?? NO_LABEL;
    });
  }

  /**
   * @param {Rule} told
   * @param {number[]} codes
   */
  #of(told, codes) {
    const place = this.columns.findIndex(({name}) => name === told.column);
    return told.values.get(wordOf(this.columns[place], codes[place]) ?? '') ?? told.unknown;
  }
}

/** @param {(Rule | null)[]} rules */
function columnsOf(rules) {
  /** @type {Map<string, Set<string>>} */
  const words = new Map();
  for (const each of rules) {
    if (each !== null) words.set(each.column, new Set([...(words.get(each.column) ?? []), ...each.values.keys()]));
  }
  return [...words].map(([name, values]) => ({name, values: [...values].sort(byCodePoint)}));
}

/**
 * @param {import('./json.js').Told} told
 * @param {number} unknown
 * @returns {Rule}
 */
function rule(told, unknown) {
  const values = told.child('values');
  return {
    column: told.text('column'),
    values: new Map(values.names.map((name) => [name, share(values, name)])),
    unknown: told.has('unknown') ? share(told, 'unknown') : unknown,
    negatives: told.has('negatives') ? share(told, 'negatives') : null,
  };
}

/**
 * @param {import('./json.js').Told} told
 * @param {string} name
 */
function share(told, name) {
  const found = told.number(name);
  if (found < 0 || found > 1) throw new JsonError(`${name}: expected a number in 0..1, got ${found}`);
  return Math.fround(found);
}

/**
 * As Python sorts them; UTF-16 has another order beyond the first plane.
 *
 * @param {string} one
 * @param {string} other
 */
function byCodePoint(one, other) {
  const [here, there] = [one, other].map((text) => Array.from(text, (each) => each.codePointAt(0) ?? 0));
  const place = here.findIndex((point, index) => point !== there[index]);
  return place < 0 ? here.length - there.length : here[place] - (there[place] ?? -1);
}
