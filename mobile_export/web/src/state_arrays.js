/**
 * The arrays behind the header of a state, checked before a state is made of them.
 *
 * The header lists them in the order in which they lie, each with its dtype and length. A later release may add arrays
 * of its own behind those known here; they are passed over, but their bytes count: a header that promises more or less
 * than there is, is refused.
 */
import {asFloat32, asInt32, ByteReader} from './bytes.js';
import {JsonError} from './errors.js';
import {entries, Told, utf8, whole} from './json.js';

/** @type {Record<import('./codecs.js').GraphCodec, string>} */
export const EMBEDDINGS = {float32: '<f4', float16: '<f2', int8: '|i1'};

/**
 * In the order in which they lie.
 *
 * @type {Map<string, string[]>}
 */
const DTYPES = new Map([
  ['profile', ['<i4']],
  ['history', ['<i4']],
  ['times', ['<i8']],
  ['values', ['<f4']],
  ['user_embedding', Object.values(EMBEDDINGS)],
  ['queries', ['<i4']],
  ['start', ['<f4']],
  ['context', ['<i4']],
  ['labels', ['|u1']],
]);
const UNKNOWN = /^[<|][a-z]([1-8])$/;
const PREFIX_BYTES = 6;

export class StateArrays {
  #parts;

  /** @param {Map<string, {dtype: string, content: Uint8Array}>} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** @param {string} name */
  has(name) {
    return this.#parts.has(name);
  }

  /** @param {string} name */
  dtype(name) {
    return this.#part(name).dtype;
  }

  /** @param {string} name */
  bytes(name) {
    return this.#part(name).content;
  }

  /** @param {string} name */
  int32s(name) {
    return asInt32(this.bytes(name));
  }

  /** @param {string} name */
  float32s(name) {
    return asFloat32(this.bytes(name));
  }

  /** Seconds, which a double holds exactly up to 2^53. @param {string} name */
  int64s(name) {
    return new ByteReader(this.bytes(name)).int64s(this.bytes(name).length / 8);
  }

  /** @param {string} name */
  #part(name) {
    const found = this.#parts.get(name);
    if (found === undefined) throw new JsonError(`${name}: expected an array, got none`);
    return found;
  }
}

/**
 * The header, called `name` in messages, and the arrays of a state whose checksum fits.
 *
 * @param {ByteReader} body behind magic and format
 * @param {string} name
 * @returns {{header: Told, arrays: StateArrays}}
 * @throws {JsonError} when it is not laid out as it says.
 */
export function readStateBody(body, name) {
  if (body.remaining < PREFIX_BYTES) throw new JsonError(`expected a header, got ${body.remaining} bytes`);
  const reserved = body.uint16();
  if (reserved !== 0) {
    throw new JsonError(
      `expected zeros where nothing is told yet, got ${reserved}; a later version of ECCT-TF wrote it`,
    );
  }
  const length = body.uint32();
  if (length > body.remaining) throw new JsonError(`expected ${length} bytes of header, got ${body.remaining}`);
  const header = Told.parse(utf8(body.bytes(length)), name);
  return {header, arrays: readArrays(header.child('arrays'), body)};
}

/**
 * @param {Told} forms
 * @param {ByteReader} body
 */
function readArrays(forms, body) {
  const known = [...DTYPES.keys()].filter((name) => forms.names.includes(name));
  if (known.some((name, place) => forms.names[place] !== name)) {
    throw new JsonError(`arrays: expected ${known.join(', ')} first, got ${forms.names.join(', ')}`);
  }
  const parts = new Map();
  const there = body.remaining;
  let told = 0;
  for (const name of forms.names) {
    const {dtype, size} = readForm(forms, name);
    told += size;
    if (told <= there) parts.set(name, {dtype, content: body.bytes(size)});
  }
  if (told !== there) throw new JsonError(`expected ${told} bytes of arrays, as the header says, got ${there}`);
  return new StateArrays(parts);
}

/**
 * @param {Told} forms
 * @param {string} name
 */
function readForm(forms, name) {
  const [dtype, count] = entries(forms.value(name), 2);
  const expected = DTYPES.get(name);
  const told = typeof dtype === 'string' ? UNKNOWN.exec(dtype) : null;
  if (told === null || (expected !== undefined && !expected.includes(dtype))) {
    throw new JsonError(`${name}: expected ${expected?.join(' or ') ?? 'a dtype'} and a count, got ${dtype} and ${count}`);
  }
  return {dtype, size: whole(count, name) * Number(told[1])};
}
