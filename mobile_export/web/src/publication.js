/** What the service says: what the cloud publishes now, and what became of answers. */
import {JsonError} from './errors.js';
import {Told, utf8, word} from './json.js';

const FORMAT = 1;
// No folder: the name becomes part of an address.
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.+-]{0,200}$/;
const DIGEST = /^[0-9a-f]{64}$/;

/**
 * A file that the cloud publishes: its name, its length, and the SHA-256 with which it ends.
 *
 * @typedef {{path: string, numBytes: number, sha256: string}} PublishedFile
 */

/**
 * What the cloud publishes now: the part of `current.json` that a device reads.
 *
 * @typedef {object} Publication
 * @property {number} cloudVersion that is published
 * @property {number} round whose queries it asks; answers belong to it
 * @property {string} tableSha256 of the item table; the model file must hold it
 * @property {PublishedFile} segments the downlinks of segments, for users that the cloud does not know
 * @property {string[]} segmentNames `all` first, for a user of whom nothing is known
 */

/**
 * Reads `current.json`.
 *
 * @param {Uint8Array} content
 * @returns {Publication}
 * @throws {JsonError} when it is none, or of another format.
 */
export function readPublication(content) {
  try {
    const found = Told.parse(utf8(content), 'current.json');
    if (found.count('format') !== FORMAT) {
      throw new JsonError(`format: expected ${FORMAT}, got ${found.count('format')}, which another version wrote`);
    }
    return {
      cloudVersion: found.count('cloud_version'),
      round: found.count('round_number'),
      tableSha256: published(found.child('item_table')).sha256,
      segments: published(found.child('segments')),
      segmentNames: found.list('segment_names').map(word),
    };
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new JsonError(
      `publication: expected the content of current.json: ${error.message}; publish again`,
      {cause: error},
    );
  }
}

/**
 * What the service did with `answers` records; a receipt of more or fewer confirms none.
 *
 * @param {Uint8Array} content
 * @param {number} answers
 * @throws {JsonError} when it is none, or one of others.
 */
export function readReceipt(content, answers) {
  const told = Told.parse(utf8(content), 'answer');
  const receipt = {taken: told.count('taken'), repeated: told.count('repeated'), tooOld: told.count('too_old')};
  const counted = receipt.taken + receipt.repeated + receipt.tooOld;
  if (counted !== answers) {
    throw new JsonError(`answer: expected a receipt of ${answers} answers, got one of ${counted}`);
  }
  return receipt;
}

/**
 * @param {Told} told
 * @returns {PublishedFile}
 */
function published(told) {
  const file = {path: told.text('path'), numBytes: told.count('num_bytes'), sha256: told.text('sha256')};
  if (!NAME.test(file.path) || !DIGEST.test(file.sha256)) {
    throw new JsonError(`expected a plain name and a SHA-256, got ${file.path} and ${file.sha256}`);
  }
  return file;
}
