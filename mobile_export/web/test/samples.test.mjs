// Samples, guard and clock: what Python wrote of its own, number by number.
import assert from 'node:assert/strict';
import test from 'node:test';

import {fromHex} from '../src/bytes.js';
import {clockReading} from '../src/clock.js';
import {InputError} from '../src/errors.js';
import {guardCandidates, guardPlace, guardPositions, heldBack, padHistory} from '../src/guard.js';
import {batchOf, drawSamples, NegativeSampler} from '../src/samples.js';
import {SplitMix64} from '../src/splitmix64.js';
import {DeviceState} from '../src/state.js';
import {clocked, golden, jsonOf, model, modelWith} from './golden.mjs';

const {draw, guard} = jsonOf('wire.json');
const kept = DeviceState.decode(fromHex(golden.state.bytes), 'golden');
const options = {negatives: draw.negatives};
const drawn = (changes = {}, chosen = options, file = model) =>
  drawSamples(kept.with(changes), file.metadata, chosen, draw.seed);
const positives = (samples) => samples.filter(({label}) => label === 1).map(({candidate}) => candidate).sort((a, b) => a - b);

test('the generator is SplitMix64', () => {
  const random = new SplitMix64(draw.seed);
  assert.deepEqual(draw.first_numbers, Array.from({length: 3}, () => String(random.next())));
  assert.deepEqual([...new Set(Array.from({length: 100}, () => random.below(3)))].sort(), [0, 1, 2]);
});

test('samples are those of the same draw in Python', () => {
  const samples = drawn();
  assert.deepEqual(samples.map(({candidate}) => candidate), draw.candidates);
  assert.deepEqual(samples.map(({label}) => label), draw.labels);
  assert.deepEqual(samples.map(({history}) => [...history]), draw.histories);
});

test('clocks of samples and requests are those of Python', () => {
  const told = jsonOf('clock/case.json');
  const near = (found, expected) =>
    found.forEach((value, place) => assert.ok(Math.abs(value - expected[place]) <= 1e-6 * Math.max(1, Math.abs(value))));
  for (const {times, now, reading} of told.readings) near([...clockReading(times, now, 6)], reading);
  const state = DeviceState.decode(fromHex(told.state), 'golden').with({times: told.times});
  const samples = drawSamples(state, clocked.metadata, options, draw.seed);
  assert.equal(samples.length, told.clocks.length);
  samples.forEach(({clock}, place) => near([...clock], told.clocks[place]));
});

test('only new positions that the cloud does not know are trained on', () => {
  assert.deepEqual(positives(drawn()), [4, 9, 15, 26]);
  assert.deepEqual(positives(drawn({}, {...options, positions: 2})), [9, 26]);
  // The first item has no history to be judged from.
  assert.deepEqual(positives(drawn({olderItems: 0})), [1, 4, 9, 15, 26]);
  assert.equal(drawn({olderItems: 6}).length, 0);
  assert.equal(drawn({history: new Int32Array(0), times: [], olderItems: 0}).length, 0);
});

test('negatives are items that the user never touched', () => {
  const random = new SplitMix64(1);
  const sampler = new NegativeSampler(Int32Array.of(1, 3, 3, 5), 5);
  assert.deepEqual([...new Set(Array.from({length: 50}, () => sampler.row(random, 1)[0]))].sort(), [2, 4]);
  const small = new NegativeSampler(Int32Array.of(2, 4), 6);
  assert.deepEqual(small.row(random, 4).sort(), [1, 3, 5, 6]);
  assert.equal(new Set(small.row(random, 6)).size, 4);
  assert.throws(() => new NegativeSampler(Int32Array.of(1, 2, 3), 3), InputError);
});

test('positions stay together where the loss reads them', async () => {
  const grouped = await modelWith((told) => ({...told, training: {...told.training, group_size: 4}}));
  const samples = drawn({}, {}, grouped);
  assert.deepEqual(samples.map(({label}) => label), Array(4).fill([1, 0, 0, 0]).flat());
  assert.throws(() => drawn({}, {negatives: 2}, grouped), /expected 3 negatives/);
});

test('older positions weigh less where the file says so', async () => {
  const halved = await modelWith((told) => ({...told, samples: {...told.samples, half_life: 2}}));
  const weights = Object.fromEntries(
      drawn({}, options, halved).filter(({label}) => label === 1).map(({candidate, weight}) => [candidate, weight]));
  assert.deepEqual(weights, {26: 1, 9: Math.fround(2 / 3), 15: 0.5, 4: Math.fround(0.4)});
});

test('batches are padded and masked', () => {
  const samples = drawn();
  const last = batchOf(samples.slice(12), 6, model.metadata);
  assert.deepEqual(last.mask, Float32Array.of(1, 1, 1, 1, 0, 0));
  assert.deepEqual([...last.candidates], [...draw.candidates.slice(12), 0, 0]);
  assert.equal(last.history.length, 36);
});

test('items without a row are not trained on', () => {
  const odd = {history: Int32Array.of(3, 99, 1, 4, 0, 15, 9, 26), times: Array(8).fill(0), olderItems: 3};
  assert.deepEqual(drawn(odd).map(({candidate}) => candidate), draw.candidates);
});

test('what is held back is what Python holds back', async () => {
  for (const {length, older, max_positions: most, guard_positions: held, held: expected} of guard.positions) {
    const [first, end] = guardPositions(length, older, most, held);
    assert.deepEqual(Array.from({length: end - first}, (_, place) => first + place), expected);
  }
  for (const {history, position, items, candidates} of guard.candidates) {
    assert.deepEqual([...guardCandidates(Int32Array.from(history), position, items)], candidates);
  }
  assert.equal(guardCandidates(Int32Array.of(1, 2), 1, 2), null);
  assert.equal(guardPlace(Float32Array.of(0.5, 0.5, 0.1)), 1);
  assert.equal(guardPlace(Float32Array.of(NaN, 0.2, 0.1)), 2);
  const guarded = await modelWith((told) => ({...told, samples: {...told.samples, guard_positions: 2}}));
  const held = heldBack(kept.with({history: Int32Array.of(3, 1, 99, 4, 15, 9, 26), times: Array(7).fill(0)}), guarded.metadata);
  assert.deepEqual(held.map(({candidates}) => candidates[0]), [9, 26]);
  assert.deepEqual([...held[0].history], [0, 0, 3, 1, 4, 15]);
  assert.deepEqual(positives(drawn({}, options, guarded)), [4, 15]);
});

test('histories are padded at the front', () => {
  assert.deepEqual([...padHistory(Int32Array.of(7, 8), 4)], [0, 0, 7, 8]);
  assert.deepEqual([...padHistory(Int32Array.of(7, 8, 9), 2)], [8, 9]);
  assert.deepEqual([...padHistory(new Int32Array(0), 2)], [0, 0]);
});
