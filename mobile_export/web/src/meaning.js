/**
 * What decides whether weights and rows of one file mean the same in another, as
 * `mobile_export.contract.meaning` of Python says it; all languages compute the same fingerprints.
 */
import {ByteWriter} from './bytes.js';
import {sha256Hex, sha256OfText} from './hashing.js';
import {entries, listed, Told, whole, word} from './json.js';
import {columnValues, keptColumns} from './kept_columns.js';

const DIGITS = 16;
const LISTS = ['decays', 'clock_hours', 'clock_pauses'];
const VALUES = ['last_items', 'clock', 'clock_calendar', 'history_length'];

/**
 * A private column. `kind` is `words` where the file tells its values, `rows` where the app knows them, or
 * `number`; `about` is a fingerprint of the words or of the number's rule, empty for `rows`.
 *
 * @typedef {{name: string, kind: 'words' | 'rows' | 'number', about: string, rows: number}} MeaningColumn
 */

/**
 * @typedef {object} FileMeaning
 * @property {string} tier
 * @property {boolean} adapters
 * @property {[string, number[]][]} weights name and shape of each trained tensor
 * @property {[string, number][]} blocks name and width of the item table's blocks
 * @property {string} reads fingerprint of how a history becomes inputs: decays, newest items, clock
 * @property {string} vocabulary fingerprint of the item tokens; empty where a token is the row's number
 * @property {number} rows of the item table, row 0 included
 * @property {MeaningColumn[]} columns
 * @property {import('./kept_columns.js').KeptColumn[]} context columns of interactions whose values devices keep
 */

/** P, how many weights there are. @param {FileMeaning} meaning */
export const weightCount = (meaning) => meaning.weights.reduce((sum, [, shape]) => sum + sizeOf(shape), 0);

/** @param {number[]} shape */
export const sizeOf = (shape) => shape.reduce((product, extent) => product * extent, 1);

/** As values that `jsonText` writes. @param {FileMeaning} meaning */
export function meaningValues({context, ...meaning}) {
  return {
    ...meaning,
    columns: meaning.columns.map(({name, kind, about, rows}) => [name, kind, about, rows]),
    // Of a file that keeps none nothing is said, as by earlier releases.
    ...(context.length > 0 && {context: columnValues(context)}),
  };
}

/**
 * Reads what `meaningValues` gave.
 *
 * @param {Told} told
 * @returns {FileMeaning}
 */
export function meaningTold(told) {
  return {
    tier: told.text('tier'),
    adapters: told.flag('adapters'),
    weights: weightsTold(told.list('weights')),
    blocks: blocksTold(told.list('blocks')),
    reads: told.text('reads'),
    vocabulary: told.text('vocabulary'),
    rows: told.count('rows'),
    columns: told.list('columns').map((each) => {
      const [name, kind, about, rows] = entries(each, 4);
      return {
        name: word(name),
        kind: /** @type {MeaningColumn['kind']} */ (word(kind)),
        about: word(about),
        rows: whole(rows),
      };
    }),
    context: told.has('context') ? keptColumns(told.list('context')) : [],
  };
}

/**
 * What the metadata and the vocabularies of a file say.
 *
 * @param {import('./metadata.js').EdgeMetadata} metadata
 * @param {string[] | null} items
 * @param {(string[] | null)[]} profile
 * @returns {FileMeaning}
 */
export function meaningOf({outcomes, root}, items, profile) {
  const table = root.child('items');
  return {
    tier: root.text('tier'),
    adapters: root.child('variant').flag('adapters'),
    weights: weightsTold(root.child('weights').list('layout')),
    blocks: table.has('blocks') ? blocksTold(table.list('blocks')) : [],
    reads: reads(root.has('features') ? root.child('features') : new Told({}, 'features')),
    vocabulary: items === null ? '' : fingerprint(items),
    rows: table.count('rows'),
    columns: root.children('profile').map((told, index) => columnOf(told, profile[index])),
    context: outcomes.columns,
  };
}

/** Of words in their order; of those of a longer list, its beginning's. @param {string[]} words */
export function fingerprint(words) {
  return sha256OfText(words.map((each) => `${each}\n`).join('')).slice(0, DIGITS);
}

/**
 * @param {Told} told
 * @param {string[] | null} words
 * @returns {MeaningColumn}
 */
function columnOf(told, words) {
  const name = told.text('name');
  const rows = told.count('rows');
  if (told.has('number')) {
    const rule = told.child('number');
    const parts = ['mean', 'scale', 'largest', 'steps'].map((part) => rule.number(part));
    return {name, kind: 'number', about: numbersPrint([[rule.flag('log') ? 1 : 0, ...parts]]), rows};
  }
  if (words === null) return {name, kind: 'rows', about: '', rows};
  return {name, kind: 'words', about: fingerprint(words), rows};
}

/** @param {Told} features */
function reads(features) {
  const lists = LISTS.map((name) => (features.has(name) ? features.list(name).map(Number) : []));
  const single = VALUES.map((name) => Number(features.value(name) ?? 0));
  return numbersPrint([...lists, single]);
}

/** Of lists of numbers as little-endian doubles, each after its length. @param {number[][]} lists */
function numbersPrint(lists) {
  const numbers = lists.flatMap((list) => [list.length, ...list]);
  const view = new DataView(new ArrayBuffer(8 * numbers.length));
  numbers.forEach((number, place) => view.setFloat64(8 * place, number, true));
  return sha256Hex(new ByteWriter().bytes(new Uint8Array(view.buffer)).done()).slice(0, DIGITS);
}

/** @param {any[]} told @returns {[string, number[]][]} */
const weightsTold = (told) =>
  told.map((each) => {
    const [name, shape] = entries(each, 2);
    return [word(name), listed(shape).map((extent) => whole(extent))];
  });

/** @param {any[]} told @returns {[string, number][]} */
const blocksTold = (told) =>
  told.map((each) => {
    const [name, width] = entries(each, 2);
    return [word(name), whole(width)];
  });
