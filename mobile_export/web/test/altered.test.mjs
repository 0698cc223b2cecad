// Altered bytes, refused as Python refuses them: see `tests/mobile_export/test_mobile_export_android_altered.py`.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import test from 'node:test';

import {ByteWriter, fromHex} from '../src/bytes.js';
import {DownlinkFile} from '../src/downlink.js';
import {JsonError, PayloadError, StateError} from '../src/errors.js';
import {crc32} from '../src/hashing.js';
import {readPublication, readReceipt} from '../src/publication.js';
import {seal} from '../src/sealed.js';
import {DeviceState} from '../src/state.js';
import {recordRound} from '../src/uplink.js';
import {jsonOf} from './golden.mjs';

const altered = jsonOf('altered.json');
const withCrc = (body) => new ByteWriter().bytes(body).uint32(crc32(body)).done();
const hashOf = (content) => createHash('sha256').update(content).digest('hex');
const asIs = (body) => body;

/** For each kind its reader, the error with which it refuses, what proves bytes, how long that is, and what was read. */
const READERS = {
  downlinks: {
    read: DownlinkFile.parse, error: PayloadError, prove: seal, proof: 32,
    told: (file) =>
      `${file.segments ? 'segments' : 'users'} ${file.cloudVersion} ${file.round} ${file.tableSha256} ${file.keys.join(',')}`,
  },
  state: {
    read: (content) => DeviceState.decode(content, 'kept.state'), error: StateError, prove: seal, proof: 32,
    told: (state) => hashOf(state.encode()),
  },
  record: {read: recordRound, error: PayloadError, prove: withCrc, proof: 4, told: String},
  current: {
    read: readPublication, error: JsonError, prove: asIs, proof: 0,
    told: ({cloudVersion, round, tableSha256}) => `${cloudVersion} ${round} ${tableSha256}`,
  },
  receipt: {
    read: (content) => readReceipt(content, 2), error: JsonError, prove: asIs, proof: 0,
    told: ({taken, repeated, tooOld}) => `${taken} ${repeated} ${tooOld}`,
  },
};

test('altered bytes are refused by field with the way out', () => {
  assert.deepEqual(new Set(altered.cases.map(({kind}) => kind)), new Set(Object.keys(READERS)));
  assert.ok(altered.cases.length > 100);
  for (const {kind, change, bytes, says} of altered.cases) {
    const {read, error} = READERS[kind];
    assert.throws(() => read(fromHex(bytes)), (refusal) => {
      assert.ok(refusal instanceof error, `${kind}, ${change}: ${refusal.stack}`);
      for (const part of says) {
        assert.ok(refusal.message.toLowerCase().includes(part.toLowerCase()), `${kind}, ${change}: ${part} in ${refusal.message}`);
      }
      return true;
    }, `${kind}, ${change}`);
  }
});

test('what nobody altered is read', () => {
  for (const [kind, {read, told}] of Object.entries(READERS)) assert.ok(told(read(fromHex(altered.sound[kind]))), kind);
  const state = fromHex(altered.sound.state);
  assert.deepEqual(DeviceState.decode(state, 'x').encode(), state);
});

test('of 500 hostile inputs each, the same are refused as by Python, and of the others the same is read', () => {
  for (const [kind, {read, error, prove, proof, told}] of Object.entries(READERS)) {
    const sound = fromHex(altered.sound[kind]);
    const body = sound.subarray(0, sound.length - proof);
    const draw = drawsOf(altered.hostile.seed);
    const found = [];
    const {letters, read: digest} = altered.hostile[kind];
    for (let place = 0; place < altered.hostile.count; place++) {
      const content = prove(changed(body, draw));
      let what = null;
      try {
        what = told(read(content));
      } catch (refusal) {
        assert.ok(refusal instanceof error, `${kind} ${place}: ${refusal.stack}`);
      }
      // Of a publication the browser reads a part.
      if (letters[place] === 'A') found.push(what);
      if (letters[place] === 'R' && kind !== 'current') assert.equal(what, null, `${kind} ${place}: ${what}`);
    }
    assert.equal(hashOf(found.join('\n')), digest, kind);
  }
});

/** The numbers that all languages draw; the products stay below 2^53. */
function drawsOf(seed) {
  let state = seed;
  return (limit) => (state = (state * 48271) % (2 ** 31 - 1)) % limit;
}

/** One to four bytes changed, perhaps cut or longer, as in Python. */
function changed(body, below) {
  const content = body.slice();
  for (let left = 1 + below(4); left > 0; left--) {
    const place = below(content.length);
    const kind = below(3);
    if (kind === 0) content[place] = below(256);
    else if (kind === 1) content[place] ^= 1 << below(8);
    else content[place] = [0, 127, 128, 255][below(4)];
  }
  const end = below(8);
  if (end === 0) return content.slice(0, below(content.length));
  return end === 1 ? new ByteWriter().bytes(content).bytes(new Uint8Array(1 + below(5))).done() : content;
}
