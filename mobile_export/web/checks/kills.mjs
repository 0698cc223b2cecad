// Kills Chromium while a device in it learns, again and again, and prints what was confirmed before each kill and what
// was there after it:
//
//   node kills.mjs FOLDER FILE KILLS
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import process from 'node:process';

import {withChromium} from './chromium.mjs';
import {ORIGIN, fileOf} from './serving.mjs';

const [folder, file, kills] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), 'ecct-kills-'));

const OPEN = `async (file) => {
  const {EdgeDevice, IndexedDbStates, ModelFile} = await import('ecct-edge-web');
  const {liteRtInterpreter} = await import('ecct-edge-web/litert');
  const model = await ModelFile.fetch('/data/' + file);
  const interpreter = await liteRtInterpreter(model, {wasm: '/node_modules/@litertjs/core/wasm/'});
  globalThis.device = await EdgeDevice.open({model, interpreter, states: (await IndexedDbStates.open()).of(1), user: 1});
  return globalThis.device.state.history.length;
}`;
const INTERACT = `async (order) => {
  await globalThis.device.interact(['film ' + (1 + order % 38)], [1000000000 + order]);
  if (order % 3 === 2) await globalThis.device.train({epochs: 1});
  return globalThis.device.state.history.length;
}`;

const rounds = [];
let confirmed = 0;
try {
  for (let kill = 0; kill <= Number(kills); kill++) {
    await withChromium(async (browser) => {
      const page = await browser.open(`${ORIGIN}/`, (path) => fileOf(path, {data: resolve(folder)}));
      const found = await page.call(OPEN, file);
      rounds.push({confirmed, found});
      confirmed = found;
      if (kill === Number(kills)) return;
      // At another moment of a write each time.
      const late = setTimeout(() => browser.kill(), 300 + 37 * kill);
      try {
        for (;;) confirmed = await page.call(INTERACT, confirmed);
      } catch {
        clearTimeout(late);
        await browser.kill();
      }
    }, {profile});
  }
  process.stdout.write(JSON.stringify(rounds));
} finally {
  rmSync(profile, {recursive: true, force: true, maxRetries: 5});
}
