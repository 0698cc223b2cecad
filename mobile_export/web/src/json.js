/** JSON that knows its place in a document, and JSON as Python writes it. */
import {JsonError} from './errors.js';

/** The largest whole number of four bytes. */
export const MAX_INT = 2 ** 31 - 1;

/** An object of a JSON document. */
export class Told {
  /**
   * @param {Record<string, any>} members
   * @param {string} place for messages
   */
  constructor(members, place) {
    this.members = members;
    this.place = place;
  }

  /**
   * @param {string} text
   * @param {string} place
   */
  static parse(text, place) {
    let found;
    try {
      found = JSON.parse(text);
    } catch (error) {
      throw new JsonError(`${place}: expected JSON: ${error}`);
    }
    if (!isObject(found)) throw new JsonError(`${place}: expected an object`);
    return new Told(found, place);
  }

  get names() {
    return Object.keys(this.members);
  }

  /** @param {string} name */
  has(name) {
    return Object.hasOwn(this.members, name) && this.members[name] !== null;
  }

  /** @param {string} name */
  value(name) {
    return Object.hasOwn(this.members, name) ? this.members[name] : undefined;
  }

  /** @param {string} name @returns {string} */
  text(name) {
    return this.#typed(name, 'a string', (value) => typeof value === 'string');
  }

  /** @param {string} name */
  textOrNull(name) {
    return this.has(name) ? this.text(name) : null;
  }

  /** @param {string} name @returns {boolean} */
  flag(name) {
    return this.#typed(name, 'true or false', (value) => typeof value === 'boolean');
  }

  /** @param {string} name @returns {number} */
  number(name) {
    return this.#typed(name, 'a number', (value) => typeof value === 'number' && Number.isFinite(value));
  }

  /** @param {string} name */
  count(name) {
    return whole(this.number(name), `${this.place}.${name}`);
  }

  /** @param {string} name */
  atLeastOne(name) {
    const found = this.count(name);
    if (found < 1) throw new JsonError(`${name}: expected a whole number from 1, got ${found}`);
    return found;
  }

  /** @param {string} name */
  child(name) {
    return new Told(this.#typed(name, 'an object', isObject), `${this.place}.${name}`);
  }

  /** @param {string} name @returns {any[]} */
  list(name) {
    return this.#typed(name, 'a list', Array.isArray);
  }

  /** @param {string} name */
  children(name) {
    return this.list(name).map((entry, index) => {
      const place = `${this.place}.${name}[${index}]`;
      if (!isObject(entry)) throw new JsonError(`${place}: expected an object, got ${entry}`);
      return new Told(entry, place);
    });
  }

  /** Extents of a shape; null where the caller decides. @param {string} name */
  shape(name) {
    return this.list(name).map((extent) => (extent === null ? null : whole(extent, `${this.place}.${name}`)));
  }

  /**
   * @param {string} name
   * @param {string} expected
   * @param {(value: any) => boolean} fits
   */
  #typed(name, expected, fits) {
    const found = this.value(name);
    if (!fits(found)) {
      throw new JsonError(`${this.place}.${name}: expected ${expected}, got ${found ?? 'nothing'}`);
    }
    return found;
  }
}

/**
 * `content` as text; nothing that is not UTF-8 is replaced by something else.
 *
 * @param {Uint8Array} content
 */
export function utf8(content) {
  try {
    return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(content);
  } catch (error) {
    throw new JsonError(`expected text in UTF-8: ${error}`);
  }
}

/** @param {any} value */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * @param {any} value
 * @param {string} where
 * @returns {number}
 */
export function whole(value, where = 'entry') {
  if (!Number.isInteger(value) || value < 0 || value > MAX_INT) {
    throw new JsonError(`${where}: expected a whole number that is not negative, got ${value}`);
  }
  return value;
}

/** @param {any} value @returns {string} */
export function word(value) {
  if (typeof value !== 'string') throw new JsonError(`expected a string, got ${value}`);
  return value;
}

/** @param {any} value @returns {any[]} */
export function listed(value) {
  if (!Array.isArray(value)) throw new JsonError(`expected a list, got ${value}`);
  return value;
}

/**
 * @param {any} value
 * @param {number} count
 * @returns {any[]}
 */
export function entries(value, count) {
  if (!Array.isArray(value) || value.length !== count) {
    throw new JsonError(`expected ${count} entries, got ${value}`);
  }
  return value;
}

/**
 * JSON as Python's `json.dumps(value, sort_keys=True)` writes it: what a hash is taken of must be
 * the same text on both sides. Whole numbers are written as such.
 *
 * @param {any} value
 * @returns {string}
 */
export function jsonText(value) {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : pythonFloat(value);
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(', ')}]`;
  if (ArrayBuffer.isView(value)) return jsonText(Array.from(/** @type {any} */ (value)));
  const members = Object.keys(value).sort().map((name) => `${quoted(name)}: ${jsonText(value[name])}`);
  return `{${members.join(', ')}}`;
}

/** As Python's `repr` writes a float. @param {number} value */
export function pythonFloat(value) {
  if (!Number.isFinite(value)) throw new JsonError(`expected a finite number, got ${value}`);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  const text = String(value);
  return text.includes('.') ? text : `${Object.is(value, -0) ? '-0' : text}.0`;
}

/** As Python writes a string. @param {string} text */
export function quoted(text) {
  return JSON.stringify(text).replace(/[^ -~]/g, (character) =>
    '\\u' + character.charCodeAt(0).toString(16).padStart(4, '0'));
}
