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

const BLANK = `<!doctype html><meta charset="utf-8"><title>ECCT-TF</title>
<script type="importmap">${JSON.stringify({imports: IMPORTS})}</script>`;

/**
 * Serves until `end` is called. `folders` maps the first part of a path to a folder; anything else is of this package.
 */
export async function serving(folders = {}, port = 0) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://local').pathname);
    const [first, ...rest] = path.slice(1).split('/');
    const folder = folders[first];
    const base = folder ?? ROOT;
    const file = normalize(folder ? join(base, ...rest) : join(base, path));
    try {
      if (path === '/') {
        response.writeHead(200, {'Content-Type': KINDS['.html']}).end(BLANK);
        return;
      }
      if (!file.startsWith(normalize(base) + sep)) throw new Error('outside of the folder');
      const content = await readFile(file);
      response.writeHead(200, {'Content-Type': KINDS[extname(file)] ?? 'application/octet-stream', 'Cache-Control': 'no-cache'});
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
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
