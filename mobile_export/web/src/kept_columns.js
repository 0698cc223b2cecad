/**
 * What came of each interaction, as the app gave it: codes of private columns, as `mobile_export.device.moments` of
 * Python keeps them.
 */
import {InputError, JsonError} from './errors.js';
import {entries, listed, word} from './json.js';

/**
 * A private column of interactions; code k stands for the k-th of its values, 0 for any other and for none.
 *
 * @typedef {{name: string, values: string[]}} KeptColumn
 */

/**
 * By column a value for each interaction, null where it is unknown.
 *
 * @typedef {Record<string, readonly (string | null)[]>} Context
 */

/**
 * @param {KeptColumn} column
 * @param {string | null | undefined} value
 */
const codeOf = ({values}, value) => (typeof value === 'string' ? values.indexOf(value) + 1 : 0);

/**
 * @param {KeptColumn} column
 * @param {number} code
 * @returns {string | null}
 */
export const wordOf = ({values}, code) => values[code - 1] ?? null;

/**
 * Codes of interactions that nothing is known of.
 *
 * @param {number} count
 * @param {readonly KeptColumn[]} columns
 * @returns {number[][]}
 */
export const unknownContext = (count, columns) => Array.from({length: count}, () => columns.map(() => 0));

/**
 * Codes of `count` interactions.
 *
 * @param {Context | undefined} context what is missing is unknown
 * @param {number} count
 * @param {readonly KeptColumn[]} columns
 * @returns {number[][]}
 * @throws {InputError} when there is no such column, or one has not a value for each.
 */
export function contextCodes(context = {}, count, columns) {
  const names = columns.map(({name}) => name);
  const unknown = Object.keys(context).filter((name) => !names.includes(name)).sort();
  if (unknown.length > 0) {
    throw new InputError(
      `context: expected columns out of [${names.join(', ')}], got ${unknown.join(', ')}; leave out what the model ` +
        'does not read, or open one that does',
    );
  }
  for (const [name, values] of Object.entries(context)) {
    // The values are private, and errors end in logs.
    if (!Array.isArray(values) || values.length !== count) {
      const got = Array.isArray(values) ? values.length : `a single ${typeof values}`;
      throw new InputError(`context: ${name}: expected one for each of ${count} interactions, got ${got}`);
    }
  }
  return Array.from({length: count}, (_, place) => columns.map((column) => codeOf(column, context[column.name]?.[place])));
}

/**
 * The words of codes by column; null where one is unknown.
 *
 * @param {number[]} codes
 * @param {readonly KeptColumn[]} columns
 */
export const contextWords = (codes, columns) =>
  Object.fromEntries(columns.map((column, place) => [column.name, wordOf(column, codes[place])]));

/**
 * Codes of the columns `before` as those of the columns `after`; what these lack is unknown.
 *
 * @param {number[]} codes
 * @param {readonly KeptColumn[]} before
 * @param {readonly KeptColumn[]} after
 */
export function translated(codes, before, after) {
  const words = contextWords(codes, before);
  return after.map((column) => codeOf(column, words[column.name]));
}

/**
 * What becomes of the columns in another model; notes name columns and no value.
 *
 * @param {readonly KeptColumn[]} before
 * @param {readonly KeptColumn[]} after
 * @param {string} model its name
 */
export function columnNotes(before, after, model) {
  const notes = [];
  for (const {name, values} of before) {
    const now = after.find((column) => column.name === name);
    if (now === undefined) {
      notes.push(`context: ${name} was dropped, ${model} does not read it`);
    } else if (!values.every((value) => now.values.includes(value))) {
      notes.push(`context: ${name} is unknown where it was one of the values that ${model} does not know`);
    }
  }
  const isNew = (/** @type {KeptColumn} */ {name}) => !before.some((column) => column.name === name);
  return [...notes, ...after.filter(isNew).map(({name}) => `context: ${name} is new, and unknown for what came before`)];
}

/** Columns as values of JSON. @param {readonly KeptColumn[]} columns */
export const columnValues = (columns) => columns.map(({name, values}) => [name, values]);

/** Reads what `columnValues` gave. @param {any[]} told @returns {KeptColumn[]} */
export function keptColumns(told) {
  const columns = told.map((each) => {
    const [name, values] = entries(each, 2);
    return {name: word(name), values: listed(values).map(word)};
  });
  const names = columns.map(({name}) => name);
  if (new Set(names).size !== names.length) {
    throw new JsonError(`context: expected each column once, got [${names.join(', ')}]`);
  }
  return columns;
}

/**
 * @param {readonly number[][]} rows
 * @param {readonly KeptColumn[]} columns
 * @throws {JsonError} unless each row has a code of each column.
 */
export function checkCodes(rows, columns) {
  const isCode = (/** @type {number} */ code, /** @type {number} */ place) =>
    Number.isInteger(code) && code >= 0 && code <= columns[place].values.length;
  if (!rows.every((row) => row.length === columns.length && row.every(isCode))) {
    throw new JsonError(`context: expected codes of the columns [${columns.map(({name}) => name).join(', ')}]`);
  }
}

/**
 * @param {readonly KeptColumn[]} one
 * @param {readonly KeptColumn[]} other
 */
export const sameColumns = (one, other) => JSON.stringify(columnValues(one)) === JSON.stringify(columnValues(other));
