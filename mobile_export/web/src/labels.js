/**
 * What a state tells of itself to the file that comes after its own: rows and weights alone say nothing where
 * vocabularies are sorted anew. Python (`mobile_export.device.labels`) writes the same bytes.
 */
import {JsonError} from './errors.js';
import {entries, jsonText, listed, Told, utf8, whole, word} from './json.js';
import {checkCodes, sameColumns} from './kept_columns.js';
import {meaningTold, meaningValues} from './meaning.js';

/**
 * `place`: how many interactions of the history came before it; `context`: codes of the columns that the file keeps.
 *
 * @typedef {{token: string, place: number, time: number, context: number[]}} Waiting
 */

/**
 * @typedef {object} StateLabels
 * @property {import('./meaning.js').FileMeaning} file
 * @property {string[]} tokens of the different rows of the history, by row; empty where the file has no tokens
 * @property {string[]} texts for each private column the value as the app gave it; empty where it is unknown
 * @property {Waiting[]} waiting interactions with items that the file does not know, oldest first
 * @property {number} waitingOlder how many of them, the first, the cloud knows too
 */

/**
 * As values that `jsonText` writes.
 *
 * @param {StateLabels} labels
 * @param {(codes: number[]) => any} told what the context of an interaction is written as
 */
export const labelValues = (labels, told = (codes) => codes) => ({
  file: meaningValues(labels.file),
  tokens: labels.tokens,
  texts: labels.texts,
  waiting: labels.waiting.map(({token, place, time, context}) =>
    context.length === 0 ? [token, place, time] : [token, place, time, told(context)]),
  waiting_older: labels.waitingOlder,
});

/** @param {StateLabels} labels */
export const encodeLabels = (labels) => new TextEncoder().encode(jsonText(labelValues(labels)));

/**
 * Reads what `encodeLabels` gave for a state of `history` interactions, `profile` private columns and the kept `columns`.
 *
 * @param {Uint8Array} content
 * @param {{history: number, profile: number, columns: import('./kept_columns.js').KeptColumn[]}} of
 * @returns {StateLabels}
 */
export function decodeLabels(content, {history, profile, columns}) {
  const told = Told.parse(utf8(content), 'labels');
  /** @type {StateLabels} */
  const found = {
    file: meaningTold(told.child('file')),
    tokens: told.list('tokens').map(word),
    texts: told.list('texts').map(word),
    waiting: told.list('waiting').map((each) => {
      const [token, place, time, codes = []] = entries(each, columns.length === 0 ? 3 : 4);
      const context = listed(codes).map((code) => whole(code));
      if (!Number.isSafeInteger(time) || time < 0) throw new JsonError(`expected a time, got ${time}`);
      return {token: word(token), place: whole(place), time, context};
    }),
    waitingOlder: told.count('waiting_older'),
  };
  checkCodes(found.waiting.map(({context}) => context), columns);
  const isSound =
    sameColumns(found.file.context, columns) && found.texts.length === profile && found.file.columns.length === profile &&
    found.waitingOlder <= found.waiting.length &&
    found.waiting.every(({place, time}) => place <= history && time >= 0);
  if (!isSound) {
    throw new JsonError(`labels: expected those of ${history} interactions and ${profile} private columns`);
  }
  return found;
}

/** The different rows of a history, in their order. @param {Int32Array} history */
export const differentRows = (history) => [...new Set(history)].sort((one, other) => one - other);
