/** Little-endian bytes: reading, writing, float16, hexadecimal. */

const SCRATCH = new DataView(new ArrayBuffer(4));

/** Reads numbers one after another; a `RangeError` where the bytes end before them. */
export class ByteReader {
  /** @param {Uint8Array} content */
  constructor(content) {
    this.content = content;
    this.view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    this.at = 0;
  }

  get remaining() {
    return this.content.length - this.at;
  }

  /** @param {number} count */
  bytes(count) {
    if (count < 0 || count > this.remaining) throw new RangeError('too few bytes');
    return this.content.slice(this.at, (this.at += count));
  }

  uint8() {
    return this.view.getUint8(this.#next(1));
  }

  uint16() {
    return this.view.getUint16(this.#next(2), true);
  }

  uint32() {
    return this.view.getUint32(this.#next(4), true);
  }

  int32() {
    return this.view.getInt32(this.#next(4), true);
  }

  float32() {
    return this.view.getFloat32(this.#next(4), true);
  }

  half() {
    return halfToFloat(this.uint16());
  }

  /** @param {number} count */
  int32s(count) {
    return asInt32(this.bytes(4 * count));
  }

  /** @param {number} count */
  float32s(count) {
    return asFloat32(this.bytes(4 * count));
  }

  /** Seconds, which a double holds exactly. @param {number} count */
  int64s(count) {
    const view = new DataView(this.bytes(8 * count).buffer);
    return Array.from({length: count}, (_, place) => Number(view.getBigInt64(8 * place, true)));
  }

  /** @param {number} size */
  #next(size) {
    const at = this.at;
    this.at += size;
    return at;
  }
}

/** Writes numbers one after another. */
export class ByteWriter {
  /** @type {Uint8Array[]} */
  #parts = [];

  /** @param {Uint8Array} content */
  bytes(content) {
    this.#parts.push(content);
    return this;
  }

  /** @param {string} text */
  text(text) {
    return this.bytes(new TextEncoder().encode(text));
  }

  /** @param {number} value */
  uint8(value) {
    return this.bytes(Uint8Array.of(value));
  }

  /** @param {number} value */
  uint16(value) {
    return this.bytes(Uint8Array.of(value, value >> 8));
  }

  /** @param {number} value */
  int32(value) {
    return this.int32s([value]);
  }

  /** @param {number} value */
  uint32(value) {
    return this.int32s([value | 0]);
  }

  /** @param {ArrayLike<number>} values */
  int32s(values) {
    return this.#written(values, 4, (view, at, value) => view.setInt32(at, value, true));
  }

  /** @param {ArrayLike<number>} values */
  float32s(values) {
    return this.#written(values, 4, (view, at, value) => view.setFloat32(at, value, true));
  }

  /** @param {ArrayLike<number>} values whole numbers that a double holds */
  int64s(values) {
    return this.#written(values, 8, (view, at, value) => view.setBigInt64(at, BigInt(value), true));
  }

  /** The low halves of whole numbers: bits of float16. @param {ArrayLike<number>} bits */
  halves(bits) {
    return this.#written(bits, 2, (view, at, value) => view.setUint16(at, value & 0xffff, true));
  }

  done() {
    return concatenated(this.#parts);
  }

  /**
   * @param {ArrayLike<number>} values
   * @param {number} size
   * @param {(view: DataView, at: number, value: number) => void} put
   */
  #written(values, size, put) {
    const view = new DataView(new ArrayBuffer(size * values.length));
    for (let place = 0; place < values.length; place++) put(view, size * place, values[place]);
    return this.bytes(new Uint8Array(view.buffer));
  }
}

/** @param {Uint8Array[]} parts */
export function concatenated(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {Uint8Array} content */
export function asInt32(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  return Int32Array.from({length: content.length / 4}, (_, place) => view.getInt32(4 * place, true));
}

/** @param {Uint8Array} content */
export function asFloat32(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  return Float32Array.from({length: content.length / 4}, (_, place) => view.getFloat32(4 * place, true));
}

/** The value of a float16. @param {number} bits in the low half */
export function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  // Subnormal: the fraction counts steps of 2^-24.
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  SCRATCH.setUint32(0, ((bits & 0x8000) << 16) | ((exponent + 112) << 23) | (fraction << 13));
  return SCRATCH.getFloat32(0);
}

/** The bits of the float16 that is next to a float32, of two the even one. @param {number} value */
export function floatToHalf(value) {
  SCRATCH.setFloat32(0, value);
  const bits = SCRATCH.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  // 65,520, which lies half way to the next that there would be.
  if (size >= 0x477ff000) return sign | 0x7c00;
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  // Subnormal: steps of 2^-24.
  const steps = Math.abs(value) * 2 ** 24;
  const found = Math.round(steps);
  return sign | (found - steps === 0.5 && found % 2 !== 0 ? found - 1 : found);
}

/** @param {Uint8Array} content */
export function toHex(content) {
  return Array.from(content, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param {string} text */
export function fromHex(text) {
  return Uint8Array.from({length: text.length / 2}, (_, place) => parseInt(text.slice(2 * place, 2 * place + 2), 16));
}

/**
 * @param {Uint8Array | null} one
 * @param {Uint8Array | null} other
 */
export function sameBytes(one, other) {
  if (one === null || other === null) return one === other;
  return one.length === other.length && one.every((byte, place) => byte === other[place]);
}
