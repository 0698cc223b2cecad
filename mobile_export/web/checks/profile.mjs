// Runs an export of a module in a page of headless Chromium whose profile stays, and prints what it answers as JSON:
//
//   node profile.mjs PROFILE MODULE EXPORT FOLDER [kill] < argument.json > answer.json
//
// MODULE is a file of this folder; FOLDER is served to it as /data/. With `kill`, Chromium is killed as soon as it has
// answered: what it had not written by then, it never writes.
import {readFileSync} from 'node:fs';
import {resolve} from 'node:path';
import process from 'node:process';

import {withChromium} from './chromium.mjs';
import {ORIGIN, fileOf} from './serving.mjs';

const [profile, module, name, folder, kill] = process.argv.slice(2);
const argument = JSON.parse(readFileSync(0, 'utf8') || 'null');
await withChromium(async (browser) => {
  const page = await browser.open(`${ORIGIN}/`, (path) => fileOf(path, {data: resolve(folder)}));
  const answer = await page.call(`async (argument) => (await import('/checks/${module}')).${name}(argument)`, argument);
  process.stdout.write(JSON.stringify(answer ?? null));
  if (kill === 'kill') await browser.kill();
}, {profile});
