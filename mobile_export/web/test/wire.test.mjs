// Payloads, byte for byte as Python writes and reads them.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import test from 'node:test';

import {ByteWriter, fromHex, halfToFloat, toHex} from '../src/bytes.js';
import {BUILT_IN} from '../src/codecs.js';
import {Downlink, DownlinkFile} from '../src/downlink.js';
import {InputError, PayloadError} from '../src/errors.js';
import {crc32, sha256, sha256Hex} from '../src/hashing.js';
import {jsonText, pythonFloat} from '../src/json.js';
import {Exchange} from '../src/metadata.js';
import {numberCode, numberRule} from '../src/numbers.js';
import {Told} from '../src/json.js';
import {byPlace, encodeUplink, encodeUplinkRecord, recordRound} from '../src/uplink.js';
import {downlinkBytes, golden, jsonOf, model} from './golden.mjs';

const wire = jsonOf('wire.json');
const {exchange} = model.metadata;
const named = (name) => BUILT_IN.find((codec) => codec.name === name);
const form = (changes) =>
  new Exchange({cloudDim: 8, embeddingDim: 3, queries: 2, codec: named('int8'), withLogits: true, noiseMultiplier: 0, ...changes});

test('hashes are those of Node', () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 86_949]) {
    const content = Uint8Array.from({length}, (_, place) => (place * 7919) >> 3);
    assert.equal(sha256Hex(content), createHash('sha256').update(content).digest('hex'), `${length} bytes`);
  }
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
});

test('halves have the values of NumPy', () => {
  for (const [bits, value] of wire.halves) assert.ok(Object.is(halfToFloat(bits), value), `bits ${bits}`);
  assert.equal(halfToFloat(0x7c00), Infinity);
  assert.ok(Number.isNaN(halfToFloat(0x7e00)));
});

test('JSON is written as Python writes it', () => {
  assert.equal(jsonText({b: [1, true, null, 'é"\u2028\n'], a: 0.1}), '{"a": 0.1, "b": [1, true, null, "\\u00e9\\"\\u2028\\n"]}');
  const written = [[1, '1.0'], [2 ** -7, '0.0078125'], [2 ** -14, '6.103515625e-05'], [2 ** -24, '5.960464477539063e-08']];
  for (const [value, text] of written) assert.equal(pythonFloat(value), text);
});

test('codes of private numbers are those of Python', () => {
  for (const {column, given, codes} of wire.numbers) {
    const rule = numberRule(new Told(column.number, 'number'));
    assert.deepEqual(given.map((number) => numberCode(rule, number)), codes);
  }
});

test('uplinks of every codec have the bytes of Python', () => {
  assert.equal(wire.wire.length, 6);
  for (const {codec, with_logits: withLogits, outputs, bytes} of wire.wire) {
    const own = form({codec: named(codec), withLogits});
    const flat = Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, values.flat()]));
    assert.equal(toHex(encodeUplink(golden.user, flat, own)), bytes, codec);
  }
});

test('the record has the bytes of Python', () => {
  const {bytes, created_at_seconds: createdAtSeconds} = golden.record;
  const payload = fromHex(golden.uplink.bytes);
  const record = encodeUplinkRecord(payload, exchange, {round: 5, cloudVersion: 3, createdAtSeconds});
  assert.equal(toHex(record), bytes);
  assert.equal(recordRound(record), 5);
  for (const at of [0, 20, 30, record.length - 1]) {
    const flipped = record.slice();
    flipped[at] ^= 4;
    assert.throws(() => recordRound(flipped), PayloadError);
  }
  assert.throws(() => recordRound(new Uint8Array(3)), PayloadError);
  assert.throws(() => encodeUplinkRecord(payload, exchange, {round: -1, cloudVersion: 0, createdAtSeconds: 0}), InputError);
});

test('records by place have the bytes of Python', () => {
  const told = {round: 5, cloudVersion: 3, createdAtSeconds: 1_790_000_000};
  for (const {codec, with_logits: withLogits, bytes, record, by_place: placed} of wire.wire) {
    const made = encodeUplinkRecord(fromHex(bytes), form({codec: named(codec), withLogits}), told);
    assert.equal(toHex(made), record);
    assert.equal(toHex(byPlace(made)), placed, codec);
    assert.equal(recordRound(byPlace(made)), 5);
    // It has no items to leave out, nor has what is damaged, or tells more items than there are bytes.
    assert.throws(() => byPlace(byPlace(made)), PayloadError);
    assert.throws(() => byPlace(made.slice(1)), PayloadError);
    for (const queries of [0, 1000, 2 ** 31, 2 ** 32 - 1]) {
      new DataView(made.buffer, made.byteOffset).setUint32(8, queries, true);
      new DataView(made.buffer, made.byteOffset).setUint32(made.length - 4, crc32(made.subarray(0, made.length - 4)), true);
      assert.throws(() => byPlace(made), PayloadError, `${queries}`);
    }
  }
});

test('a downlink reaches the signature as Python encoded it', () => {
  const downlink = Downlink.decode(downlinkBytes, exchange);
  const {user_embedding: embedding, user_embedding_scale: scale} = downlink.inputs();
  assert.deepEqual(embedding, Int8Array.of(-50, -30, -10, 10, 30, 50, 70, 90));
  assert.deepEqual(scale, Float32Array.of(2 ** -7));
  assert.deepEqual([...downlink.queries], [5, 35, 8, 0]);
  const half = Downlink.decode(Uint8Array.of(0, 0x3c, 0, 0xc5, 9, 0, 0, 0), form({cloudDim: 2, queries: 1, codec: named('float16')}));
  assert.deepEqual(half.inputs(), {user_embedding: Float32Array.of(1, -5)});
});

test('a downlink of numbers that are none is refused', () => {
  // The scale of an int8 embedding, a float16: infinite, not a number, negative.
  for (const bits of [0x7c00, 0x7e00, 0xfc00, 0x9000]) {
    const content = downlinkBytes.slice();
    content.set([bits & 0xff, bits >> 8], 8);
    assert.throws(() => Downlink.decode(content, exchange), /finite numbers and a scale/, `${bits}`);
  }
  const half = form({cloudDim: 2, queries: 1, codec: named('float16')});
  assert.throws(() => Downlink.decode(Uint8Array.of(0, 0x3c, 0, 0x7c, 9, 0, 0, 0), half), PayloadError);
  const single = form({cloudDim: 1, queries: 1, codec: named('float32')});
  assert.throws(() => Downlink.decode(Uint8Array.of(0, 0, 0xc0, 0x7f, 9, 0, 0, 0), single), PayloadError);
  // A query, a version, a round below 0, and a table that is no SHA-256.
  assert.throws(() => Downlink.decode(Uint8Array.of(0, 0, 0x80, 0x3f, 9, 0, 0, 0xff), single), PayloadError);
  for (const told of [{cloudVersion: -1}, {round: -1}, {tableSha256: '"'}]) {
    assert.throws(() => Downlink.decode(downlinkBytes, exchange, told), PayloadError);
  }
});

test('a downlink of another length is refused', () => {
  for (const content of [new Uint8Array(0), downlinkBytes.slice(1), new Uint8Array([...downlinkBytes, 0])]) {
    assert.throws(() => Downlink.decode(content, exchange), new RegExp(`expected ${exchange.downlinkBytes} bytes`));
  }
});

test('the downlinks of a published file are read', () => {
  const file = DownlinkFile.parse(fromHex(golden.downlink_file));
  assert.deepEqual(file.keys, [3, 11, 20]);
  assert.deepEqual([file.segments, file.cloudVersion, file.round], [false, 3, 5]);
  assert.equal(file.tableSha256, model.metadata.tableSha256);
  assert.deepEqual(file.of(golden.user, exchange).inputs(), Downlink.decode(downlinkBytes, exchange).inputs());
  assert.equal(file.of(4, exchange), null);
  assert.throws(() => file.of(3, form({cloudDim: 9, queries: 4})), PayloadError);
});

test('a damaged file of downlinks is refused', () => {
  const content = fromHex(golden.downlink_file);
  for (const length of [0, 3, 63, 95, content.length - 1]) {
    assert.throws(() => DownlinkFile.parse(content.slice(0, length)), PayloadError, `length ${length}`);
  }
  for (let at = 0; at < content.length; at++) {
    const flipped = content.slice();
    flipped[at] ^= 4;
    assert.throws(() => DownlinkFile.parse(flipped), PayloadError, `byte ${at}`);
  }
  // A header that lies under a valid checksum: format, codec, kind, a count of 2^30 keys, version, round, keys.
  for (const [at, value] of [[4, 2], [6, 9], [7, 2], [27, 64], [11, 255], [15, 255], [67, 255], [64, 99]]) {
    const body = content.slice(0, -32);
    body[at] = value;
    const sealed = new ByteWriter().bytes(body).bytes(sha256(body)).done();
    assert.throws(() => DownlinkFile.parse(sealed), PayloadError, `byte ${at}`);
  }
});
