/**
 * Signatures of publications, as `ecct_tf.wire.signing` in Python makes them: Ed25519 over `current.json` up to the signature
 * itself, which stands at the end with the times from and until which it is valid. The arithmetic is the browser's (WebCrypto).
 */
import {fromHex} from './bytes.js';
import {SignatureError} from './errors.js';
import {sha256Hex} from './hashing.js';

const PREFIX = 'ECCT publication 2\n';
const TIME = '(0|[1-9][0-9]{0,11})';
const TAIL = new RegExp(
  `,\\n  "signature": \\{"key": "([0-9a-f]{16})", "issued_at": ${TIME}, "expires_at": ${TIME}, "ed25519": "([0-9a-f]{128})"\\}\\n\\}\\n$`,
);
const AFTER = ', "ed25519": "'.length + 128 + '"}\n}\n'.length;
const LINE = /^ecct-ed25519 ([0-9a-f]{64})$/;

/**
 * Whether the owner of a key of 32 bytes signed a content.
 *
 * @typedef {(key: Uint8Array, signature: Uint8Array, content: Uint8Array) => Promise<boolean>} Ed25519
 */

/**
 * What a device remembers of the publications that it accepted, so that it is given no older one again.
 *
 * @typedef {object} NewestSigned
 * @property {() => Promise<number>} read when the newest was signed; 0 for none
 * @property {(issuedAt: number) => Promise<void>} write on the disk; an older one than there is leaves it
 */

/** A key that publications may be signed with; it may be known to everybody. */
export class PublicKey {
  /** @param {Uint8Array} content 32 bytes */
  constructor(content) {
    this.content = content;
    this.fingerprint = sha256Hex(content).slice(0, 16);
  }

  /**
   * Reads the line that `ecct cloud keys new` writes.
   *
   * @param {string} text
   * @throws {SignatureError} when it is none.
   */
  static parse(text) {
    const found = LINE.exec(text.trim());
    if (found === null) {
      throw new SignatureError(
        `public key: expected a line of \`ecct-ed25519\` and 64 hexadecimal digits, got ${JSON.stringify(text.slice(0, 40))}`,
      );
    }
    return new PublicKey(fromHex(found[1]));
  }
}

/**
 * By WebCrypto, which has Ed25519 in Chromium since 137, Firefox since 129 and Safari since 17.
 *
 * @type {Ed25519}
 */
export async function webCryptoEd25519(key, signature, content) {
  if (globalThis.crypto?.subtle === undefined) {
    throw new SignatureError('signatures: expected WebCrypto, this page has none; serve it over HTTPS or from localhost');
  }
  const buffers = /** @type {BufferSource[]} */ ([key, signature, content]);
  try {
    const imported = await crypto.subtle.importKey('raw', buffers[0], {name: 'Ed25519'}, false, ['verify']);
    return await crypto.subtle.verify({name: 'Ed25519'}, imported, buffers[1], buffers[2]);
  } catch (error) {
    throw new SignatureError(
      `signatures: expected a browser that has Ed25519 (${error}); give CloudClient \`ed25519\` of a library, or ask ` +
        'for a newer browser',
      {cause: error},
    );
  }
}

/**
 * When the publication `content` was signed, by one of `keys`.
 *
 * @param {Uint8Array} content of `current.json`
 * @param {PublicKey[]} keys
 * @param {object} given
 * @param {number} given.now seconds since 1970
 * @param {number} given.newest when the newest one that was accepted was signed; 0 for none
 * @param {Ed25519} [given.ed25519]
 * @returns {Promise<number>}
 * @throws {SignatureError} when it is not signed, by another key, was changed afterwards, has expired, or is older than
 *   one that was accepted.
 */
export async function checkSignature(content, keys, {now, newest, ed25519 = webCryptoEd25519}) {
  const known = keys.map(({fingerprint}) => fingerprint).join(', ');
  // A mark of the byte order stays, since it is not part of what was signed.
  const text = new TextDecoder('utf-8', {ignoreBOM: true}).decode(content);
  const found = TAIL.exec(text);
  if (found === null) {
    throw new SignatureError(`publication: expected a signature by ${known}, it has none, or it is damaged`);
  }
  const [, name, issued, expires, signature] = found;
  const key = keys.find(({fingerprint}) => fingerprint === name);
  if (key === undefined) {
    throw new SignatureError(
      `publication: expected a signature by ${known}, it is by the key ${name}; somebody else published it, or the key was ` +
        'changed and this app does not know it yet',
    );
  }
  // All behind the signed part is ASCII: as many bytes as characters.
  const prefix = new TextEncoder().encode(PREFIX);
  const signed = new Uint8Array(prefix.length + content.length - AFTER);
  signed.set(prefix);
  signed.set(content.subarray(0, content.length - AFTER), prefix.length);
  if (!(await ed25519(key.content, fromHex(signature), signed))) {
    throw new SignatureError(
      `publication: its signature by ${name} does not fit its content; it was changed after it was signed`,
    );
  }
  if (now >= Number(expires)) {
    throw new SignatureError(
      `publication: its signature by ${name} expired ${Math.floor(now - Number(expires))} seconds ago; is the clock of this ` +
        'device right? The cloud publishes again otherwise',
    );
  }
  if (Number(issued) < newest) {
    throw new SignatureError(
      `publication: it was signed ${newest - Number(issued)} seconds before one that was accepted; somebody gives an older ` +
        'one again, or an old folder was put back',
    );
  }
  return Number(issued);
}
