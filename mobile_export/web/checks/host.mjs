// Devices in one headless Chromium, one after another, each over HTTP with a token of its own:
//
//   node host.mjs PLAN.json RESULT.json
//
// as `mobile_export.transport.host` does it for devices in Python, with the same plan and report. States and waiting
// answers lie in the IndexedDB of the browser's profile, beside the devices' folders; a copy of each state is written
// into its device's folder, where the cycle measures it. It may be killed at any moment, and so may the browser and its
// page: they are opened again.
import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import process from 'node:process';

import {KilledError, withChromium} from './chromium.mjs';
import {ORIGIN, fileOf} from './serving.mjs';

const PAUSE_SECONDS = 0.2;
const MOST_CONTRADICTIONS = 5;

const [planPath, resultPath] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(planPath, 'utf8'));
const profile = `${plan.folder}-in-chromium`;
mkdirSync(profile, {recursive: true, mode: 0o700});

const until = Date.now() + 1000 * plan.deadline_seconds;
const refused = [];
const contradictions = new Map();
let pending = [...plan.users];
let problem = 'none';
try {
  while (pending.length > 0) await unlessKilled(() => withChromium(takeParts, {profile}), {isPage: false});
  const answered = plan.users.filter((user) => !refused.includes(user));
  replace(resultPath, JSON.stringify({answered, refused: refused.sort((one, other) => one - other)}) + '\n');
  process.exit(0);
} catch (error) {
  process.stderr.write(`Error: ${error.stack}\n`);
  process.exit(1);
}

async function takeParts(browser) {
  while (pending.length > 0) await unlessKilled(() => takePartsInPage(browser), {isPage: true});
}

async function takePartsInPage(browser) {
  const page = await browser.open(`${ORIGIN}/`, (path) => fileOf(path));
  while (pending.length > 0) {
    for (const user of [...pending]) {
      if (Date.now() > until) {
        throw new Error(
            `${pending.length} of ${plan.users.length} devices have not answered round ${plan.round_number} within ` +
            `${plan.deadline_seconds} seconds; the last problem: ${problem}`);
      }
      const folder = join(plan.folder, `${user}`);
      const told = await page.call(`async (argument) => (await import('/checks/round.mjs')).default(argument)`, {
        address: plan.address,
        token: readFileSync(join(folder, 'token'), 'utf8').trim(),
        own: JSON.parse(readFileSync(join(folder, 'own.json'), 'utf8')),
        rounds: plan.rounds,
        roundNumber: plan.round_number,
        retries: {attempts: plan.retries, firstSeconds: plan.first_wait_seconds, mostSeconds: plan.most_wait_seconds},
      });
      if (told.state) replace(join(folder, 'device.state'), Buffer.from(told.state, 'hex'));
      if (told.isRefused) refused.push(user);
      if (told.isRefused || told.isAnswered) pending = pending.filter((each) => each !== user);
      if (told.problem && told.problem !== problem) process.stderr.write(`device of user ${user}: ${told.problem}\n`);
      problem = told.problem ?? problem;
      if (told.isContradiction) {
        contradictions.set(user, (contradictions.get(user) ?? 0) + 1);
        if (contradictions.get(user) === MOST_CONTRADICTIONS) throw new Error(told.problem);
      }
    }
    if (pending.length > 0) await new Promise((resolve) => setTimeout(resolve, 1000 * PAUSE_SECONDS));
  }
}

/** Does it; that a page, or the browser, was killed meanwhile is said and no more. */
async function unlessKilled(act, {isPage}) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof KilledError) || error.isPage !== isPage) throw error;
    process.stderr.write(`${error.message}; it is opened again\n`);
  }
}

/** A file in place of the one before, by one rename. */
function replace(path, content) {
  writeFileSync(`${path}.part`, content, {mode: 0o600});
  renameSync(`${path}.part`, path);
}
