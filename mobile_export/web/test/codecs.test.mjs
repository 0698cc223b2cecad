// Codecs of the library's and of an app, byte for byte as Python: see `test_mobile_export_android_own_codec.py`.
import assert from 'node:assert/strict';
import test from 'node:test';

import {fourBits} from '../../../examples/own_codecs/web/four_bits.js';
import {fromHex, toHex} from '../src/bytes.js';
import {BUILT_IN, decodeRow, encodeRow} from '../src/codecs.js';
import {EdgeDevice} from '../src/device.js';
import {Downlink, DownlinkFile} from '../src/downlink.js';
import {CodecError, ModelFileError, PayloadError} from '../src/errors.js';
import {ModelFile} from '../src/model_file.js';
import {seal} from '../src/sealed.js';
import {MemoryStates} from '../src/stores.js';
import {byPlace, recordRound} from '../src/uplink.js';
import {brief} from './brief.mjs';
import {bytesOf, FakeInterpreter, jsonOf, model as plain, textOf} from './golden.mjs';

const golden = jsonOf('own_codec/case.json');
const int4 = fourBits(golden.codec);
const open = (codecs) =>
  ModelFile.parse('edge.tflite', bytesOf('own_codec/edge.tflite'), textOf('own_codec/manifest.json'), {codecs});
const model = await open([brief, int4]);
const {exchange} = model.metadata;
const published = fromHex(golden.downlink_file);

/** A device with the golden answers of the file, as after the golden interactions. */
async function device() {
  const interpreter = new FakeInterpreter(model, undefined, golden.uplink);
  const found = await EdgeDevice.open({model, interpreter, states: new MemoryStates().of(golden.user), user: golden.user});
  await found.interact(golden.items);
  await found.setKnownToCloud(golden.older);
  return {found, interpreter};
}

test('rows of every codec have the bytes and the numbers of Python', () => {
  const codecs = new Map([...BUILT_IN, int4, brief].map((codec) => [codec.name, codec]));
  assert.deepEqual([...codecs.keys()], golden.rows.map(({codec}) => codec));
  for (const {codec, rows} of golden.rows) {
    for (const {values, bytes, decoded} of rows) {
      const content = encodeRow(codecs.get(codec), Float32Array.from(values));
      assert.equal(toHex(content), bytes, `${codec}: ${values}`);
      assert.deepEqual([...decodeRow(codecs.get(codec), content, values.length)], decoded, `${codec}: ${values}`);
    }
  }
});

test('a round through a codec of the app has the bytes of Python', async () => {
  const {found, interpreter} = await device();
  const downlink = DownlinkFile.parse(published).of(golden.user, exchange);
  await found.receive(downlink);
  assert.equal(toHex(found.state.encode()), golden.state);
  const record = await found.uplinkRecord(golden.record.created_at_seconds);
  assert.equal(toHex(record), golden.record.bytes);
  assert.equal(toHex(byPlace(record)), golden.by_place);
  assert.equal(recordRound(record), 5);
  const [inputs] = interpreter.of('uplink');
  assert.deepEqual([...inputs.user_embedding], golden.user_embedding);
  assert.equal(inputs.user_embedding_scale, undefined);
});

test('a file of a codec that the app did not pass is refused by name, with the way out', async () => {
  for (const codecs of [[], [brief], [fourBits('int4')]]) {
    await assert.rejects(open(codecs), (error) => {
      assert.ok(error instanceof ModelFileError, error.stack);
      assert.match(error.message, /expected codec float32, float16, int8/);
      assert.ok(error.message.includes(`got ${golden.codec};`) && error.message.includes('ModelFile.fetch(address, {codecs'));
      return true;
    });
  }
});

test('a codec without a name of its own is refused', async () => {
  for (const codecs of [[{...int4, name: ''}], [{...brief, name: 'int8'}, int4], [int4, int4], [undefined], [{}]]) {
    await assert.rejects(open(codecs), (error) => error instanceof CodecError && /expected a name that no other codec has/.test(error.message));
  }
});

test('a codec that does not do what a codec does is refused when the file is opened', async () => {
  let drawn = 0;
  const wrong = [
    [{rowBytes: () => 0}, /rowBytes\(1\): expected a whole number above 0, got 0/],
    [{rowBytes: (width) => width / 2}, /rowBytes\(1\): expected a whole number above 0, got 0\.5/],
    [{encode: () => new Uint8Array(2)}, /encode: expected a Uint8Array of 3 bytes of 1 numbers/],
    [{encode: (row) => row}, /encode: expected a Uint8Array of 3 bytes.*got Float32Array of 1/],
    [{encode: (row) => new Uint8Array(int4.rowBytes(row.length)).fill(drawn++)}, /expected equal rows to have equal bytes/],
    [{decode: () => new Float32Array(3)}, /decode: expected a Float32Array of 1 numbers, got Float32Array of 3/],
    [{decode: () => { throw new RangeError('beyond'); }}, /decode failed: RangeError: beyond/],
  ];
  for (const [part, message] of wrong) {
    await assert.rejects(open([{...int4, ...part}]), (error) => {
      assert.ok(error instanceof CodecError, error.stack);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(`codec ${golden.codec}`), error.message);
      return true;
    });
  }
});

test('downlinks of another codec, or of another version of it, are refused with both', () => {
  const file = DownlinkFile.parse(published);
  const refused = (other, form, message) => assert.throws(
    () => other.of(golden.user, form), (error) => error instanceof PayloadError && message.test(error.message));
  refused(file, {...parts(exchange), codec: BUILT_IN[2]}, /expected int8 with .* got a custom codec of code \d+ with/);
  refused(file, {...parts(exchange), codec: brief}, /expected my_pkg\.codecs:brief with .* got a custom codec of code \d+ with/);
  refused(file, {...parts(exchange), codec: {...int4, rowBytes: (width) => width}}, /expected embeddings of \d+ bytes for codec .*, got \d+; cloud and app have different versions/);
  // And a cloud of the library's codec with an app that has its own.
  const content = published.slice(0, -32);
  content[6] = 2;
  assert.throws(() => DownlinkFile.parse(seal(content)), PayloadError);
});

test('a damaged row that is no number leaves the device as it was', async () => {
  const {found} = await device();
  const before = toHex(found.state.encode());
  const body = published.slice(0, -32);
  // The scale of the second of three records.
  const at = 64 + 3 * 4 + (body.length - 64 - 3 * 4) / 3;
  body.set([0, 0x7c], at);
  const file = DownlinkFile.parse(seal(body));
  assert.throws(() => file.of(golden.user, exchange), (error) => error instanceof PayloadError && /finite numbers/.test(error.message));
  assert.ok(file.of(3, exchange) instanceof Downlink);
  assert.equal(toHex(found.state.encode()), before);
});

test('an answer of another length than the codec says is refused', async () => {
  const {found} = await device();
  await found.receive(DownlinkFile.parse(published).of(golden.user, exchange));
  const short = await open([{...int4, encode: (row) => int4.encode(row).slice(row.length === exchange.queries ? 1 : 0)}]);
  const states = new MemoryStates().of(golden.user);
  const interpreter = new FakeInterpreter(short, undefined, golden.uplink);
  const other = await EdgeDevice.open({model: short, interpreter, states, user: golden.user});
  await other.receive(DownlinkFile.parse(published).of(golden.user, short.metadata.exchange));
  await assert.rejects(other.uplink(), (error) => error instanceof CodecError && /encode: expected a Uint8Array of 4 bytes/.test(error.message));
});

test('files of the library\'s codecs need none of the app', () => {
  assert.equal(plain.metadata.exchange.codec, BUILT_IN[2]);
  assert.deepEqual(plain.codecs, []);
});

/** The parts of a form, to change one. */
function parts(form) {
  return {cloudDim: form.cloudDim, embeddingDim: form.embeddingDim, queries: form.queries, codec: form.codec};
}
