/**
 * SHA-256 and CRC-32, at once rather than by a promise.
 *
 * `crypto.subtle` answers later and only in secure contexts; a state is sealed, and two states are
 * compared, in the middle of a transaction that would end meanwhile. `test/hashing.test.mjs` holds
 * both against those of Node.
 */
import {toHex} from './bytes.js';

const PRIMES = (() => {
  /** @type {number[]} */
  const found = [];
  for (let number = 2; found.length < 64; number++) {
    if (found.every((prime) => number % prime !== 0)) found.push(number);
  }
  return found;
})();

/** The first 32 bits behind the point of `value`. @param {number} value */
const fraction = (value) => ((value - Math.floor(value)) * 2 ** 32) | 0;

const ROUNDS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));
const START = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

/**
 * @param {number} word
 * @param {number} by
 */
const turned = (word, by) => (word >>> by) | (word << (32 - by));

/**
 * @param {Uint8Array} content
 * @returns {Uint8Array} 32 bytes
 */
export function sha256(content) {
  const state = START.slice();
  const words = new Int32Array(64);
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const whole = content.length - (content.length % 64);
  for (let at = 0; at < whole; at += 64) mixed(state, words, view, at);
  const rest = new Uint8Array(content.length - whole < 56 ? 64 : 128);
  rest.set(content.subarray(whole));
  rest[content.length - whole] = 0x80;
  const last = new DataView(rest.buffer);
  last.setBigUint64(rest.length - 8, BigInt(content.length) * 8n);
  for (let at = 0; at < rest.length; at += 64) mixed(state, words, last, at);
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, place) => digest.setInt32(4 * place, word));
  return new Uint8Array(digest.buffer);
}

/**
 * @param {Int32Array} state
 * @param {Int32Array} words
 * @param {DataView} view
 * @param {number} at
 */
function mixed(state, words, view, at) {
  for (let place = 0; place < 16; place++) words[place] = view.getInt32(at + 4 * place);
  for (let place = 16; place < 64; place++) {
    const early = words[place - 15];
    const late = words[place - 2];
    words[place] =
      words[place - 16] + words[place - 7] +
      (turned(early, 7) ^ turned(early, 18) ^ (early >>> 3)) +
      (turned(late, 17) ^ turned(late, 19) ^ (late >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let place = 0; place < 64; place++) {
    const first =
      (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[place] + words[place]) | 0;
    const second = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, place) => (state[place] += word));
}

/** @param {Uint8Array} content */
export const sha256Hex = (content) => toHex(sha256(content));

/** @param {string} text */
export const sha256OfText = (text) => sha256Hex(new TextEncoder().encode(text));

const CRC = Uint32Array.from({length: 256}, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/** @param {Uint8Array} content */
export function crc32(content) {
  let rest = 0xffffffff;
  for (const byte of content) rest = (rest >>> 8) ^ CRC[(rest ^ byte) & 0xff];
  return (rest ^ 0xffffffff) >>> 0;
}
