/** What the cloud sends: one user's downlink, and files of many. */
import {asFloat32, ByteReader, ByteWriter, halfToFloat, toHex} from './bytes.js';
import {BUILT_IN, codeOf, decodeRow, EXPECTED_CODE, isCode, rowBytes} from './codecs.js';
import {PayloadError, SealError} from './errors.js';
import {MAX_INT} from './json.js';
import {DIGEST_BYTES, unseal} from './sealed.js';

const LARGEST_HALF = 65504;
const TABLE = /^([0-9a-f]{64})?$/;
const HEADER_BYTES = 64;
const MAX_VALUES = 1 << 20;
const WAY_OUT = 'fetch the file again';

/** What the cloud sent one user, as the graph of a file takes it: of an app's own codec the numbers. */
export class Downlink {
  /**
   * @param {object} parts
   * @param {import('./codecs.js').GraphCodec} parts.codec
   * @param {Uint8Array} parts.embedding `[d_c]` values of the codec, little-endian
   * @param {number} parts.scale of an int8 embedding, a float16 number; otherwise 1
   * @param {Int32Array} parts.queries `[Q]`, the items that the cloud asks about; empty when it asks nothing
   * @param {number} [parts.cloudVersion] of the cloud that made it; the answer tells it
   * @param {number} [parts.round] to which the answer belongs
   * @param {string} [parts.tableSha256] of the item table that the embedding fits; empty when untold
   * @param {number | null} [parts.user] whom the cloud made it for, as a published file says; null where it says none: a
   *   segment's, and one from bytes alone; a state does not keep it: whose the device is, it says
   * @throws {PayloadError} when a number is none, or negative.
   */
  constructor({codec, embedding, scale, queries, cloudVersion = 0, round = 0, tableSha256 = '', user = null}) {
    this.codec = codec;
    this.embedding = embedding;
    this.scale = scale;
    this.queries = queries;
    this.cloudVersion = cloudVersion;
    this.round = round;
    this.tableSha256 = tableSha256;
    this.user = user;
    const finite = codec === 'int8' || this.#floats().every(Number.isFinite);
    if (!(scale >= 0 && scale <= LARGEST_HALF) || !finite) {
      throw new PayloadError(
        `downlink: expected finite numbers and a scale in 0..${LARGEST_HALF}, got a scale of ${scale}` +
          `${finite ? '' : ' and values that are not finite'}; fetch it again`,
      );
    }
    const wrong = [...queries, cloudVersion, round, user ?? 0].find((value) => !Number.isInteger(value) || value < 0);
    if (wrong !== undefined || !TABLE.test(tableSha256)) {
      throw new PayloadError(
        'downlink: expected queries, a version, a round and a user from 0 and a SHA-256 or none, got ' +
          `${wrong ?? tableSha256}; fetch it again`,
      );
    }
  }

  /**
   * Reads one user's downlink. Little-endian: the user embedding as its codec writes it, for int8 its
   * scale (float16), then the queries (int32).
   *
   * @param {Uint8Array} content
   * @param {import('./metadata.js').Exchange} exchange
   * @param {{cloudVersion?: number, round?: number, tableSha256?: string, user?: number | null}} [told]
   * @throws {PayloadError} when the length is not that of `exchange`, or a number is none.
   */
  static decode(content, exchange, told = {}) {
    const {codec, graph, cloudDim, queries, downlinkBytes} = exchange;
    if (content.length !== downlinkBytes) {
      throw new PayloadError(
        `downlink: expected ${downlinkBytes} bytes for ${codec.name}, ${cloudDim} values and ${queries} queries, got ` +
          `${content.length}; does it belong to this model?`,
      );
    }
    const bytes = new ByteReader(content);
    const row = bytes.bytes(rowBytes(codec, cloudDim));
    // A codec of the app's is undone here, so that the state keeps numbers as in Python.
    const isOwn = codec.name !== graph;
    const embedding = isOwn ? new ByteWriter().float32s(decodeRow(codec, row, cloudDim)).done() : row;
    return new Downlink({
      codec: graph,
      embedding: embedding.slice(0, exchange.valueBytes * cloudDim),
      scale: graph === 'int8' ? new ByteReader(row.slice(cloudDim)).half() : 1,
      queries: bytes.int32s(queries),
      ...told,
    });
  }

  /** For a user that the cloud knows nothing of: an embedding of zeros. @param {import('./metadata.js').Exchange} exchange */
  static unknownUser(exchange) {
    const embedding = new Uint8Array(exchange.valueBytes * exchange.cloudDim);
    return new Downlink({codec: exchange.graph, embedding, scale: 1, queries: new Int32Array(0)});
  }

  /**
   * Whether the cloud made it before `other`: by the round, then by the version. One of which no version is
   * known is neither older nor newer.
   *
   * @param {Downlink} other
   */
  isOlderThan(other) {
    if (this.cloudVersion === 0 || other.cloudVersion === 0) return false;
    return this.round < other.round || (this.round === other.round && this.cloudVersion < other.cloudVersion);
  }

  /** Refuses it where the cloud made it before `newest`, which the device has. @param {Downlink} newest */
  checkNotOlder(newest) {
    if (this.isOlderThan(newest)) {
      throw new PayloadError(
        `downlink: expected one of round ${newest.round} and version ${newest.cloudVersion}, which the device has, ` +
          `or newer, got round ${this.round} and version ${this.cloudVersion}; fetch what the cloud publishes now`,
      );
    }
  }

  /** Refuses it where the cloud made it for another than the device's user. @param {number} owner */
  checkFor(owner) {
    if (this.user !== null && this.user !== owner) {
      throw new PayloadError(
        `downlink: expected one of user ${owner}, whose device this is, got one of user ${this.user}; fetch it with the ` +
          `token of user ${owner}, and if that was done, report it to the operator of the service`,
      );
    }
  }

  /** What the signatures read of it. @returns {Record<string, Int8Array | Float32Array>} */
  inputs() {
    if (this.codec !== 'int8') return {user_embedding: this.#floats()};
    return {user_embedding: Int8Array.from(this.embedding), user_embedding_scale: Float32Array.of(this.scale)};
  }

  /** Whether it has the form of `exchange`. @param {import('./metadata.js').Exchange} exchange */
  isOf(exchange) {
    const asked = this.queries.length === 0 || this.queries.length === exchange.queries;
    return this.codec === exchange.graph && this.embedding.length === exchange.valueBytes * exchange.cloudDim && asked;
  }

  /** Whether the embedding fits the item table of a file. @param {import('./model_file.js').ModelFile} model */
  fits(model) {
    return this.tableSha256 === '' || this.tableSha256 === model.metadata.tableSha256;
  }

  /**
   * Refuses it where the model cannot read it, or holds another item table.
   *
   * @param {import('./model_file.js').ModelFile} model
   */
  check(model) {
    const {exchange, tableSha256} = model.metadata;
    if (!this.isOf(exchange)) {
      throw new PayloadError(
        `downlink: expected ${exchange.cloudDim} values of ${exchange.graph} and ${exchange.queries} queries or none, ` +
          `got ${this.embedding.length} bytes of ${this.codec} and ${this.queries.length}; does it belong to this model?`,
      );
    }
    if (!this.fits(model)) {
      throw new PayloadError(
        `downlink: expected one of item table ${tableSha256}, which ${model.name} holds, got one of ` +
          `${this.tableSha256}; fetch the model file that was exported with the new table, and let it adopt the device`,
      );
    }
  }

  #floats() {
    if (this.codec === 'float32') return asFloat32(this.embedding);
    const view = new DataView(this.embedding.buffer, this.embedding.byteOffset, this.embedding.byteLength);
    return Float32Array.from({length: this.embedding.length / 2}, (_, place) =>
      halfToFloat(view.getUint16(2 * place, true)));
  }
}

/**
 * The form of the records of a file: the byte of its codec, d_c, Q, and bytes of an embedding.
 *
 * @typedef {{code: number, cloudDim: number, queries: number, rowBytes: number}} DownlinkForm
 */

/** Downlinks as the cloud publishes them (`ecct_tf.wire.downlink` in Python), checksum and lengths checked. */
export class DownlinkFile {
  /** @type {Map<number, Uint8Array>} */
  #records;
  #form;

  /**
   * @param {object} parts
   * @param {boolean} parts.segments whether the keys are segments of users; otherwise they are users
   * @param {number} parts.cloudVersion
   * @param {number} parts.round
   * @param {string} parts.tableSha256
   * @param {DownlinkForm} parts.form
   * @param {Map<number, Uint8Array>} parts.records
   */
  constructor({segments, cloudVersion, round, tableSha256, form, records}) {
    this.segments = segments;
    this.cloudVersion = cloudVersion;
    this.round = round;
    this.tableSha256 = tableSha256;
    this.#form = form;
    this.#records = records;
  }

  /** The users or segments that have a downlink. */
  get keys() {
    return [...this.#records.keys()];
  }

  /**
   * The downlink of a user or segment, or null when there is none: a new user takes one from the segments file.
   *
   * @param {number} key
   * @param {import('./metadata.js').Exchange} exchange of the model
   * @throws {PayloadError} when it is of another form than the model's.
   */
  of(key, exchange) {
    const form = this.#form;
    const {codec} = exchange;
    if (form.code !== codeOf(codec) || form.cloudDim !== exchange.cloudDim || form.queries !== exchange.queries) {
      throw new PayloadError(
        `downlinks: expected ${codec.name} with ${exchange.cloudDim} values and ${exchange.queries} queries, got ` +
          `${codecText(form.code)} with ${form.cloudDim} and ${form.queries}; cloud and model were built with different settings`,
      );
    }
    const record = this.#records.get(key);
    if (record === undefined) return null;
    const expected = rowBytes(codec, exchange.cloudDim);
    if (form.rowBytes !== expected) {
      throw new PayloadError(
        `downlinks: expected embeddings of ${expected} bytes for codec ${codec.name}, got ${form.rowBytes}; cloud and app ` +
          'have different versions of it',
      );
    }
    const {cloudVersion, round, tableSha256} = this;
    return Downlink.decode(record, exchange, {cloudVersion, round, tableSha256, user: this.segments ? null : key});
  }

  /**
   * @param {Uint8Array} content
   * @throws {PayloadError} when it is damaged, or of another kind or format.
   */
  static parse(content) {
    let body;
    try {
      ({body} = unseal(content, {magic: 'ECDN', formats: [1], what: 'downlinks'}));
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      throw new PayloadError(`${error.message}; fetch the file again`);
    }
    if (body.content.length < HEADER_BYTES) {
      throw new PayloadError(
        `downlinks: expected a header of ${HEADER_BYTES} bytes, got ${body.content.length}; fetch the file again`,
      );
    }
    return read(body);
  }
}

/** @param {ByteReader} bytes */
function read(bytes) {
  const [codec, kind] = [bytes.uint8(), bytes.uint8()];
  if (!isCode(codec)) {
    throw new PayloadError(`downlinks: ${EXPECTED_CODE}, got ${codec}; a later version of ECCT-TF wrote the file`);
  }
  if (kind > 1) {
    throw new PayloadError(
      `downlinks: expected a kind of keys in 0..1, got ${kind}; a later version of ECCT-TF wrote the file`,
    );
  }
  const version = checkWhole(bytes.int32(), 'cloud_version');
  const round = checkWhole(bytes.int32(), 'round_number');
  const width = checkSize(bytes.uint32(), 'cloud_dim');
  const queries = checkSize(bytes.uint32(), 'number of queries');
  const count = bytes.uint32();
  const reserved = bytes.uint32();
  if (reserved !== 0) {
    throw new PayloadError(
      `downlinks: expected zeros where nothing is told yet, got ${reserved}; a later version of ECCT-TF wrote the file`,
    );
  }
  const table = bytes.bytes(DIGEST_BYTES);
  const known = BUILT_IN[codec];
  const form = {
    code: codec,
    cloudDim: width,
    queries,
    rowBytes: known === undefined ? unreadBytes(bytes.content.length - HEADER_BYTES, count, queries) : rowBytes(known, width),
  };
  const recordBytes = form.rowBytes + 4 * queries;
  const expected = HEADER_BYTES + count * (4 + recordBytes);
  if (bytes.content.length !== expected) {
    throw new PayloadError(
      `downlinks: expected ${expected} bytes before the digest for ${count} keys, got ${bytes.content.length}; ${WAY_OUT}`,
    );
  }
  const keys = [...bytes.int32s(count)];
  keys.forEach((key) => checkWhole(key, 'key'));
  if (keys.some((key, place) => place > 0 && keys[place - 1] >= key)) {
    throw new PayloadError(
      `downlinks: expected one record for each of ${count} keys in ascending order, got ${count} records; ${WAY_OUT}`,
    );
  }
  const records = new Map(keys.map((key) => [key, bytes.bytes(recordBytes)]));
  records.forEach((record, key) => checkRecord(key, record, form));
  return new DownlinkFile({segments: kind === 1, cloudVersion: version, round, tableSha256: toHex(table), form, records});
}

/**
 * Bytes of an embedding of a codec that the reader of a file need not know.
 *
 * @param {number} bodyBytes
 * @param {number} count
 * @param {number} queries
 */
function unreadBytes(bodyBytes, count, queries) {
  if (count === 0) return 1;
  const found = Math.floor(bodyBytes / count) - 4 - 4 * queries;
  if (found < 1 || found > MAX_VALUES) {
    throw new PayloadError(`downlinks: expected bytes of an embedding in 1..${MAX_VALUES}, got ${found}; ${WAY_OUT}`);
  }
  return found;
}

/** @param {number} code */
const codecText = (code) => BUILT_IN[code]?.name ?? `a custom codec of code ${code}`;

/**
 * Refuses a file that has what no device can use, whoever's it is.
 *
 * @param {number} key
 * @param {Uint8Array} record
 * @param {DownlinkForm} form
 */
function checkRecord(key, record, {code, cloudDim, queries, rowBytes: embeddingBytes}) {
  const bytes = new ByteReader(record);
  const codec = BUILT_IN[code]?.name;
  // What a codec of the app's wrote is read for the device that it is for.
  if (codec === undefined) bytes.bytes(embeddingBytes);
  for (let place = 0; codec !== undefined && place < cloudDim; place++) {
    const value = codec === 'float32' ? bytes.float32() : codec === 'float16' ? bytes.half() : bytes.uint8();
    if (!Number.isFinite(value)) throw diverged('embedding', key, 'finite numbers', value);
  }
  if (codec === 'int8') {
    const scale = bytes.half();
    if (!Number.isFinite(scale)) throw diverged('scale', key, 'finite numbers', scale);
    if (scale < 0) throw diverged('scale', key, `a number in 0..${LARGEST_HALF}`, scale);
  }
  for (let place = 0; place < queries; place++) checkWhole(bytes.int32(), 'query');
}

/**
 * @param {string} name
 * @param {number} key
 * @param {string} expected
 * @param {number} got
 */
const diverged = (name, key, expected, got) =>
  new PayloadError(
    `downlinks: ${name} of key ${key}: expected ${expected}, got ${got}; the cloud that made them has diverged, publish ` +
      'a valid version',
  );

/**
 * @param {number} value
 * @param {string} name
 */
function checkWhole(value, name) {
  if (value < 0) throw new PayloadError(`downlinks: expected a ${name} in 0..${MAX_INT}, got ${value}; ${WAY_OUT}`);
  return value;
}

/**
 * @param {number} value
 * @param {string} name
 */
function checkSize(value, name) {
  if (value < 1 || value > MAX_VALUES) {
    throw new PayloadError(
      `downlinks: expected a ${name} in 1..${MAX_VALUES}, got ${value}; the cloud is of another version`,
    );
  }
  return value;
}
