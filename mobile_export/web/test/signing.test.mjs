// Signed publications, judged as Python judges them: `signatures.json`.
import assert from 'node:assert/strict';
import test from 'node:test';

import {CloudClient} from '../src/client.js';
import {InputError, SignatureError, TransportError} from '../src/errors.js';
import {PublicKey, checkSignature, webCryptoEd25519} from '../src/signing.js';
import {MemoryStates} from '../src/stores.js';
import {jsonOf} from './golden.mjs';

const {keys: lines, cases} = jsonOf('signatures.json');
const keys = lines.map((line) => PublicKey.parse(line));
const bytes = (text) => new TextEncoder().encode(text);
const caseOf = (wanted) => cases.find(({name}) => name === wanted);
const ADDRESS = 'https://cloud.example';

test('each case is judged as by Python', async () => {
  assert.ok(cases.length > 12);
  for (const {name, text, now, newest, refused} of cases) {
    const checked = checkSignature(bytes(text), keys, {now, newest});
    if (refused === '') assert.equal(await checked, Number(/"issued_at": (\d+)/.exec(text)[1]), name);
    else await assert.rejects(checked, (error) => error instanceof SignatureError && error.message.includes(refused), name);
  }
});

test('bytes that decode to the same text are not the same publication', async () => {
  const {text, now} = caseOf('signed');
  const marked = new Uint8Array([0xef, 0xbb, 0xbf, ...bytes(text)]);
  await assert.rejects(checkSignature(marked, keys, {now, newest: 0}), /does not fit its content/);
});

test('a key is a line, or none', () => {
  for (const line of ['', 'ecct-ed25519 00', lines[0].toUpperCase(), `${lines[0]}0`, 'ssh-ed25519 AAAA']) {
    assert.throws(() => PublicKey.parse(line), SignatureError);
  }
  assert.equal(PublicKey.parse(`${lines[0]}\n`).fingerprint, keys[0].fingerprint);
});

test('a signature of RFC 8032, 7.1, test 2', async () => {
  const hex = (text) => Uint8Array.from(text.match(/../g), (two) => parseInt(two, 16));
  const key = hex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
  const signature = hex('92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00');
  assert.equal(await webCryptoEd25519(key, signature, Uint8Array.of(0x72)), true);
  assert.equal(await webCryptoEd25519(key, signature, Uint8Array.of(0x73)), false);
});

/** A client of `states` to whom the service says `text`. */
const client = (states, text, {now, ...given}) =>
  new CloudClient({
    address: ADDRESS, token: 't', keys, newest: states.newestSigned(ADDRESS), clock: () => now,
    fetch: async () => new Response(text, {status: 200}), ...given,
  });

test('a client takes no older publication again, in another tab either', async () => {
  const states = new MemoryStates();
  const {text, now} = caseOf('signed');
  assert.equal((await client(states, text, {now}).current()).round, 5);
  assert.equal((await client(states, text, {now}).current()).round, 5);
  await states.newestSigned(ADDRESS).write(now + 1);
  await states.newestSigned(ADDRESS).write(now);
  await assert.rejects(client(states, text, {now}).current(), /before one that was accepted/);
  // Another service is another one.
  await client(states, text, {now, newest: states.newestSigned('https://other.example')}).current();
});

test('what is refused is not remembered', async () => {
  const states = new MemoryStates();
  for (const {text, now, refused} of cases) {
    if (refused && !/accepted/.test(refused)) await assert.rejects(client(states, text, {now}).current(), TransportError);
  }
  assert.equal(await states.newestSigned(ADDRESS).read(), 0);
});

test('keys need a place for the newest, and a browser without Ed25519 is told', async () => {
  assert.throws(() => new CloudClient({address: ADDRESS, token: 't', keys}), InputError);
  const {text, now} = caseOf('signed');
  const ed25519 = async () => { throw new SignatureError('no Ed25519'); };
  await assert.rejects(client(new MemoryStates(), text, {now, ed25519}).current(), /no Ed25519/);
});
