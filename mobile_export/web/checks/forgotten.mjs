// A device that is used and forgotten, for `tests/mobile_export/test_mobile_export_web_forgotten.py`, which searches the
// profile of the browser afterwards.
import {CloudClient, Downlink, EdgeDevice, IndexedDbStates, ModelFile} from 'ecct-edge-web';
import {liteRtInterpreter} from 'ecct-edge-web/litert';

import {fromHex, toHex} from '/src/bytes.js';

const WASM = '/node_modules/@litertjs/core/wasm/';

async function opened({file, user, now}) {
  const model = await ModelFile.fetch(`/data/${file}`);
  const states = await IndexedDbStates.open();
  const interpreter = await liteRtInterpreter(model, {wasm: WASM});
  return {states, device: await EdgeDevice.open({model, user, states: states.of(user), clock: () => now, interpreter})};
}

/** Meets, learns, answers and speaks with the service; answers what it kept meanwhile, in plain bytes. */
export async function use({items, times, profile, downlink, told, token, address, ...asked}) {
  const {states, device} = await opened(asked);
  await device.setProfile(profile);
  await device.interact(items, times);
  const states_ = [toHex(await states.of(asked.user).read())];
  await device.receive(Downlink.decode(fromHex(downlink), device.model.metadata.exchange, told));
  await device.train({seed: 7});
  states_.push(toHex(await states.of(asked.user).read()));
  const record = await device.uplinkRecord(asked.now);
  await device.answers.add(told.round, record);
  const client = new CloudClient({address, token});
  await client.send([record]);
  const problem = await client.downlink({cloudVersion: 3, round: 5}, device.model.metadata.exchange).catch((error) => `${error}`);
  const rotated = await client.rotateToken();
  await device.close();
  await control();
  return {states: states_, record: toHex(record), keys: await keys(), problem, rotated};
}

/** Forgets the device of the user, and says what is there of it then. */
export async function forget(asked) {
  const {states, device} = await opened(asked);
  const history = device.state.history.length;
  await device.forget();
  const place = states.of(asked.user);
  return {history, kept: await place.read(), answers: await place.answers.all(), newest: await place.answers.newest()};
}

/** What a device has. */
export async function look(asked) {
  const {device} = await opened(asked);
  const answers = (await device.answers.all()).map(([round, record]) => [round, toHex(record)]);
  const found = {history: [...device.state.history], round: device.state.round, answers, newest: await device.answers.newest()};
  await device.close();
  return found;
}

/** What the key files say. */
async function keys() {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('ecct-edge-keys');
  const found = [];
  for await (const handle of folder.values()) found.push({id: handle.name, ...JSON.parse(await (await handle.getFile()).text())});
  return found;
}

/** A database of plain bytes, beside: what a search must find, removed or not. */
async function control() {
  await made('control', 1, ['kept'], (transaction) => transaction.objectStore('kept').put('a plain text that stays', 'control'));
}

async function made(name, version, stores, put) {
  const request = indexedDB.open(name, version);
  request.onupgradeneeded = () => {
    for (const store of stores) request.result.createObjectStore(store);
    put(request.transaction);
  };
  await new Promise((resolve, reject) => {
    request.onsuccess = resolve;
    request.onerror = () => reject(request.error);
  });
  request.result.close();
}

/** A database as the second version of the library left it, and the draft of a key that a kill left. */
export async function older({user, state, record, round}) {
  await made('ecct-edge', 2, ['states', 'answers', 'answered', 'signed'], (transaction) => {
    transaction.objectStore('states').put(fromHex(state), `${user}`);
    transaction.objectStore('answers').put(fromHex(record), [`${user}`, round]);
    transaction.objectStore('answered').put(round, `${user}`);
  });
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle('ecct-edge-keys', {create: true});
  await folder.getFileHandle('0123456789abcdef0123456789abcdef', {create: true});
  const draft = await (await folder.getFileHandle('left.crswap', {create: true})).createWritable();
  await draft.write('what a kill left');
  await draft.close();
}

/** What another opener may do with the place of a device, and what it is told. */
export async function rivals({user}) {
  const [states, others] = [await IndexedDbStates.open('rivals'), await IndexedDbStates.open('rivals')];
  const [place, other] = [states.of(user), others.of(user)];
  const sealed = (last) => Uint8Array.from({length: 40}, (_, at) => (at < 8 ? last : at));
  const proof = (content) => content.slice(-32);
  const problem = (promise) => promise.then(() => 'done', (error) => `${error.name}: ${error.message}`);
  const [first, second] = [sealed(1), Uint8Array.from(sealed(2), (byte) => byte + 1)];
  const found = {};
  await place.replace(first, null);
  found.anew = await problem(other.replace(second, null));
  found.known = await problem(other.replace(second, proof(first)));
  found.stale = await problem(place.replace(first, proof(first)));
  await other.remove();
  found.removed = await problem(place.replace(first, proof(second)));
  await other.replace(second, null);
  found.begun = await problem(place.replace(first, null));
  await states.of(user, 'b').replace(first, null);
  await place.answers.add(3, first);
  await other.remove();
  found.kept = [await place.read(), await place.answers.all(), toHex(await others.of(user, 'b').read())];
  const request = indexedDB.open('rivals');
  await new Promise((resolve) => (request.onsuccess = resolve));
  const stores = ['sealed states', 'sealed answers', 'newest answers'];
  const transaction = request.result.transaction(stores, 'readwrite');
  const counts = stores.map((store) => transaction.objectStore(store).count());
  const damage = transaction.objectStore('sealed states').openCursor();
  damage.onsuccess = () => damage.result?.update(Uint8Array.from(damage.result.value, (byte, at) => (at === 20 ? byte ^ 1 : byte)));
  await new Promise((resolve) => (transaction.oncomplete = resolve));
  found.rows = counts.map((count) => count.result);
  found.damaged = await problem(others.of(user, 'b').read());
  return found;
}
