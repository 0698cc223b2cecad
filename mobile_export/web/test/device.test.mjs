// A device over an interpreter that is scripted: what it asks, keeps, answers and refuses.
import assert from 'node:assert/strict';
import test from 'node:test';

import {fromHex, toHex} from '../src/bytes.js';
import {EdgeDevice} from '../src/device.js';
import {Downlink, DownlinkFile} from '../src/downlink.js';
import {ClosedError, EdgeError, InputError, ModelFileError, PayloadError, RefusedError, StateError} from '../src/errors.js';
import {ModelFile} from '../src/model_file.js';
import {seal} from '../src/sealed.js';
import {DeviceState} from '../src/state.js';
import {MemoryStates} from '../src/stores.js';
import {clocked, downlinkBytes, FakeInterpreter, golden, jsonOf, model, modelWith} from './golden.mjs';

const {user} = golden;
const {exchange} = model.metadata;

class Bench {
  constructor(file = model) {
    this.model = file;
    this.states = new MemoryStates();
  }

  open(given = {}) {
    this.fake = new FakeInterpreter(this.model);
    const states = this.states.of(given.user ?? user);
    return EdgeDevice.open({model: this.model, interpreter: this.fake, states, user, profile: golden.profile, ...given});
  }

  async ready(given) {
    const device = await this.open(given);
    await device.interact(golden.history);
    await device.setKnownToCloud(golden.older);
    await device.receive(DownlinkFile.parse(fromHex(golden.downlink_file)).of(user, exchange));
    return device;
  }

  get bytes() {
    return toHex(this.states.contents.get(`${user}`));
  }
}

test('the golden states are read and written byte for byte', () => {
  for (const bytes of [golden.state.bytes, golden.state.with_start]) {
    assert.equal(toHex(DeviceState.decode(fromHex(bytes), 'golden').encode()), bytes);
  }
});

test('score sends rows and answers tokens in their order', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  const found = await device.score(golden.candidates);
  const [inputs] = bench.fake.of('score');
  assert.deepEqual([...inputs.candidates], [5, 35, 8, 0]);
  assert.deepEqual([...inputs.history], [3, 1, 4, 15, 9, 26]);
  assert.deepEqual([...inputs.profile], [1, 1]);
  assert.deepEqual(found.map(({item}) => item), golden.candidates);
  assert.deepEqual(found.map(({known}) => known), [true, true, true, false]);
  assert.deepEqual(found.map(({logit}) => logit), golden.score.logit);
  assert.deepEqual(await device.score([]), []);
});

test('it recommends the best items that the user has not met', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  bench.fake.ranking = (_, rows) => Float32Array.from(rows, (row) => (row % 5 === 0 ? 9 : row / 100));
  const rows = async (request) => (await device.recommend(request)).map(({item}) => model.itemRow(item));
  assert.deepEqual(await rows({k: 4}), [5, 10, 20, 25]);
  const candidates = [2, 9, 5].map((row) => model.itemToken(row)).concat('no item');
  assert.deepEqual(await rows({candidates}), [5, 2]);
  assert.deepEqual(await rows({candidates, withMet: true}), [5, 9, 2]);
  assert.deepEqual(await rows({candidates: ['no item']}), []);
  for (const k of [0, -1, 1.5, NaN]) await assert.rejects(device.recommend({k}), InputError);
});

test('uplink and record have the bytes of Python', async () => {
  const device = await new Bench().ready();
  assert.equal(toHex(await device.uplink()), golden.uplink.bytes);
  assert.equal(toHex(await device.uplinkRecord(golden.record.created_at_seconds)), golden.record.bytes);
});

test('a static file is fed its own number of rows', async () => {
  const bench = new Bench(await modelWith((told) => {
    const fixed = (name, rows) => told.signatures[name].inputs.concat(told.signatures[name].outputs).forEach((port) => {
      port.shape = port.shape.map((extent) => extent ?? rows);
    });
    fixed('score', 3);
    fixed('train', 8);
    return told;
  }));
  const device = await bench.ready();
  assert.equal((await device.score(golden.candidates)).length, 4);
  assert.deepEqual(bench.fake.of('score').map(({candidates}) => [...candidates]), [[5, 35, 8], [0, 0, 0]]);
  assert.equal((await device.train({epochs: 1, negatives: 3})).applied, 3);
  const masks = bench.fake.of('train').map(({mask}) => mask.reduce((sum, each) => sum + each));
  assert.deepEqual(masks, [6, 6, 4]);
  await assert.rejects(device.train({batchSize: 9}), /at most 8/);
});

test('training runs the epochs of the file and keeps the state', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  const report = await device.train({epochs: 2, seed: 7});
  assert.deepEqual(report, {samples: 16, applied: 6, refused: 0, firstLoss: 0.5, lastLoss: 0.5, completed: true, targetLosses: {}});
  assert.equal(device.state.round, 1);
  assert.equal(device.state.values[0], 6);
  const kept = bench.bytes;
  await device.close();
  assert.ok(bench.fake.isClosed);
  const again = await bench.open({profile: undefined});
  assert.equal(bench.bytes, kept);
  assert.deepEqual(bench.fake.state, again.state.values);
});

test('training ends before its next step where it is asked to, and keeps what was done', async () => {
  const device = await new Bench().ready();
  let steps = 0;
  const report = await device.train({epochs: 5, keepGoing: () => steps++ < 2});
  assert.deepEqual([report.applied, report.completed, device.state.round], [2, false, 1]);
});

test('a call that fails changes neither weights nor state', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  const before = bench.bytes;
  const untouched = async () => {
    assert.equal(bench.bytes, before);
    assert.deepEqual(bench.fake.state, device.state.values);
  };
  bench.fake.loss = NaN;
  await assert.rejects(device.train(), RefusedError);
  await untouched();
  bench.fake.loss = 0.5;
  bench.fake.failing = 'save';
  await assert.rejects(device.train(), /the runtime refused save/);
  await untouched();
  bench.fake.failing = null;
  const shared = new Float32Array(model.metadata.sharedWeights);
  shared[3] = NaN;
  await assert.rejects(device.replaceSharedWeights(shared), RefusedError);
  await assert.rejects(device.replaceSharedWeights(shared.subarray(1)), InputError);
  await untouched();
  assert.equal((await device.train()).applied, 3);
});

test('a device without new interactions trains on nothing, and counts no round', async () => {
  const nothing = {samples: 0, applied: 0, refused: 0, firstLoss: 0, lastLoss: 0, completed: true, targetLosses: {}};
  const bench = new Bench();
  const device = await bench.open();
  assert.deepEqual(await device.train(), nothing);
  assert.equal(device.state.round, 0);
  assert.deepEqual((await device.score(['film 1'])).map(({known}) => known), [true]);
  await assert.rejects(device.uplink(), /expected a downlink with queries/);
  const downlink = Downlink.decode(downlinkBytes, exchange, {cloudVersion: 1, round: 1});
  assert.deepEqual(await device.takePart(downlink), nothing);
  assert.equal(device.state.downlink, downlink);
  assert.equal((await device.uplink()).length, exchange.uplinkBytes);
});

test('training options that no training has are refused', async () => {
  const device = await new Bench().ready();
  const wrong = [
    {epochs: -1}, {epochs: 0}, {epochs: 1.5}, {batchSize: -6}, {negatives: 0}, {positions: -1}, {learningRate: NaN},
    {learningRate: -0.1}, {privateLearningRate: 2}, {learningRate: Infinity}, {seed: 0.5}, {seed: 'x'}, {epoch: 1},
  ];
  for (const options of wrong) await assert.rejects(device.train(options), InputError, JSON.stringify(options));
  await assert.rejects(device.takePart(device.state.downlink, {rounds: -1}), InputError);
  assert.equal(device.state.round, 0);
});

test('users that payloads cannot name are refused, and nothing is kept of them', async () => {
  const bench = new Bench();
  for (const wrong of [-5, 'bob', 2 ** 40, 2 ** 31, 1.5, NaN, null]) {
    const states = bench.states.of(0);
    const given = {model, interpreter: new FakeInterpreter(model), states, user: wrong};
    await assert.rejects(EdgeDevice.open(given), /expected an id in 0\.\.2147483647/, `${wrong}`);
  }
  assert.equal(bench.states.contents.size, 0);
});

test('a row beyond four bytes is no other item', async () => {
  const rows = await modelWith((told) => ({...told, items: {...told.items, file: null}}));
  assert.equal(rows.itemRow('5'), 5);
  for (const token of [`${2 ** 32 + 5}`, `${2n ** 64n + 5n}`, '-5', '5.0', '41', '0', ' 5', '5e0']) assert.equal(rows.itemRow(token), 0, token);
  assert.throws(() => rows.itemRow(5), InputError);
});

test('impossible times are refused, unknown ones are kept as unknown', async () => {
  const device = await new Bench().open({clock: () => 1_790_000_000});
  for (const time of [-1, 1.5, NaN, Infinity, 1_790_000_000_000, 1_790_000_000 + 86_401]) {
    await assert.rejects(device.interact(['film 1'], [time]), InputError, `${time}`);
  }
  await assert.rejects(device.interact(['film 1'], []), /expected one for each of 1/);
  await assert.rejects(device.score(['film 1'], {nowSeconds: -1}), InputError);
  assert.equal(device.state.history.length, 0);
  await device.interact(['film 1', 'film 2'], [null, 1_790_000_000]);
  assert.deepEqual(device.state.times, [0, 1_790_000_000]);
});

test('an older downlink and one of another table are refused', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  const before = bench.bytes;
  const {tableSha256} = model.metadata;
  for (const told of [{cloudVersion: 3, round: 4, tableSha256}, {cloudVersion: 2, round: 5, tableSha256}]) {
    const older = Downlink.decode(downlinkBytes, exchange, told);
    await assert.rejects(device.receive(older), /round 5 and version 3, which the device has/);
    await assert.rejects(device.takePart(older), PayloadError);
  }
  const other = Downlink.decode(downlinkBytes, exchange, {cloudVersion: 9, round: 9, tableSha256: 'cd'.repeat(32)});
  await assert.rejects(device.receive(other), /fetch the model file/);
  assert.equal(bench.bytes, before);
});

test('a downlink that says another user is refused, and one that says none is taken', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  const before = bench.bytes;
  const content = fromHex(golden.downlink_file);
  const others = [DownlinkFile.parse(content).of(3, exchange), Downlink.decode(downlinkBytes, exchange, {user: 20})];
  for (const other of others) {
    const says = `expected one of user ${golden.user}, whose device this is, got one of user ${other.user};`;
    for (const call of [() => device.receive(other), () => device.takePart(other)]) {
      await assert.rejects(call(), (error) => error instanceof PayloadError && error.message.includes(says));
    }
  }
  assert.equal(bench.bytes, before);
  // Of a segment, whose key is none of a user; and of bytes that say nothing.
  const body = content.slice(0, -32);
  body[7] = 1;
  const segment = DownlinkFile.parse(seal(body)).of(3, exchange);
  assert.equal(segment.user, null);
  await device.receive(segment);
  await device.receive(Downlink.decode(downlinkBytes, exchange, {cloudVersion: 3, round: 6}));
  await device.receive(Downlink.decode(downlinkBytes, exchange, {cloudVersion: 3, round: 7, user: golden.user}));
  assert.throws(() => Downlink.decode(downlinkBytes, exchange, {user: -1}), PayloadError);
});

test('a state has one opener, and is not written over', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  await assert.rejects(bench.open(), /nothing else has open/);
  assert.ok(bench.fake.isClosed);
  // One that got past the lock.
  const other = bench.states.of(user);
  const kept = await other.read();
  await other.replace(device.state.with({round: 7}).encode(), kept.slice(-32));
  await assert.rejects(device.interact(['film 2']), /another opener changed it since/);
  assert.equal(DeviceState.decode(await other.read(), 'x').round, 7);
  await device.close();
  const again = await bench.open();
  assert.equal(again.state.round, 7);
  await assert.rejects(device.score(['film 1']), ClosedError);
});

test('a state of another user or model is refused, and stays', async () => {
  const bench = new Bench();
  await (await bench.ready()).close();
  const before = bench.bytes;
  await assert.rejects(bench.open({user: 12, states: bench.states.of(user)}), /got that of user 11/);
  bench.model = await modelWith((told) => ({...told, provenance: {}}));
  await assert.rejects(bench.open(), /let this one adopt the state/);
  assert.equal(bench.bytes, before);
});

test('a clock that was ten years ahead and comes back stops nothing', async () => {
  const {times, now, reading} = jsonOf('altered.json').came_back;
  const bench = new Bench(clocked);
  let own = now;
  const device = await bench.open({clock: () => own});
  await device.interact(['film 3'], [times[0]]);
  own = times[1];
  await device.interact(['film 1'], [own]);
  own = now;
  await device.interact(['film 4'], [times[2]]);
  await assert.rejects(device.interact(['film 5'], [times[1]]), /a day from now by this device's clock/);
  await device.score(golden.candidates);
  const [{clock}] = bench.fake.of('score');
  reading.forEach((expected, place) => assert.ok(Math.abs(clock[place] - expected) <= 1e-6 * (1 + Math.abs(expected)), `${place}`));
  await device.train({epochs: 1});
  assert.equal(device.state.round, 1);
  for (const {clock: rows} of bench.fake.of('train')) assert.ok(rows.every((value) => value >= -1 && Number.isFinite(value)));
  await device.receive(Downlink.decode(downlinkBytes, exchange, {cloudVersion: 3, round: 5}));
  await assert.rejects(device.uplinkRecord(now * 1000), InputError);
  await device.uplinkRecord(now);
  await device.close();
  assert.deepEqual((await bench.open()).state.times, times);
});

test('a damaged state is refused, whatever byte it is', async () => {
  const content = fromHex(golden.state.with_start);
  for (let at = 0; at < content.length; at += 3) {
    const flipped = content.slice();
    flipped[at] ^= 1 + (at % 7);
    assert.throws(() => DeviceState.decode(flipped, 'x'), StateError, `byte ${at}`);
    assert.throws(() => DeviceState.decode(content.slice(0, at), 'x'), StateError, `length ${at}`);
  }
  const state = DeviceState.decode(content, 'x');
  const values = state.values.slice();
  values[5] = NaN;
  const wrong = [{values}, {start: values}, {history: Int32Array.of(-1, 2, 3, 4, 5, 6)}, {times: [1, 2]}, {user: -5}];
  for (const changes of wrong) {
    const written = state.with(changes).encode();
    assert.throws(() => DeviceState.decode(written, 'x'), StateError, Object.keys(changes)[0]);
  }
});

test('a damaged model file is refused', async () => {
  const {content} = model;
  const manifest = (bytes) => JSON.stringify({files: {x: {sha256: bytes}}});
  await assert.rejects(ModelFile.parse('x', content, manifest('00')), /expected SHA-256 00/);
  await assert.rejects(ModelFile.parse('y', content, manifest(model.sha256)), /expected an entry for y/);
  for (const text of ['', '[]', '{"files": 3}', '{"files": {"x": {}}}']) {
    await assert.rejects(ModelFile.parse('x', content, text), ModelFileError, text);
  }
  const wrong = [
    (told) => ({...told, schema: 'ecct-edge/2'}), ({tier, ...told}) => told, (told) => ({...told, items: {rows: -1}}),
    (told) => ({...told, training: {...told.training, batch_size: -2}}),
    (told) => ({...told, training: {...told.training, learning_rate: 7}}),
    (told) => ({...told, features: {...told.features, context: []}}),
    (told) => ({...told, samples: {...told.samples, grade: {column: 'stars', values: {1: 7}}}}),
    (told) => ({...told, samples: {...told.samples, targets: {like: {column: 3, values: {5: 1}}}}}),
    (told) => ({...told, profile: [...told.profile, {name: 'a: b', rows: 2, set: {column: 'a', value: 'b'}}]}),
    (told) => ({...told, items: {...told.items, rows: 40}}),
    (told) => ({...told, items: {...told.items, held: {catalog: 1000000}}}),
  ];
  for (const change of wrong) await assert.rejects(modelWith(change), ModelFileError, `${change}`);
});

test('hostile bytes are refused by an error of this library, none in silence', async () => {
  let seed = 1;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const whole = [downlinkBytes, fromHex(golden.downlink_file), fromHex(golden.state.bytes), model.content.slice(-3000)];
  for (let count = 0; count < 500; count++) {
    const content = whole[count % 4].slice(0, random(2) ? undefined : random(whole[count % 4].length));
    for (let change = 0; change <= random(5); change++) content[random(content.length || 1)] = random(256);
    content.set([0xff, 0x7f].slice(0, Math.max(0, content.length - 8)), Math.min(8, content.length));
    const read = [
      async () => Downlink.decode(content, exchange), async () => DownlinkFile.parse(content),
      async () => DeviceState.decode(content, 'x'), async () => ModelFile.parse('x', content, '{"files": {"x": {"sha256": "0"}}}'),
    ][count % 4];
    await assert.rejects(read(), EdgeError);
  }
});

test('calls run one after another, whatever their caller does meanwhile', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  bench.fake.ranking = (weight, rows) => Float32Array.from(rows, (row) => row + 1000 * weight);
  const calls = Array.from({length: 4}, () => [device.score(['film 5']), device.train({epochs: 1})]).flat();
  const found = await Promise.all(calls);
  assert.equal(bench.fake.overlapped, false);
  // Each score is of the weights after the trainings that were asked for before it.
  assert.deepEqual(found.filter(Array.isArray).map(([{logit}]) => logit), [5, 3005, 6005, 9005]);
  assert.equal(device.state.round, 4);
});

test('all that is kept of the user can be read and forgotten', async () => {
  const bench = new Bench();
  const device = await bench.ready();
  const told = JSON.parse(await device.exportPersonalData());
  assert.deepEqual(told.interactions.map(({item}) => item), golden.history);
  assert.deepEqual(told.interactions.map(({known_to_cloud: known}) => known), [true, true, false, false, false, false]);
  assert.deepEqual(told.profile, golden.profile);
  assert.deepEqual([told.user, told.weights.length], [user, model.metadata.stateSize]);
  assert.deepEqual(told.downlink, {round: 5, cloud_version: 3, queries: [5, 35, 8, 0]});
  await device.answers.add(5, await device.uplinkRecord(1));
  await device.forget();
  assert.ok(bench.fake.isClosed);
  assert.deepEqual([bench.states.contents.size, bench.states.waiting.size, bench.states.answered.size], [0, 0, 0]);
  await assert.rejects(device.score(golden.candidates), ClosedError);
});

test('a device whose training ranks its newest lower serves with its start', async () => {
  const bench = new Bench(await modelWith((told) => ({...told, samples: {...told.samples, guard_positions: 2}})));
  const ranking = (trainedIsBetter) => (weight, rows) => {
    const isHigher = (weight === 0) !== trainedIsBetter;
    return Float32Array.from(rows, (row, place) => (place > 0 ? row / 100 : isHigher ? 2 : -2));
  };
  const device = await bench.open();
  await device.interact(golden.history);
  await device.setKnownToCloud(golden.older);
  await device.train({epochs: 1});
  const weights = await device.weights();
  bench.fake.ranking = ranking(false);
  assert.equal(await device.servesStart(), true);
  assert.equal((await device.score(golden.candidates))[0].logit, 2);
  assert.deepEqual(await device.weights(), weights);
  assert.deepEqual(device.state.start, new Float32Array(model.metadata.weights));
  await device.train({epochs: 1});
  bench.fake.ranking = ranking(true);
  assert.equal(await device.servesStart(), false);
  assert.equal((await device.score(golden.candidates))[0].logit, 2);
});

test('after a tie a device keeps its training only if its history is long enough to judge by', async () => {
  for (const [wanted, serves] of [[2, true], [1, false]]) {
    const bench = new Bench(await modelWith((told) => ({...told, samples: {...told.samples, guard_positions: wanted}})));
    const device = await bench.open();
    bench.fake.ranking = (_, rows) => Float32Array.from(rows, (row) => row / 100);
    await device.interact(golden.history);
    // Three positions, one of which is held back.
    await device.setKnownToCloud(golden.history.length - 3);
    await device.train({epochs: 1});
    assert.equal(await device.servesStart(), serves);
  }
});

test('a graph that is not what the metadata says is refused', async () => {
  const bench = new Bench();
  const fake = new FakeInterpreter(model);
  fake.signatures.get('score').inputs.push('other');
  await assert.rejects(bench.open({interpreter: fake}), /the file was put together wrongly/);
  assert.ok(fake.isClosed);
  const device = await bench.open();
  await assert.rejects(device.setKnownToCloud(1), InputError);
});
