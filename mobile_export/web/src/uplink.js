/** What leaves the device: the answer to a downlink, and the envelope that the cloud's log reads. */
import {ByteReader, ByteWriter} from './bytes.js';
import {BUILT_IN, codeOf, encodeRow, EXPECTED_CODE, isCode, rowBytes} from './codecs.js';
import {InputError, ModelFileError, PayloadError} from './errors.js';
import {crc32} from './hashing.js';
import {MAX_INT} from './json.js';

const HEADER_BYTES = 40;
const SCHEMA = 1;
const MAGIC = 'ECUP';
const PLACES_SCHEMA = 2;
const SCHEMA_AT = 4;
const QUERIES_AT = 8;
const SIZE_AT = 36;
/** The end of the year 9999. */
const LAST_SECOND = 253_402_300_799;
const MOST_VALUES = 1_000_000;

/**
 * The bytes of one user's uplink, from the outputs of the signature `uplink`.
 *
 * Little-endian, in this order: the user's id (int32), the items (int32), the embeddings as their codec
 * writes them followed by their scales (float16), then the logits likewise.
 *
 * @param {number} user the id that the cloud knows the user by
 * @param {Record<string, ArrayLike<number>>} outputs
 * @param {import('./metadata.js').Exchange} exchange
 */
export function encodeUplink(user, outputs, exchange) {
  const bytes = new ByteWriter().int32(user).int32s(outputs.items);
  const {embeddings, embedding_scales: scales, logits, logit_scale: logitScale} = outputs;
  const {codec, embeddingDim, graph} = exchange;
  if (graph === 'float32') {
    // As the codec writes them, be it this one or the app's.
    for (let start = 0; start < embeddings.length; start += embeddingDim) {
      bytes.bytes(encodeRow(codec, Float32Array.from(embeddings).subarray(start, start + embeddingDim)));
    }
    if (exchange.withLogits) bytes.bytes(encodeRow(codec, Float32Array.from(logits)));
  } else if (graph === 'float16') {
    // The graph has no float16 outputs: their bits come in the low half of an int32.
    bytes.halves(embeddings);
    if (exchange.withLogits) bytes.halves(logits);
  } else {
    bytes.bytes(Uint8Array.from(embeddings)).halves(scales);
    if (exchange.withLogits) bytes.bytes(Uint8Array.from(logits)).halves(logitScale);
  }
  const payload = bytes.done();
  if (payload.length !== exchange.uplinkBytes) {
    throw new ModelFileError(
      `uplink: expected ${exchange.uplinkBytes} bytes, as the metadata says, the file answered ${payload.length}; ` +
        'its codec and its signatures contradict each other, export it again',
    );
  }
  return payload;
}

/**
 * An uplink in its envelope, `ecct_tf.wire.record` in Python: a header of 40 bytes, the payload, and the
 * CRC-32 of both. (user, round) tells the cloud whether two records are the same uplink.
 *
 * @param {Uint8Array} payload of `encodeUplink`; it begins with the user's id
 * @param {import('./metadata.js').Exchange} exchange
 * @param {{round: number, cloudVersion: number, createdAtSeconds: number}} told
 */
export function encodeUplinkRecord(payload, exchange, {round, cloudVersion, createdAtSeconds}) {
  const given = [round, cloudVersion, createdAtSeconds];
  if (given.some((value) => !Number.isSafeInteger(value) || value < 0) || createdAtSeconds > LAST_SECOND) {
    throw new InputError(
      `uplink record: expected a round, a cloud version and a time of at least 0, the last up to ${LAST_SECOND}, got ` +
        `${round}, ${cloudVersion} and ${createdAtSeconds}`,
    );
  }
  const body = new ByteWriter()
    .text(MAGIC)
    .uint16(SCHEMA)
    .uint8(codeOf(exchange.codec))
    .uint8(exchange.withLogits ? 2 : 1)
    .int32s([exchange.queries, exchange.embeddingDim])
    .int64s([createdAtSeconds])
    .bytes(payload.subarray(0, 4))
    .int32s([round, cloudVersion, payload.length])
    .bytes(payload)
    .done();
  return new ByteWriter().bytes(body).uint32(crc32(body)).done();
}

/**
 * The round that a record answers, once all that its header says fits.
 *
 * @param {Uint8Array} record
 * @throws {PayloadError} when it is damaged, or none.
 */
export function recordRound(record) {
  const rest = HEADER_BYTES + 4;
  if (record.length < rest || String.fromCharCode(...record.subarray(0, MAGIC.length)) !== MAGIC) {
    throw new PayloadError(
      `uplink record: expected one of \`uplinkRecord\`, got ${record.length} bytes that are none`,
    );
  }
  const bytes = new ByteReader(record);
  bytes.bytes(SCHEMA_AT);
  const schema = bytes.uint16();
  if (schema !== SCHEMA && schema !== PLACES_SCHEMA) {
    throw refused(`expected schema version ${SCHEMA}, got ${schema}; device and cloud run different versions`);
  }
  if (bytes.view.getUint32(record.length - 4, true) !== crc32(record.subarray(0, record.length - 4))) {
    throw refused('its CRC-32 does not fit; it was damaged on its way');
  }
  const [codec, stage] = [bytes.uint8(), bytes.uint8()];
  if (!isCode(codec)) throw refused(`${EXPECTED_CODE}, got ${codec}`);
  if (stage !== 1 && stage !== 2) throw refused(`expected stage 1 or 2, got ${stage}`);
  const [queries, embeddingDim] = [bytes.uint32(), bytes.uint32()];
  const [createdAt] = bytes.int64s(1);
  const [user, round, version, size] = bytes.int32s(4);
  checkSizes({codec, queries, embeddingDim, withLogits: stage === 2, byPlace: schema === PLACES_SCHEMA}, size, record.length - rest);
  if (!(createdAt >= 0 && createdAt <= LAST_SECOND)) {
    throw refused(`expected a created_at_seconds in 0..${LAST_SECOND}, got ${createdAt}`);
  }
  for (const [name, value] of Object.entries({user, round_number: round, cloud_version: version})) {
    if (value < 0) throw refused(`expected a ${name} in 0..${MAX_INT}, got ${value}`);
  }
  const inside = bytes.int32();
  if (inside !== user) throw refused(`its payload is of user ${inside}, expected user ${user}`);
  return round;
}

/**
 * @param {{codec: number, queries: number, embeddingDim: number, withLogits: boolean, byPlace: boolean}} form
 * @param {number} told bytes of the payload, as the header says
 * @param {number} there bytes of it
 */
function checkSizes({codec, queries, embeddingDim, withLogits, byPlace: isByPlace}, told, there) {
  if (queries < 1 || embeddingDim < 1 || queries * embeddingDim > MOST_VALUES) {
    throw refused(
      `expected at least one query and one embedding dimension, and ${MOST_VALUES} values at most, got ${queries} and ` +
        `${embeddingDim}`,
    );
  }
  if (told !== there) throw refused(`its header says ${told} bytes of payload, it has ${there}`);
  const before = 4 + (isByPlace ? 4 : 4 * queries);
  const known = BUILT_IN[codec];
  if (known === undefined) {
    // How long its values are is known to the codec alone, which a record does not bring.
    if (there > before && 4 * queries * (embeddingDim + 3) <= MOST_VALUES) return;
    throw refused(`expected more than ${before} and at most ${MOST_VALUES} bytes of payload for ${queries} queries, got ${there}`);
  }
  const expected = before + queries * rowBytes(known, embeddingDim) + (withLogits ? rowBytes(known, queries) : 0);
  if (there !== expected) {
    throw refused(`expected a payload of ${expected} bytes for ${known.name}, got ${there}`);
  }
}

/** @param {string} why */
const refused = (why) => new PayloadError(`uplink record: ${why}`);

/**
 * A record as it travels to a service that knows what it asked: with the CRC-32 of the items in their place, which
 * names the questions that were answered, in their order; `ecct_tf.wire.places` in Python.
 *
 * @param {Uint8Array} record
 * @throws {PayloadError} when it is damaged, or none.
 */
export function byPlace(record) {
  recordRound(record);
  const {view} = new ByteReader(record);
  const start = HEADER_BYTES + 4;
  const end = start + 4 * view.getUint32(QUERIES_AT, true);
  if (view.getUint16(SCHEMA_AT, true) !== SCHEMA || end === start || end > record.length - 4) {
    throw new PayloadError(`uplink record: expected one with items, got ${record.length} bytes without`);
  }
  const body = new ByteWriter()
    .bytes(record.subarray(0, SCHEMA_AT))
    .uint16(PLACES_SCHEMA)
    .bytes(record.subarray(SCHEMA_AT + 2, SIZE_AT))
    .int32(record.length - end + 4)
    .bytes(record.subarray(HEADER_BYTES, start))
    .uint32(crc32(record.subarray(start, end)))
    .bytes(record.subarray(end, record.length - 4))
    .done();
  return new ByteWriter().bytes(body).uint32(crc32(body)).done();
}
