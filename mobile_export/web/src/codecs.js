/** How rows of numbers are written in what crosses: the library's codecs, and those that an app brings. */
import {ByteReader, ByteWriter, floatToHalf, halfToFloat} from './bytes.js';
import {CodecError, ModelFileError} from './errors.js';
import {crc32} from './hashing.js';

/**
 * A way to write a row of numbers. For a run of a custom codec (`exchange.codec=module:name`) the app writes the same codec
 * in JavaScript and passes it to `ModelFile.fetch`: equal rows have the bytes of the Python form, to the last bit.
 *
 * @typedef {object} Codec
 * @property {string} name as run and file have it, such as `my_pkg.codecs:int4`
 * @property {(width: number) => number} rowBytes bytes of a row of `width` numbers, for any width from 1
 * @property {(row: Float32Array) => Uint8Array} encode the bytes of a row; equal rows have equal bytes
 * @property {(content: Uint8Array, width: number) => Float32Array} decode the numbers of a row; of bytes that no encoder
 *   writes any numbers, or NaN, which the device refuses
 */

/** In which the graph of a file takes and gives numbers. @typedef {'float32' | 'float16' | 'int8'} GraphCodec */

const LARGEST_HALF = 65504;
/** The smallest normal float16. */
const SMALLEST_SCALE = 2 ** -14;
const MOST_STEPS = 127;
const OWN_CODES = 128;
/** Widths of the rows that a codec is tried on. */
const TRIED = [1, 7, 24];

/** Bytes of one value, without the scale of its row. @type {Record<GraphCodec, number>} */
export const VALUE_BYTES = {float32: 4, float16: 2, int8: 1};

/** The library's own, by their numbers in headers. @type {readonly Codec[]} */
export const BUILT_IN = [
  {
    name: 'float32',
    rowBytes: (width) => 4 * width,
    encode: (row) => new ByteWriter().float32s(row).done(),
    decode: (content, width) => new ByteReader(content).float32s(width),
  },
  {
    name: 'float16',
    rowBytes: (width) => 2 * width,
    // Without the bounds a large value would be transmitted as infinity.
    encode: (row) => new ByteWriter().halves(Array.from(row, (value) => floatToHalf(bounded(value, -LARGEST_HALF, LARGEST_HALF)))).done(),
    decode(content, width) {
      const bytes = new ByteReader(content);
      return Float32Array.from({length: width}, () => bytes.half());
    },
  },
  {
    // Steps of -127..127, and a float16 scale behind each row.
    name: 'int8',
    rowBytes: (width) => width + 2,
    encode(row) {
      const peak = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const half = floatToHalf(bounded(Math.fround(peak / MOST_STEPS), SMALLEST_SCALE, LARGEST_HALF));
      // Divided by the scale as the receiver reads it.
      const scale = halfToFloat(half);
      const steps = Int8Array.from(row, (value) =>
        bounded(roundToEven(Math.fround(value / scale)), -MOST_STEPS, MOST_STEPS));
      return new ByteWriter().bytes(new Uint8Array(steps.buffer)).halves([half]).done();
    },
    decode(content, width) {
      const bytes = new ByteReader(content);
      const steps = Int8Array.from(bytes.bytes(width));
      const scale = bytes.half();
      return Float32Array.from(steps, (step) => step * scale);
    },
  },
];

/** @type {ReadonlyMap<string, Codec>} */
const BUILT_IN_BY_NAME = new Map(BUILT_IN.map((codec) => [codec.name, codec]));

/** Of float32 as of any codec of the app. @param {string} name @returns {GraphCodec} */
export const graphCodec = (name) => /** @type {GraphCodec} */ (BUILT_IN_BY_NAME.has(name) ? name : 'float32');

/**
 * The codec that a file names, which was tried where it is the app's.
 *
 * @param {string} name
 * @param {readonly Codec[]} own of the app
 * @throws {ModelFileError} when there is none of that name.
 * @throws {CodecError} when one of the app's has no name of its own, or does not do what a codec does.
 */
export function codecNamed(name, own) {
  const known = new Map(BUILT_IN_BY_NAME);
  for (const codec of own) {
    if (typeof codec?.name !== 'string' || codec.name === '' || known.has(codec.name)) {
      throw new CodecError(
        `codec '${codec?.name}': expected a name that no other codec has, such as my_pkg.codecs:int4; name it as the run ` +
          'does, and pass it once',
      );
    }
    known.set(codec.name, codec);
  }
  const found = known.get(name);
  if (found === undefined) {
    throw new ModelFileError(
      `expected codec ${[...known.keys()].join(', ')}, got ${name}; write it as a Codec of this name and pass it: ` +
        'ModelFile.fetch(address, {codecs: […]})',
    );
  }
  if (!BUILT_IN_BY_NAME.has(name)) TRIED.forEach((width) => tryOn(found, width));
  return found;
}

/**
 * @param {Codec} codec
 * @param {number} width
 */
function tryOn(codec, width) {
  const row = Float32Array.from({length: width}, (_, place) => ((place % 5) - 2) * 0.375);
  const content = encodeRow(codec, row);
  const again = encodeRow(codec, row);
  if (!content.every((byte, place) => byte === again[place])) {
    throw new CodecError(
      `codec ${codec.name}: expected equal rows to have equal bytes, they differ; draw no random numbers`,
    );
  }
  decodeRow(codec, content, width);
}

/** The byte that stands for a codec in headers, `ecct_tf.wire.codec_codes` in Python. @param {Codec} codec */
export function codeOf({name}) {
  const place = BUILT_IN.findIndex((codec) => codec.name === name);
  return place >= 0 ? place : OWN_CODES + (crc32(new TextEncoder().encode(name)) % OWN_CODES);
}

/** Whether a byte stands for a codec: the library's, or from 128 another. @param {number} code */
export const isCode = (code) => code < BUILT_IN.length || code >= OWN_CODES;

/** What is expected of a byte that stands for none. */
export const EXPECTED_CODE = `expected a codec below ${BUILT_IN.length}, or a custom one from ${OWN_CODES}`;

/**
 * Bytes of a row of `width` numbers.
 *
 * @param {Codec} codec
 * @param {number} width
 */
export function rowBytes(codec, width) {
  const length = guarded(codec, `rowBytes(${width})`, () => codec.rowBytes(width));
  if (!Number.isInteger(length) || length < 1) {
    throw new CodecError(`codec ${codec.name}: rowBytes(${width}): expected a whole number above 0, got ${length}`);
  }
  return length;
}

/**
 * The bytes of a row, as many as the codec says.
 *
 * @param {Codec} codec
 * @param {Float32Array} row
 */
export function encodeRow(codec, row) {
  const expected = rowBytes(codec, row.length);
  const content = guarded(codec, 'encode', () => codec.encode(row.slice()));
  if (!(content instanceof Uint8Array) || content.length !== expected) {
    throw new CodecError(
      `codec ${codec.name}: encode: expected a Uint8Array of ${expected} bytes of ${row.length} numbers, as rowBytes says, ` +
        `got ${content?.constructor?.name} of ${content?.length}`,
    );
  }
  return content;
}

/**
 * The numbers of a row, as many as were asked for.
 *
 * @param {Codec} codec
 * @param {Uint8Array} content
 * @param {number} width
 */
export function decodeRow(codec, content, width) {
  const row = guarded(codec, 'decode', () => codec.decode(content.slice(), width));
  if (!(row instanceof Float32Array) || row.length !== width) {
    throw new CodecError(
      `codec ${codec.name}: decode: expected a Float32Array of ${width} numbers, got ${/** @type {any} */ (row)?.constructor?.name} ` +
        `of ${/** @type {any} */ (row)?.length}`,
    );
  }
  return row;
}

/**
 * @template T
 * @param {Codec} codec
 * @param {string} call
 * @param {() => T} block
 */
function guarded({name}, call, block) {
  try {
    return block();
  } catch (error) {
    throw new CodecError(`codec ${name}: ${call} failed: ${error}`, {cause: error});
  }
}

/**
 * NaN stays.
 *
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
const bounded = (value, least, most) => Math.min(Math.max(value, least), most);

/** The next whole number, of two the even one. @param {number} value */
function roundToEven(value) {
  const found = Math.round(value);
  return found - value === 0.5 && found % 2 !== 0 ? found - 1 : found;
}
