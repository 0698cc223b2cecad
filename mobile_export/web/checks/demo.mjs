// Does in the demo page what a person would, and prints what the page shows then:
//
//   node demo.mjs EXPORT [SCREENSHOT.png]
import {writeFileSync} from 'node:fs';
import {resolve} from 'node:path';
import process from 'node:process';

import {withChromium} from './chromium.mjs';
import {serving} from './serving.mjs';

const [folder, screenshot] = process.argv.slice(2);
const server = await serving({export: resolve(folder)});

const shown = async (page) => page.call(`() => {
  const texts = (id) => [...document.querySelectorAll('#' + id + ' li')].map((entry) => entry.textContent);
  const text = (id) => document.getElementById(id).textContent;
  return {
    status: text('status'), history: texts('history'), recommended: texts('recommended'), uplink: text('uplink'),
    network: text('network'), training: text('training'), items: texts('items'),
  };
}`);

/** What the page shows once \`change\` is done and it shows something else than before. */
async function after(page, before, change) {
  await page.call(change);
  for (let tried = 0; tried < 400; tried++) {
    const found = await shown(page);
    if (JSON.stringify(found) !== JSON.stringify(before) && found.network !== '' && found.recommended.length > 0) {
      await new Promise((done) => setTimeout(done, 150));
      return shown(page);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`the page does not change: ${JSON.stringify(before)} ${page.messages.join('\n')}`);
}

const click = (id) => `() => document.getElementById('${id}').click()`;

try {
  const found = await withChromium(async (browser) => {
    const page = await browser.open(`${server.address}/demo/index.html`);
    const steps = [];
    const step = async (change) => steps.push(await after(page, steps.at(-1), change));
    await step('() => undefined');
    for (const item of [3, 5, 8]) await step(`() => document.querySelectorAll('#items button')[${item}].click()`);
    await step(click('train'));
    if (screenshot) writeFileSync(screenshot, await page.screenshot());
    const again = await browser.open(`${server.address}/blank`);
    await page.close();
    await again.close();
    const reopened = await browser.open(`${server.address}/demo/index.html`);
    const kept = await after(reopened, null, '() => undefined');
    const forgotten = await after(reopened, kept, click('forget'));
    return {steps, kept, forgotten};
  });
  process.stdout.write(JSON.stringify(found));
} finally {
  await server.end();
}
