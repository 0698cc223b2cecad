// Requests to the service, answered by what Python wrote for the Kotlin client: `transport.json`.
import assert from 'node:assert/strict';
import test from 'node:test';

import {fromHex, toHex} from '../src/bytes.js';
import {CloudClient} from '../src/client.js';
import {EdgeDevice} from '../src/device.js';
import {
  PayloadError, RecordRefusedError, StalePublicationError, TokenRefusedError, TransportError, UnreachableError,
} from '../src/errors.js';
import {takePart} from '../src/rounds.js';
import {seal} from '../src/sealed.js';
import {MemoryStates} from '../src/stores.js';
import {bytesOf, FakeInterpreter, golden, jsonOf, model, modelWith} from './golden.mjs';

const told = jsonOf('transport.json');
const {exchange, tableSha256} = model.metadata;
const TOKEN = 'ecct1.0123456789abcdef.secret';
const CURRENT = {status: 200, body: told.current};
const DOWNLINK = {status: 200, body: told.downlink};
const TAKEN = {status: 200, json: {taken: 1, repeated: 0, too_old: 0}};

/** A client whose service answers as scripted; a string in the place of an answer breaks the connection. */
function scripted(answers) {
  const requests = [];
  const waits = [];
  const left = [...answers];
  const client = new CloudClient({
    address: 'https://cloud.example/',
    token: TOKEN,
    retries: {attempts: 4, sleep: async (seconds) => void waits.push(seconds)},
    fetch: async (url, {method, headers, body}) => {
      requests.push({method, path: new URL(url).pathname, headers, body: body && toHex(new Uint8Array(await body.arrayBuffer()))});
      const answer = left.shift();
      if (answer === undefined) throw new Error(`no answer to ${method} ${url}`);
      if (typeof answer === 'string') throw new TypeError(answer);
      const {status, headers: given = {}, body: content = '', json} = answer;
      return new Response(json ? JSON.stringify(json) : fromHex(content), {status, headers: given});
    },
  });
  return {client, requests, waits, left};
}

async function opened(states = new MemoryStates()) {
  const interpreter = new FakeInterpreter(model);
  return EdgeDevice.open({model, interpreter, states: states.of(golden.user), user: golden.user});
}

test('it asks what Kotlin asks, with its token', async () => {
  const {client, requests} = scripted([CURRENT, DOWNLINK]);
  const publication = await client.current();
  assert.deepEqual([publication.cloudVersion, publication.round, publication.tableSha256], [1, 5, tableSha256]);
  const downlink = await client.downlink(publication, exchange);
  assert.deepEqual([downlink.cloudVersion, downlink.round, downlink.queries.length], [1, 5, exchange.queries]);
  assert.deepEqual(requests.map(({method, path}) => `${method} ${path}`), ['GET /v1/current', 'GET /v1/downlink']);
  for (const {headers} of requests) assert.equal(headers.Authorization, `Bearer ${TOKEN}`);
});

test('a round with the downlink of another user is refused and changes nothing', async () => {
  const device = await opened();
  await device.interact(golden.history);
  const before = toHex(device.state.encode());
  for (const other of [0, golden.user + 1]) {
    // What a service that mixed users up answers, or one that is asked with the token of another.
    const body = fromHex(told.downlink).slice(0, -32);
    new DataView(body.buffer).setInt32(64, other, true);
    const {client, requests} = scripted([CURRENT, {status: 200, body: toHex(seal(body))}, TAKEN]);
    const says = `expected one of user ${golden.user}, whose device this is, got one of user ${other};`;
    await assert.rejects(takePart(device, client), (error) => error instanceof PayloadError && error.message.includes(says));
    assert.deepEqual(requests.map(({method}) => method), ['GET', 'GET']);
  }
  assert.equal(toHex(device.state.encode()), before);
  const report = await takePart(device, scripted([CURRENT, DOWNLINK, TAKEN]).client);
  assert.equal(report.sent.taken, 1);
});

test('a user whom the cloud does not know takes the downlink of a segment', async () => {
  const [, , , step] = told.steps;
  const {client, requests} = scripted([CURRENT, ...step.answers.slice(1)]);
  const downlink = await client.downlink(await client.current(), exchange);
  assert.equal(downlink.round, 5);
  assert.match(requests[2].path, /^\/v1\/files\/segments/);
  const [, missing, segments] = step.answers;
  const damaged = {...segments, body: segments.body.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))};
  const other = scripted([CURRENT, missing, damaged]).client;
  await assert.rejects(other.downlink(await other.current(), exchange), /expected the content that was published/);
});

test('records go as Kotlin sends them, again where that can help', async () => {
  const step = told.steps.find(({call}) => call === 'send');
  const {client, requests, waits} = scripted(step.answers);
  const sent = await client.send(step.records.map(fromHex));
  assert.deepEqual(sent, {taken: 1, repeated: 1, tooOld: 0});
  assert.equal(requests.length, 3);
  for (const {method, path, body} of requests) assert.deepEqual([method, path, body], ['PUT', '/v1/uplinks', step.records.join('')]);
  assert.ok(waits[0] <= 1 && waits[1] >= 8 && waits[1] <= 16);
});

test('answers go by place once the service says so, and with items where it asks for these', async () => {
  const step = told.steps.find(({call}) => call === 'send by place');
  const {client, requests} = scripted(step.answers);
  await client.current();
  assert.deepEqual(await client.send(step.records.map(fromHex)), {taken: 1, repeated: 1, tooOld: 0});
  assert.deepEqual(requests.map(({body}) => body ?? ''), step.requests.map(({body}) => body));
  // A service that takes items alone gets nothing else.
  const older = scripted([CURRENT, {status: 200, json: {taken: 2, repeated: 0, too_old: 0}}]);
  await older.client.current();
  await older.client.send(step.records.map(fromHex));
  assert.equal(older.requests[1].body, step.records.join(''));
});

test('a token is replaced, and one that is refused is told', async () => {
  const {client, requests} = scripted([{status: 200, json: {token: 'ecct1.new'}}, {status: 401}]);
  assert.equal(await client.rotateToken(), 'ecct1.new');
  await assert.rejects(client.current(), TokenRefusedError);
  assert.equal(requests[1].headers.Authorization, 'Bearer ecct1.new');
});

test('what does not fit together is refused', async () => {
  for (const body of ['', toHex(new TextEncoder().encode('{"format": 2}')), toHex(new TextEncoder().encode('[]'))]) {
    await assert.rejects(scripted([{status: 200, body}]).client.current(), TransportError);
  }
  await assert.rejects(scripted([{status: 404}]).client.current(), /answered 404/);
  await assert.rejects(scripted(Array(4).fill('broken')).client.current(), UnreachableError);
  const {client} = scripted([CURRENT, DOWNLINK, {status: 200, body: told.downlink.slice(2)}]);
  const publication = await client.current();
  await assert.rejects(client.downlink({...publication, round: 6}, exchange), StalePublicationError);
  await assert.rejects(client.downlink(publication, exchange), TransportError);
  const several = scripted([{status: 200, body: jsonOf('altered.json').sound.downlinks}]).client;
  await assert.rejects(several.downlink(publication, exchange), /expected downlinks of users, of one alone, got 2 of users/);
  const refusing = scripted([{status: 422, json: {error: 'of another user', index: 0}}]).client;
  await assert.rejects(refusing.send([new Uint8Array(3)]), (error) => error instanceof RecordRefusedError && error.index === 0);
});

test('a device takes part in a round once, and answers once', async () => {
  const {client, requests} = scripted([CURRENT, DOWNLINK, TAKEN, CURRENT]);
  const device = await opened();
  await device.interact(golden.history);
  const first = await takePart(device, client, {epochs: 1}, () => 7);
  assert.deepEqual([first.round, first.training.completed, first.sent.taken, device.state.round], [5, true, 1, 1]);
  assert.equal(requests[2].body, toHex(await device.uplinkRecord(7)));
  const second = await takePart(device, client);
  assert.deepEqual([second.training, second.sent, device.state.round], [null, {taken: 0, repeated: 0, refused: 0}, 1]);
});

test('a device whose cloud has another item table is given the file that holds it', async () => {
  const older = await modelWith((metadata) => ({...metadata, items: {...metadata.items, table_sha256: 'cd'.repeat(32)}}));
  const states = new MemoryStates();
  const given = {states: states.of(golden.user), user: golden.user, adopt: true};
  const device = await EdgeDevice.open({...given, model: older, interpreter: new FakeInterpreter(older)});
  await device.interact(golden.history);
  const manifest = {status: 200, json: {files: {x: {sha256: model.sha256}}}};
  const {client, requests} = scripted([CURRENT, manifest, {status: 200, body: toHex(bytesOf('edge.tflite'))}, CURRENT, DOWNLINK, TAKEN]);
  const {training, newModel} = await takePart(device, client);
  assert.deepEqual([training, newModel.sha256], [null, model.sha256]);
  assert.deepEqual(requests.slice(1).map(({path}) => path), ['/v1/models/manifest.json', '/v1/models/x']);
  await device.close();
  const moved = await EdgeDevice.open({...given, model: newModel, interpreter: new FakeInterpreter(newModel)});
  assert.deepEqual([...moved.state.history], [3, 1, 4, 15, 9, 26]);
  assert.equal((await takePart(moved, client)).sent.taken, 1);
});

test('an answer waits where the cloud is away, and a tab that ended before it answers later', async () => {
  const states = new MemoryStates();
  const device = await opened(states);
  await device.interact(golden.history);
  const away = scripted([CURRENT, DOWNLINK, ...Array(4).fill('broken')]).client;
  const report = await takePart(device, away, {epochs: 1}, () => 7);
  assert.equal(report.sent, null);
  assert.equal((await device.answers.all()).length, 1);
  // The answer was never made: the tab ended between training and it.
  await device.answers.remove(5);
  states.answered.clear();
  const back = scripted([CURRENT, TAKEN]);
  const again = await takePart(device, back.client, {}, () => 9);
  assert.deepEqual([again.training, again.sent.taken, device.state.round], [null, 1, 1]);
  assert.equal((await device.answers.all()).length, 0);
  // A refused token leaves the answer where it is.
  await device.answers.add(4, await device.uplinkRecord(3));
  const refused = scripted([CURRENT, {status: 401}]).client;
  await assert.rejects(takePart(device, refused), TokenRefusedError);
  assert.equal((await device.answers.all()).length, 1);
});
