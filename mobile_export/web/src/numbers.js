/**
 * How a private number becomes the whole number that a model reads, as Python's `ecct_tf.data.numbers`
 * says: `(x - mean) / scale`, or of `sign(x) * ln(1 + |x|)`, clipped and cut into steps.
 */
import {InputError, JsonError} from './errors.js';
import {Told} from './json.js';

/**
 * @typedef {object} NumberRule
 * @property {boolean} logarithm whether the logarithm is scaled
 * @property {number} mean what becomes 0
 * @property {number} scale what becomes 1 above the mean
 * @property {number} largest where scaled numbers are clipped, on both sides
 * @property {number} steps from one whole value to the next
 */

/**
 * @param {Told} told
 * @returns {NumberRule}
 */
export function numberRule(told) {
  const scale = told.number('scale');
  if (scale <= 0) throw new JsonError(`scale: expected a number above 0, got ${scale}`);
  return {
    logarithm: told.flag('log'),
    mean: told.number('mean'),
    scale,
    largest: told.number('largest'),
    steps: told.atLeastOne('steps'),
  };
}

/**
 * The code of `number`, from 1; 0, unknown, for null and for NaN.
 *
 * @param {NumberRule} rule
 * @param {number | null} number
 * @throws {InputError} when it is infinite.
 */
export function numberCode(rule, number) {
  if (number === null || Number.isNaN(number)) return 0;
  if (!Number.isFinite(number)) {
    throw new InputError(`profile: expected a finite number, or nothing where it is unknown, got ${number}`);
  }
  const read = rule.logarithm ? Math.sign(number) * Math.log1p(Math.abs(number)) : number;
  const value = Math.min(Math.max((read - rule.mean) / rule.scale, -rule.largest), rule.largest);
  return 1 + Math.floor((value + rule.largest) * rule.steps + 0.5);
}

/**
 * The number that `code` stands for, up to a step and within the range; null for 0.
 *
 * @param {NumberRule} rule
 * @param {number} code
 */
export function numberOf(rule, code) {
  if (code < 1) return null;
  const read = ((code - 1) / rule.steps - rule.largest) * rule.scale + rule.mean;
  return rule.logarithm ? Math.sign(read) * Math.expm1(Math.abs(read)) : read;
}
