// Grades, weights and further targets: what Python keeps of them, draws and asks, byte for byte.
import assert from 'node:assert/strict';
import test from 'node:test';

import {fromHex, toHex} from '../src/bytes.js';
import {EdgeDevice} from '../src/device.js';
import {InputError, StateError} from '../src/errors.js';
import {columnNotes, columnValues, translated} from '../src/kept_columns.js';
import {batchOf, drawSamples} from '../src/samples.js';
import {DeviceState} from '../src/state.js';
import {MemoryStates} from '../src/stores.js';
import {FakeInterpreter, jsonOf, model as plain, ofOutcomes as model} from './golden.mjs';

const told = jsonOf('outcomes/case.json');
const {draw} = jsonOf('wire.json');
const decoded = () => DeviceState.decode(fromHex(told.state), 'golden');

class Bench {
  states = new MemoryStates();

  open(file = model, values = undefined) {
    this.fake = new FakeInterpreter(file, told.score);
    if (values !== undefined) this.fake.state.set(values);
    const clock = () => told.times.at(-1);
    return EdgeDevice.open({
      model: file, interpreter: this.fake, states: this.states.of(told.user), user: told.user, clock,
    });
  }

  get bytes() {
    return toHex(this.states.contents.get(`${told.user}`));
  }
}

test('a model tells its targets and the columns that it reads', () => {
  assert.deepEqual(model.metadata.targets, ['dwell', 'like']);
  assert.deepEqual(model.metadata.contextColumns, ['stars', 'dwell']);
  assert.deepEqual(columnValues(model.metadata.outcomes.columns), told.columns);
  assert.deepEqual(plain.metadata.contextColumns, []);
});

test('the state is that of Python byte for byte', async () => {
  assert.equal(toHex(decoded().encode()), told.state);
  const bench = new Bench();
  const device = await bench.open(model, decoded().values);
  assert.equal(await device.interact(told.items, told.times, told.context), 6);
  await device.setKnownToCloud(told.older);
  assert.equal(bench.bytes, told.state);
  const personal = JSON.parse(await device.exportPersonalData());
  assert.deepEqual(personal.interactions.map(({context}) => context), told.personal);
  assert.deepEqual(personal.labels.waiting, told.waiting);
});

test('labels and weights are those of Python', () => {
  const samples = drawSamples(decoded(), model.metadata, {}, draw.seed);
  assert.deepEqual(samples.map(({candidate}) => candidate), draw.candidates);
  assert.deepEqual(samples.map(({label}) => label), told.labels);
  assert.deepEqual(samples.map(({weight}) => weight), told.weights);
  assert.deepEqual(samples.map(({targets}) => [...targets]), told.target_labels);
  const last = batchOf(samples.slice(12), 6, model.metadata).target_labels;
  assert.deepEqual([...last], [...told.target_labels.slice(12).flat(), 0, 0, 0, 0]);
});

test('an app asks what of the ranked would be liked', async () => {
  const device = await new Bench().open();
  const logits = await device.targetLogits(told.candidates);
  assert.deepEqual(Object.keys(logits), ['dwell', 'like']);
  assert.deepEqual([...logits.like], told.score.target_logits.map(([, like]) => like));
  await device.interact(told.items, told.times, told.context);
  assert.deepEqual((await device.train()).targetLosses, {dwell: 0.5, like: 1.5});
  const {inputs, outputs} = model.metadata.signature('uplink');
  assert.ok([...inputs, ...outputs].every(({name}) => !name.includes('target')));
  const other = await new Bench().open(plain);
  await assert.rejects(other.targetLogits(told.candidates), /a run with samples\.targets/);
});

test('what does not fit is refused and changes nothing', async () => {
  const bench = new Bench();
  const device = await bench.open();
  const before = bench.bytes;
  await assert.rejects(device.interact(told.items, undefined, {stars: ['good']}), /stars: expected one for each of 7 inter/);
  await assert.rejects(device.interact(['film 1'], undefined, {place: ['x']}), /out of \[stars, dwell\], got place/);
  await assert.rejects(device.interact(['film 1'], undefined, {stars: 'x'}), InputError);
  assert.equal(bench.bytes, before);
  // What the app does not say is unknown.
  await device.interact(['film 1'], undefined, {stars: ['good']});
  assert.deepEqual(device.state.context, [[2, 0]]);
  const wrong = decoded().with({context: Array(6).fill([3, 0])}).encode();
  assert.throws(() => DeviceState.decode(wrong, 'wrong'), StateError);
});

test('a newer model reads columns by their words', () => {
  const stars = {name: 'stars', values: ['bad', 'good']};
  const after = [{name: 'place', values: ['home']}, {name: 'stars', values: ['good']}];
  assert.deepEqual([[1], [2]].map((codes) => translated(codes, [stars], after)), [[0, 0], [0, 1]]);
  assert.deepEqual(columnNotes([stars, {name: 'dwell', values: ['long']}], after, 'x'), [
    'context: stars is unknown where it was one of the values that x does not know',
    'context: dwell was dropped, x does not read it',
    'context: place is new, and unknown for what came before',
  ]);
});
