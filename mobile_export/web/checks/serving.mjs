// Serves this folder and others on a free port of this machine, for a page in Chromium.
import {createServer} from 'node:http';
import {readFile} from 'node:fs/promises';
import {dirname, extname, join, normalize, sep} from 'node:path';
import {fileURLToPath} from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const KINDS = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css',
  '.wasm': 'application/wasm', '.json': 'application/json',
};

/** A page that loads nothing but the library, by the names that its modules import. */
export const IMPORTS = {
  '@litertjs/core': '/node_modules/@litertjs/core/dist/index.js',
  '@litertjs/wasm-utils': '/node_modules/@litertjs/wasm-utils/dist/index.js',
  'ecct-edge-web': '/src/index.js',
  'ecct-edge-web/litert': '/src/litert.js',
};

const MAP = `<script type="importmap">${JSON.stringify({imports: IMPORTS})}</script>`;
const BLANK = `<!doctype html><meta charset="utf-8"><title>ECCT-TF</title>${MAP}`;

/** Of a page that no server brings: Chromium's requests to it are answered by `fileOf`. It stays the same for ever. */
export const ORIGIN = 'http://localhost';

/**
 * What a page finds at a path. `folders` maps the first part of it to a folder; anything else is of this package.
 *
 * @returns {Promise<{status: number, kind: string, body: Buffer}>}
 */
export async function fileOf(path, folders = {}) {
  if (path === '/') return {status: 200, kind: KINDS['.html'], body: Buffer.from(BLANK)};
  const [first, ...rest] = path.slice(1).split('/');
  const folder = folders[first];
  const base = normalize(folder ?? ROOT);
  const file = normalize(folder ? join(base, ...rest) : join(base, path));
  try {
    if (!file.startsWith(base + sep)) throw new Error('outside of the folder');
    const body = await readFile(file);
    // A page finds the modules by their names.
    if (extname(file) === '.html') return {status: 200, kind: KINDS['.html'], body: Buffer.from(`${body}`.replace('<title>', `${MAP}<title>`))};
    return {status: 200, kind: KINDS[extname(file)] ?? 'application/octet-stream', body};
  } catch {
    return {status: 404, kind: 'text/plain', body: Buffer.alloc(0)};
  }
}

/** Serves until `end` is called, with folders as for `fileOf`. */
export async function serving(folders = {}, port = 0) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://local').pathname);
    const {status, kind, body} = await fileOf(path, folders);
    response.writeHead(status, {'Content-Type': kind, 'Cache-Control': 'no-cache'}).end(body);
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    end: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}
