// Walks the table of `docs/migration.md`, whose rows Python wrote to `migration.json`.
import assert from 'node:assert/strict';
import test from 'node:test';

import {fromHex, toHex} from '../src/bytes.js';
import {EdgeDevice} from '../src/device.js';
import {StateError} from '../src/errors.js';
import {DeviceState} from '../src/state.js';
import {MemoryStates} from '../src/stores.js';
import {FakeInterpreter, files, golden, jsonOf, model, modelWith} from './golden.mjs';

const table = jsonOf('migration.json');

function open(row, file, states) {
  const interpreter = new FakeInterpreter(file);
  interpreter.state = interpreter.state.map((_, place) => 0 - place / 1024);
  return EdgeDevice.open({
    model: file,
    interpreter,
    states: states.of(golden.user),
    user: golden.user,
    profile: row.given ?? undefined,
    adopt: true,
    weightsAnew: row.anew,
    previous: row.previous ? model : undefined,
  });
}

test('the table has rows', () => assert.ok(table.rows.length > 20));

for (const row of table.rows) {
  test(row.change, async () => {
    const file = await modelWith((metadata) => ({...metadata, ...row.metadata}), row.texts);
    const before = fromHex(table.states[row.state]);
    const states = new MemoryStates();
    states.contents.set(`${golden.user}`, before);
    if (row.adopted === undefined || row.adopted === null) {
      await assert.rejects(open(row, file, states), (error) => {
        assert.ok(error instanceof StateError, `${error}`);
        assert.ok(error.message.includes(row.refused), `${error.message}\n${row.refused}`);
        return true;
      });
      assert.equal(toHex(states.contents.get(`${golden.user}`)), toHex(before));
      return;
    }
    const device = await open(row, file, states);
    const expected = DeviceState.decode(fromHex(row.adopted), row.change).with({model: file.sha256}).encode();
    assert.equal(Buffer.from(states.contents.get(`${golden.user}`)).toString('latin1'), Buffer.from(expected).toString('latin1'));
    const {notes, ...counts} = device.migration;
    assert.deepEqual(counts, {moved: row.migration.moved, unknown: row.migration.unknown, returned: row.migration.returned});
    assert.deepEqual(notes, row.migration.notes.map((note) => note.replace(' x ', ` ${file.name} `)));
    await device.close();
    // Opened again it is a state like any other.
    const again = await open(row, file, states);
    assert.equal(again.migration, null);
    await again.close();
  });
}

test('unknown items wait by their tokens', async () => {
  const states = new MemoryStates();
  const given = {states: states.of(golden.user), user: golden.user};
  const first = await EdgeDevice.open({...given, model, interpreter: new FakeInterpreter(model)});
  const now = Math.floor(Date.now() / 1000);
  assert.equal(await first.interact(['new', 'film 1', 'film 2', 'new'], [5, 6, null, 8]), 2);
  assert.ok(now > 8);
  assert.deepEqual([...first.unknownItems], [['new', 2]]);
  assert.ok((await first.exportPersonalData()).includes('"waiting": [["new", 0, 5], ["new", 2, 8]]'));
  await first.close();
  const items = {'items.txt': `${files.get('items.txt').replace(/\n$/, '')}\nnew\n`};
  const newer = await modelWith((told) => ({...told, items: {...told.items, rows: 42}}), items);
  const second = await EdgeDevice.open({...given, model: newer, interpreter: new FakeInterpreter(newer), adopt: true});
  assert.equal(second.unknownItems.size, 0);
  assert.deepEqual([...second.state.history], [41, 1, 2, 41]);
  assert.deepEqual(second.state.times, [5, 6, 0, 8]);
  assert.equal(second.migration.returned, 2);
});
