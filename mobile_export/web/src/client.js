/**
 * A device's side of `ecct cloud serve`: fetches what is published, and hands over answers. The service must name the
 * page's origin in `--allow-origin`. The browser keeps what it fetched by `ETag`, and decompresses what comes compressed;
 * a broken download begins anew.
 */
import {MOST_BYTES, atMost} from './bodies.js';
import {DownlinkFile} from './downlink.js';
import {
  InputError, JsonError, ModelFileError, PayloadError, RecordRefusedError, StalePublicationError, TokenRefusedError, TransportError,
  UnreachableError,
} from './errors.js';
import {sha256Hex} from './hashing.js';
import {Told, utf8} from './json.js';
import {MANIFEST, ModelFile, announcedBytes} from './model_file.js';
import {readPublication, readReceipt} from './publication.js';
import {DIGEST_BYTES} from './sealed.js';
import {checkSignature} from './signing.js';
import {toHex} from './bytes.js';
import {byPlace} from './uplink.js';

const AGAIN = [408, 425, 429, 500, 502, 503, 504];
const UNPROCESSABLE = 422;
const REFUSED = [400, 403, 413, UNPROCESSABLE];

/**
 * How often a request is tried: before attempt n + 1 it waits a random time up to `firstSeconds * 2^(n - 1)`, or what the
 * service asked for and as much again at random; never all devices at the same moment.
 *
 * @typedef {{attempts: number, firstSeconds: number, mostSeconds: number, sleep: (seconds: number) => Promise<void>}} Retries
 */

/** @type {Retries} */
const RETRIES = {
  attempts: 5,
  firstSeconds: 1,
  mostSeconds: 120,
  sleep: (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds)),
};

export class CloudClient {
  #address;
  #token;
  #retries;
  #fetch;
  #keys;
  #newest;
  #ed25519;
  #clock;
  #takesPlaces = false;

  /**
   * @param {object} given
   * @param {string} given.address of the service
   * @param {string} given.token of the device
   * @param {Partial<Retries>} [given.retries]
   * @param {typeof globalThis.fetch} [given.fetch]
   * @param {import('./signing.js').PublicKey[]} [given.keys] of whom publications must be signed by, one of them; none
   *   takes unsigned ones too
   * @param {import('./signing.js').NewestSigned} [given.newest] needed with keys: `newestSigned` of `IndexedDbStates`
   * @param {import('./signing.js').Ed25519} [given.ed25519] in the place of the browser's
   * @param {() => number} [given.clock] seconds since 1970, by which signatures expire
   * @throws {InputError} when keys are given without a place for the newest.
   */
  constructor({
    address, token, retries, fetch = globalThis.fetch.bind(globalThis), keys = [], newest, ed25519,
    clock = () => Date.now() / 1000,
  }) {
    if (keys.length > 0 && newest === undefined) {
      throw new InputError(
        'CloudClient: expected `newest` with `keys`, such as `states.newestSigned(address)`: without it an older ' +
          'publication could be given again',
      );
    }
    this.#keys = keys;
    this.#newest = newest;
    this.#ed25519 = ed25519;
    this.#clock = clock;
    this.#address = address.replace(/\/$/, '');
    this.#token = token;
    this.#retries = {...RETRIES, ...retries};
    this.#fetch = fetch;
  }

  /**
   * What is published now. From here on `send` leaves items out where the service says that it takes answers by place.
   *
   * @returns {Promise<import('./publication.js').Publication>}
   * @throws {TransportError} when it cannot be fetched, or is damaged.
   * @throws {SignatureError} when it is not signed by one of the keys, has expired, or is older than one that was accepted.
   */
  async current() {
    const answer = await this.#ask('GET', '/v1/current');
    const content = await this.#whole(answer, '/v1/current');
    if (this.#newest !== undefined && this.#keys.length > 0) {
      const newest = await this.#newest.read();
      const given = {now: this.#clock(), newest, ed25519: this.#ed25519};
      await this.#newest.write(await checkSignature(content, this.#keys, given));
    }
    this.#takesPlaces = answer.headers.get('ecct-answer-by') === 'place';
    return this.#told('/v1/current', () => readPublication(content));
  }

  /**
   * The downlink of the token's user; of a user whom the cloud does not know, a segment's.
   *
   * @param {import('./publication.js').Publication} publication the current one
   * @param {import('./metadata.js').Exchange} exchange of the model that reads it
   * @param {number} [segment] the first is that of all users
   * @throws {TransportError} when it cannot be fetched or is damaged.
   * @throws {StalePublicationError} when it is of another publication.
   */
  async downlink(publication, exchange, segment = 0) {
    const path = '/v1/downlink';
    // A user's own: it does not stay in the browser's cache.
    const answer = await this.#ask('GET', path, undefined, 'no-store');
    const isOwn = answer.status !== 404;
    const content = isOwn ? await this.#whole(answer, path) : await this.#segments(publication);
    const found = this.#told(path, () => {
      const file = DownlinkFile.parse(content);
      if (file.segments === isOwn || (isOwn && file.keys.length !== 1)) {
        throw new PayloadError(
          `expected downlinks of ${isOwn ? 'users, of one alone' : 'segments'}, got ${file.keys.length} of ` +
            `${file.segments ? 'segments' : 'users'}`,
        );
      }
      return file.of(isOwn ? file.keys[0] : segment, exchange);
    });
    if (found === null) throw new TransportError(`${path}: expected one of segment ${segment}, there is none`);
    if (found.cloudVersion !== publication.cloudVersion || found.round !== publication.round) {
      throw new StalePublicationError(
        `${path}: expected one of version ${publication.cloudVersion} and round ${publication.round}, got ` +
          `${found.cloudVersion} and ${found.round}; the cloud published meanwhile, ask again`,
      );
    }
    return found;
  }

  /**
   * An exported file that the service offers, checked against its manifest.
   *
   * @param {string} name
   * @param {{codecs?: readonly import('./codecs.js').Codec[]}} [options] as for `ModelFile.parse`
   * @throws {TransportError} when it is not offered, or not what its manifest says.
   */
  async model(name, options = {}) {
    const manifest = new TextDecoder().decode(await this.#body(`/v1/models/${MANIFEST}`));
    const content = await this.#body(`/v1/models/${name}`, announcedBytes(manifest, name));
    try {
      return await ModelFile.parse(name, content, manifest, options);
    } catch (error) {
      if (!(error instanceof ModelFileError)) throw error;
      throw new TransportError(`/v1/models/${name}: ${error.message}`, {cause: error});
    }
  }

  /**
   * Hands over answers; when it returns, they are on the service's disk.
   *
   * @param {Uint8Array[]} records of `uplinkRecord`, all of the token's user; where the service takes answers by place
   *   they travel without their items, unless it asks for these
   * @returns {Promise<{taken: number, repeated: number, tooOld: number}>}
   * @throws {RecordRefusedError} when one can never be taken; the others were not either.
   * @throws {TransportError} when nothing is known of them; send them again.
   */
  async send(records) {
    const path = '/v1/uplinks';
    let answer = await this.#put(this.#takesPlaces ? records.map(byPlace) : records);
    let told = await refusal(answer);
    if (this.#takesPlaces && answer.status === UNPROCESSABLE && told?.answer_by === 'item') {
      // The service no longer has the questions of one of them.
      answer = await this.#put(records);
      told = await refusal(answer);
    }
    if (REFUSED.includes(answer.status)) {
      if (Number.isInteger(told?.index)) throw new RecordRefusedError(String(told.error), told.index);
      throw new TransportError(`${path}: the service answered ${answer.status}: ${told?.error ?? ''}`);
    }
    const content = await this.#whole(answer, path);
    return this.#told(path, () => readReceipt(content, records.length));
  }

  /** A new token, which this client uses from now on; the app has to keep it. */
  async rotateToken() {
    const path = '/v1/token';
    const content = await this.#whole(await this.#ask('POST', path), path);
    this.#token = this.#told(path, () => Told.parse(utf8(content), 'answer').text('token'));
    return this.#token;
  }

  /** @param {Uint8Array[]} records */
  async #put(records) {
    return this.#ask('PUT', '/v1/uplinks', new Blob(/** @type {BlobPart[]} */ (records)));
  }

  /** @param {import('./publication.js').Publication} publication */
  async #segments({segments: {path, numBytes, sha256}}) {
    const content = await this.#body(`/v1/files/${encodeURIComponent(path)}`, numBytes);
    const isSound =
      content.length === numBytes && toHex(content.slice(-DIGEST_BYTES)) === sha256 &&
      sha256Hex(content.subarray(0, content.length - DIGEST_BYTES)) === sha256;
    if (!isSound) throw new TransportError(`/v1/files/${path}: expected the content that was published, got another`);
    return content;
  }

  /**
   * @param {string} path
   * @param {number} [most]
   */
  async #body(path, most) {
    return this.#whole(await this.#ask('GET', path), path, most);
  }

  /**
   * The body of a success, which the browser decompresses; one that becomes longer than it may be is refused.
   *
   * @param {Response} answer
   * @param {string} path
   * @param {number} [most]
   */
  async #whole(answer, path, most = MOST_BYTES) {
    if (answer.status !== 200) {
      const told = await answer.json().catch(() => ({}));
      throw new TransportError(`${path}: the service answered ${answer.status}: ${told?.error ?? ''}`);
    }
    let content;
    try {
      content = await atMost(answer, most);
    } catch (error) {
      throw new UnreachableError(`${path}: the connection broke: ${error}`, {cause: error});
    }
    if (content !== null) return content;
    throw new TransportError(`${path}: expected at most ${most} bytes, got more; is it the service that is meant?`);
  }

  /**
   * Asks again where that can help: answers are taken once.
   *
   * @param {string} method
   * @param {string} path
   * @param {BodyInit} [body]
   * @param {RequestCache} [cache]
   * @returns {Promise<Response>}
   */
  async #ask(method, path, body, cache = 'no-cache') {
    const {attempts, firstSeconds, mostSeconds, sleep} = this.#retries;
    for (let failed = 1; ; failed++) {
      let problem;
      let wait = null;
      try {
        const headers = {Authorization: `Bearer ${this.#token}`};
        const answer = await this.#fetch(this.#address + path, {method, headers, body, cache});
        if (answer.status === 401) {
          throw new TokenRefusedError('the service refused the token: it expired or was revoked; get another one');
        }
        if (!AGAIN.includes(answer.status)) return answer;
        wait = answer.headers.get('retry-after');
        problem = new UnreachableError(`${method} ${path}: the service answered ${answer.status}`);
      } catch (error) {
        if (error instanceof TokenRefusedError) throw error;
        problem = new UnreachableError(
          `${method} ${path}: ${error}; is the service at ${this.#address}, and does its --allow-origin name this page's?`,
          {cause: error},
        );
      }
      if (failed >= attempts) throw problem;
      const asked = wait !== null && /^\d{1,9}$/.test(wait) ? Number(wait) : null;
      const seconds = asked === null ? firstSeconds * 2 ** (failed - 1) * Math.random() : asked * (1 + Math.random());
      await sleep(Math.min(mostSeconds, seconds));
    }
  }

  /**
   * @template T
   * @param {string} path
   * @param {() => T} read
   */
  #told(path, read) {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof JsonError) && !(error instanceof PayloadError)) throw error;
      throw new TransportError(`${path}: ${error.message}; is it the service that is meant?`, {cause: error});
    }
  }
}

/**
 * What a refusal says; nothing of other answers, whose body is still to be read.
 *
 * @param {Response} answer
 */
async function refusal(answer) {
  return REFUSED.includes(answer.status) ? answer.json().catch(() => ({})) : {};
}
