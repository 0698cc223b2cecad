/** A model file whose hash was checked, with what it says of itself. */
import {MOST_BYTES, atMost} from './bodies.js';
import {InputError, JsonError, ModelFileError} from './errors.js';
import {sha256Hex} from './hashing.js';
import {Told} from './json.js';
import {fingerprint, meaningOf} from './meaning.js';
import {EdgeMetadata, METADATA_FILE} from './metadata.js';
import {numberCode, numberOf} from './numbers.js';
import {Vocabulary} from './vocabulary.js';
import {associatedFiles} from './zip.js';

/** Name of the manifest that `ecct export` writes. */
export const MANIFEST = 'manifest.json';

// Of a model whose manifest does not say how long it is.
const MOST_MODEL_BYTES = 2 ** 30;

/**
 * The SHA-256 of each file that a manifest lists, by its name.
 *
 * @param {string} text of `manifest.json`
 * @returns {Map<string, string>}
 * @throws {ModelFileError} when it is none.
 */
export function manifestHashes(text) {
  try {
    const files = Told.parse(text, MANIFEST).child('files');
    return new Map(files.names.map((name) => [name, files.child(name).text('sha256')]));
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new ModelFileError(`${MANIFEST}: expected the manifest of \`ecct export\`: ${error.message}`, {
      cause: error,
    });
  }
}

/**
 * How long a manifest says that a file is; whether the manifest is one is checked with the file.
 *
 * @param {string} manifest
 * @param {string} name
 * @returns {number}
 */
export function announcedBytes(manifest, name) {
  try {
    return Told.parse(manifest, MANIFEST).child('files').child(name).count('bytes');
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return MOST_MODEL_BYTES;
  }
}

/** A model file whose hash was checked. */
export class ModelFile {
  /** @type {Vocabulary | null} */
  #items;
  /** @type {(Vocabulary | null)[]} */
  #profile;

  /**
   * @param {object} parts
   * @param {string} parts.name in the manifest
   * @param {string} parts.sha256
   * @param {Uint8Array} parts.content
   * @param {EdgeMetadata} parts.metadata
   * @param {Vocabulary | null} parts.items
   * @param {(Vocabulary | null)[]} parts.profile
   * @param {readonly import('./codecs.js').Codec[]} [parts.codecs] of the app
   */
  constructor({name, sha256, content, metadata, items, profile, codecs = []}) {
    this.name = name;
    this.sha256 = sha256;
    this.content = content;
    this.metadata = metadata;
    /** Codecs of the app, for the next file. */
    this.codecs = codecs;
    this.#items = items;
    this.#profile = profile;
    /** What decides whether another file can take over its rows and weights. */
    this.meaning = meaningOf(metadata, items?.values ?? null, profile.map((each) => each?.values ?? null));
  }

  /**
   * Checks the hash of `content`, then reads its metadata and vocabularies.
   *
   * @param {string} name in the manifest
   * @param {Uint8Array} content of the `.tflite` file
   * @param {string} manifest text of `manifest.json`
   * @param {{codecs?: readonly import('./codecs.js').Codec[]}} [options] `codecs` of the app, for a file whose run
   *   exchanges through one of them
   * @throws {ModelFileError} when the hash differs, the file is of another schema, or names a codec that there is not.
   * @throws {CodecError} when a codec of the app does not do what a codec does.
   */
  static async parse(name, content, manifest, {codecs = []} = {}) {
    const hashes = manifestHashes(manifest);
    const expected = hashes.get(name);
    if (expected === undefined) {
      throw new ModelFileError(
        `manifest: expected an entry for ${name}, it has ${[...hashes.keys()].sort()}; keep the manifest of ` +
          '`ecct export` beside its files',
      );
    }
    const sha256 = sha256Hex(content);
    if (sha256 !== expected) {
      throw new ModelFileError(
        `${name}: expected SHA-256 ${expected}, its ${content.length} bytes have ${sha256}; the file was ` +
          'damaged or altered, fetch or export it again',
      );
    }
    const files = await associatedFiles(content);
    const text = (/** @type {string} */ file) => {
      const found = files.get(file);
      if (found === undefined) {
        throw new ModelFileError(
          `model: expected ${file} among the associated files, got ${[...files.keys()]}; it was not written by ` +
            '`ecct export`, or by another version of it',
        );
      }
      return found;
    };
    const metadata = EdgeMetadata.parse(text(METADATA_FILE), codecs);
    const {itemFile} = metadata;
    return new ModelFile({
      name,
      sha256,
      content,
      metadata,
      items: itemFile === null ? null : Vocabulary.parse(text(itemFile), itemFile, metadata.itemRows),
      profile: metadata.profile.map(({file, rows}) =>
        file === null ? null : Vocabulary.parse(text(file), file, rows)),
      codecs,
    });
  }

  /**
   * Fetches a file and `manifest.json` beside it, and checks the hash. Of the file no more is read than the manifest
   * says that it is long, or 1 GiB where it does not say.
   *
   * @param {string | URL} address of the `.tflite` file
   * @param {{codecs?: readonly import('./codecs.js').Codec[]}} [options] as for `parse`
   * @throws {ModelFileError} when one cannot be fetched or is too long, or the hash differs.
   */
  static async fetch(address, options = {}) {
    const place = new URL(address, globalThis.location?.href);
    const beside = new URL(MANIFEST, place);
    const name = decodeURIComponent(place.pathname.split('/').pop() ?? '');
    // Both are asked for at once; only then one says how much of the other may be read.
    const [answer, listing] = await Promise.all([place, beside].map(asked));
    const manifest = new TextDecoder().decode(await bodyOf(listing, beside, MOST_BYTES));
    return ModelFile.parse(name, await bodyOf(answer, place, announcedBytes(manifest, name)), manifest, options);
  }

  /** Fingerprint of the tokens of the rows before `rows`. @param {number} rows */
  fingerprintOf(rows) {
    return fingerprint((this.#items?.values ?? []).slice(0, Math.max(0, rows - 1)));
  }

  /**
   * The row of an item; 0 for one that the file does not have.
   *
   * A file without item tokens was exported for an app that knows the rows: a token then is the row
   * as a decimal number.
   *
   * @param {string} token
   */
  itemRow(token) {
    if (typeof token !== 'string') {
      throw new InputError(`item: expected a token as a string, got ${token}; rows are given as "${token}"`);
    }
    return this.#items === null ? rowOf(token, this.metadata.itemRows) : this.#items.row(token);
  }

  /** The token of an item, or null for row 0 and for one that does not exist. @param {number} row */
  itemToken(row) {
    if (this.#items !== null) return this.#items.value(row);
    return row >= 1 && row < this.metadata.itemRows ? String(row) : null;
  }

  /**
   * The rows of a profile, `[columns] int32`, in the order of the file.
   *
   * @param {Record<string, string>} profile values by the name of the column; unknown and missing ones
   *   become 0
   * @throws {InputError} when a column is none of the file's.
   */
  profileRows(profile) {
    const names = this.metadata.profile.map(({name}) => name);
    const unknown = Object.keys(profile).filter((name) => !names.includes(name));
    if (unknown.length > 0) {
      throw new InputError(
        `profile: expected columns out of [${names}], got [${unknown}]; this model was trained without them`,
      );
    }
    return Int32Array.from(names, (name, index) => this.#code(index, profile[name]));
  }

  /**
   * The code of one value of a column; 0 for one that the file does not have.
   *
   * @param {string} name
   * @param {string} value
   */
  profileCode(name, value) {
    return this.#code(this.metadata.profile.findIndex((column) => column.name === name), value);
  }

  /** The values of a profile as the app gave them; empty for unknown. @param {Record<string, string>} profile */
  profileTexts(profile) {
    return this.metadata.profile.map(({name, number}, index) => {
      const value = isBlank(profile[name]) ? '' : String(profile[name]);
      if (this.#profile[index] !== null || number !== null) return value;
      return String(this.#code(index, value) || '');
    });
  }

  /** The values that a row of whole numbers stands for, as far as the file tells them. @param {Int32Array} row */
  rowTexts(row) {
    return this.metadata.profile.map(({number}, index) => {
      if (row[index] === 0 || number !== null) return '';
      const values = this.#profile[index];
      return values === null ? String(row[index]) : (values.value(row[index]) ?? '');
    });
  }

  /**
   * The value of a row of a private column, or null for row 0 and for one that does not exist.
   *
   * @param {number} column
   * @param {number} row
   */
  profileValue(column, row) {
    const values = this.#profile[column];
    if (values !== null) return values.value(row);
    const {number, rows} = this.metadata.profile[column];
    if (number !== null) {
      const found = numberOf(number, row);
      return found === null ? null : String(found);
    }
    return row >= 1 && row < rows ? String(row) : null;
  }

  /**
   * @param {number} index
   * @param {string | undefined} value
   */
  #code(index, value) {
    const {name, number, rows} = this.metadata.profile[index];
    const values = this.#profile[index];
    if (values !== null) return values.row(value);
    if (number === null) return rowOf(value ?? '', rows);
    return numberCode(number, isBlank(value) ? null : readNumber(name, String(value)));
  }
}

/** @param {URL} address */
async function asked(address) {
  const answer = await fetch(address).catch((error) => {
    throw unfetched(address, `it cannot be reached: ${error}`, error);
  });
  if (answer.ok) return answer;
  throw unfetched(address, `the server answered ${answer.status}`);
}

/**
 * @param {Response} answer
 * @param {URL} address of it
 * @param {number} most bytes
 */
async function bodyOf(answer, address, most) {
  const content = await atMost(answer, most).catch((error) => {
    throw unfetched(address, `the connection broke: ${error}`, error);
  });
  if (content !== null) return content;
  throw unfetched(address, `it has more than the ${most} bytes that it may have`);
}

/**
 * @param {URL} address
 * @param {string} why
 * @param {unknown} [cause]
 */
function unfetched(address, why, cause) {
  return new ModelFileError(
    `${address}: expected a model with ${MANIFEST} beside it, ${why}; copy both from the folder of \`ecct export\``,
    {cause},
  );
}

/** @param {string | undefined} value */
const isBlank = (value) => value === undefined || value === null || String(value).trim() === '';

/**
 * @param {string} text
 * @param {number} rows
 */
function rowOf(text, rows) {
  const row = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  return row < rows ? row : 0;
}

/**
 * @param {string} column
 * @param {string} text
 */
function readNumber(column, text) {
  const found = Number(text.trim());
  if (Number.isNaN(found) && text.trim() !== 'NaN') {
    throw new InputError(
      `profile: expected a number in the column ${column}, or nothing where it is unknown, got ${text}`,
    );
  }
  return found;
}
