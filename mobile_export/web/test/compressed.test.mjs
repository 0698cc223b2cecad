// Files that come compressed, through a `fetch` that decompresses: the same content, whole or refused.
import assert from 'node:assert/strict';
import {createServer} from 'node:http';
import test from 'node:test';
import {gzipSync} from 'node:zlib';

import {CloudClient} from '../src/client.js';
import {ModelFileError, TransportError, UnreachableError} from '../src/errors.js';
import {ModelFile} from '../src/model_file.js';
import {bytesOf, jsonOf, textOf} from './golden.mjs';

const NAME = 'edge.tflite';
const MODEL = bytesOf(NAME);
const ZIPPED = gzipSync(MODEL, {level: 9});

/** A client of a service whose model comes as `send` has it, and what the service saw. */
async function served(send, use, manifest = textOf('manifest.json')) {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push(`${request.url.split('/').pop()} ${/\bgzip\b/.test(request.headers['accept-encoding'])} ${request.headers.range}`);
    if (request.url.endsWith('manifest.json')) response.end(manifest);
    else send(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const address = `http://127.0.0.1:${server.address().port}`;
    await use(new CloudClient({address, token: 't', retries: {attempts: 1}}), address);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return seen;
}

const gzip = (content, length = content.length) => (response) => {
  response.writeHead(200, {'Content-Encoding': 'gzip', 'Content-Length': length});
  response.end(content);
};

test('a model is the same with gzip, in fewer bytes, and without it', async () => {
  assert.ok(ZIPPED.length < MODEL.length);
  for (const send of [gzip(ZIPPED), (response) => response.end(MODEL)]) {
    const seen = await served(send, async (client) => {
      assert.deepEqual((await client.model(NAME)).content, MODEL);
    });
    assert.deepEqual(seen, ['manifest.json true undefined', `${NAME} true undefined`]);
  }
});

test('a stream that ends early is not taken as whole', async () => {
  // More than the trailer and the bits of the last block's end, without which nothing of the file is missing.
  for (const missing of [40, 500]) {
    await served(gzip(ZIPPED.subarray(0, -missing)), async (client) => {
      await assert.rejects(client.model(NAME), TransportError);
    });
  }
  const cut = (response) => {
    response.writeHead(200, {'Content-Encoding': 'gzip', 'Content-Length': ZIPPED.length});
    response.write(ZIPPED.subarray(0, 1000), () => response.destroy());
  };
  await served(cut, async (client) => {
    await assert.rejects(client.model(NAME), UnreachableError);
  });
});

test('a bomb is refused', async () => {
  const bomb = gzipSync(new Uint8Array(50_000_000));
  await served(gzip(bomb), async (client) => {
    await assert.rejects(client.model(NAME), new RegExp(`expected at most ${MODEL.length} bytes, got more`));
  });
  // A manifest without a length announces none; the hash still decides.
  const {[NAME]: {sha256}} = jsonOf('manifest.json').files;
  const unbounded = JSON.stringify({files: {[NAME]: {sha256}}});
  await served(gzip(ZIPPED), async (client) => {
    assert.deepEqual((await client.model(NAME)).content, MODEL);
  }, unbounded);
  // Nor is anything else that is fetched without a bound.
  const other = {status: 200, headers: {}};
  const client = new CloudClient({
    address: 'https://cloud.example', token: 't', fetch: async () => new Response(new Uint8Array(16 * 2 ** 20 + 1), other),
  });
  await assert.rejects(client.current(), /expected at most 16777216 bytes, got more/);
});

test('a model from any server is read no further than its manifest says', async () => {
  const fetched = (address) => ModelFile.fetch(`${address}/models/${NAME}`);
  await served(gzip(ZIPPED), async (_, address) => {
    assert.deepEqual((await fetched(address)).content, MODEL);
  });
  const tooLong = (found) => (error) =>
    error instanceof ModelFileError && error.message.includes(`${found}: expected a model with manifest.json beside it, it has more`);
  await served(gzip(gzipSync(new Uint8Array(50_000_000))), async (_, address) => {
    await assert.rejects(fetched(address), tooLong(NAME));
  });
  // Whoever sends without an end is left after a little more than that.
  let sent = 0;
  const endless = (response) => {
    const more = () => response.write(new Uint8Array(1 << 16), (error) => {
      sent += 1 << 16;
      if (!error && sent < 2 ** 28) more();
    });
    more();
  };
  await served(endless, async (_, address) => {
    await assert.rejects(fetched(address), tooLong(NAME));
  });
  assert.ok(sent < 2 ** 26, `${sent}`);
  // Nor is the manifest itself.
  await served(gzip(ZIPPED), async (_, address) => {
    await assert.rejects(fetched(address), tooLong('manifest.json'));
  }, ' '.repeat(16 * 2 ** 20 + 1));
  // Without a length the hash still decides.
  const {[NAME]: {sha256}} = jsonOf('manifest.json').files;
  await served(gzip(ZIPPED), async (_, address) => {
    assert.deepEqual((await fetched(address)).content, MODEL);
  }, JSON.stringify({files: {[NAME]: {sha256}}}));
});

test('a model that cannot be fetched is named, whatever the reason is', async () => {
  let gone = '';
  await served((response) => response.writeHead(404).end(), async (_, address) => {
    gone = `${address}/${NAME}`;
    await assert.rejects(ModelFile.fetch(gone), /edge\.tflite: .* the server answered 404; copy both/);
  });
  await assert.rejects(ModelFile.fetch(gone), (error) => error instanceof ModelFileError && /cannot be reached/.test(error.message));
  const cut = (response) => {
    response.writeHead(200, {'Content-Length': MODEL.length});
    response.write(MODEL.subarray(0, 1000), () => response.destroy());
  };
  await served(cut, async (_, address) => {
    const broke = (error) => error instanceof ModelFileError && /the connection broke/.test(error.message);
    await assert.rejects(ModelFile.fetch(`${address}/${NAME}`), broke);
  });
});
