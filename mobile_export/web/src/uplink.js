/** What leaves the device: the answer to a downlink, and the envelope that the cloud's log reads. */
import {ByteReader, ByteWriter} from './bytes.js';
import {InputError, ModelFileError, PayloadError} from './errors.js';
import {crc32} from './hashing.js';
import {CODECS} from './metadata.js';

const HEADER_BYTES = 40;
const SCHEMA = 1;
const MAGIC = 'ECUP';
const PLACES_SCHEMA = 2;
const SCHEMA_AT = 4;
const QUERIES_AT = 8;
const ROUND_AT = 28;
const SIZE_AT = 36;

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
  if (exchange.codec === 'float32') {
    bytes.float32s(embeddings);
    if (exchange.withLogits) bytes.float32s(logits);
  } else if (exchange.codec === 'float16') {
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
  if ([round, cloudVersion, createdAtSeconds].some((value) => !Number.isSafeInteger(value) || value < 0)) {
    throw new InputError(
      'uplink record: expected a round, a cloud version and a time of at least 0, got ' +
        `${round}, ${cloudVersion} and ${createdAtSeconds}`,
    );
  }
  const body = new ByteWriter()
    .text(MAGIC)
    .uint16(SCHEMA)
    .uint8(CODECS.indexOf(exchange.codec))
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
 * The round that a record answers, once its length and its checksum fit.
 *
 * @param {Uint8Array} record
 * @throws {PayloadError} when it is damaged, or none.
 */
export function recordRound(record) {
  const rest = HEADER_BYTES + 4;
  const {view} = new ByteReader(record);
  const isWhole =
    record.length >= rest &&
    String.fromCharCode(...record.subarray(0, MAGIC.length)) === MAGIC &&
    view.getInt32(SIZE_AT, true) === record.length - rest &&
    view.getInt32(ROUND_AT, true) >= 0 &&
    view.getUint32(record.length - 4, true) === crc32(record.subarray(0, record.length - 4));
  if (!isWhole) {
    throw new PayloadError(
      `uplink record: expected one of \`uplinkRecord\`, got ${record.length} bytes that are none`,
    );
  }
  return view.getInt32(ROUND_AT, true);
}

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
