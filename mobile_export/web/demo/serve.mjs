// Serves the demo page with the files of an export:
//
//   node demo/serve.mjs EXPORT [PORT]
//
// EXPORT is the folder of `ecct export RUN --out EXPORT --static 32,100`.
import {existsSync} from 'node:fs';
import {join, resolve} from 'node:path';
import process from 'node:process';

import {serving} from '../checks/serving.mjs';

const [folder, port = '8080'] = process.argv.slice(2);
if (folder === undefined || !existsSync(join(folder, 'manifest.json'))) {
  process.stderr.write(`expected the folder of \`ecct export\` with a manifest.json, got ${folder}\nusage: node demo/serve.mjs EXPORT [PORT]\n`);
  process.exit(2);
}
const {address} = await serving({export: resolve(folder)}, Number(port));
process.stdout.write(`The demo is at ${address}/demo/index.html\n`);
