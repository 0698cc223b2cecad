/**
 * Files that prove themselves, `ecct_tf.wire.sealed` in Python: a magic of four letters and a format
 * (uint16) first, the SHA-256 of all before it last.
 */
import {ByteReader, concatenated, sameBytes} from './bytes.js';
import {SealError} from './errors.js';
import {sha256} from './hashing.js';

export const DIGEST_BYTES = 32;
const PREFIX_BYTES = 6;

/** `body` followed by its SHA-256. @param {Uint8Array} body */
export const seal = (body) => concatenated([body, sha256(body)]);

/**
 * The body of `content`, behind magic and format.
 *
 * @param {Uint8Array} content
 * @param {{magic: string, formats: number[], what: string}} expected
 * @returns {{body: ByteReader, format: number}}
 * @throws {SealError} when it is damaged, or of another kind or format.
 */
export function unseal(content, {magic, formats, what}) {
  const length = content.length - DIGEST_BYTES;
  if (length < PREFIX_BYTES || String.fromCharCode(...content.subarray(0, magic.length)) !== magic) {
    throw new SealError(
      `${what}: expected a file that begins with ${magic}, got ${content.length} bytes of something else`,
    );
  }
  if (!sameBytes(sha256(content.subarray(0, length)), content.subarray(length))) {
    throw new SealError(
      `${what}: the checksum does not fit the ${content.length} bytes, they are truncated or altered`,
    );
  }
  const body = new ByteReader(content.subarray(0, length));
  body.bytes(magic.length);
  const format = body.uint16();
  if (!formats.includes(format)) {
    throw new SealError(
      `${what}: expected format ${formats.join(' or ')}, got ${format}, which another version of ECCT-TF wrote`,
    );
  }
  return {body, format};
}

/** The SHA-256 that sealed content ends with. @param {Uint8Array} content */
export const proofOf = (content) => content.slice(Math.max(0, content.length - DIGEST_BYTES));
