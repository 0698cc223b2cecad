// Runs a module in a page of headless Chromium, and prints what it answers as JSON:
//
//   node run.mjs MODULE FOLDER < argument.json > answer.json
//
// MODULE is a file whose default export takes the argument of standard input; FOLDER is served to it as /data/.
import {readFileSync} from 'node:fs';
import {basename, dirname, resolve} from 'node:path';
import process from 'node:process';

import {withChromium} from './chromium.mjs';
import {serving} from './serving.mjs';

const [module, folder] = process.argv.slice(2).map((path) => resolve(path));
const argument = JSON.parse(readFileSync(0, 'utf8') || 'null');
const server = await serving({data: folder, module: dirname(module)});
try {
  const answer = await withChromium(async (browser) => {
    const page = await browser.open(`${server.address}/`);
    const script = `async (argument) => (await import('/module/${basename(module)}')).default(argument)`;
    return page.call(script, argument);
  });
  process.stdout.write(JSON.stringify(answer ?? null));
} finally {
  await server.end();
}
