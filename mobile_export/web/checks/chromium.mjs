// A headless Chromium, driven over pipes by its own protocol: no port is opened, nothing is installed beside it.
import {spawn} from 'node:child_process';
import {existsSync, mkdirSync, mkdtempSync, renameSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import process from 'node:process';
import {fileURLToPath} from 'node:url';

const FLAGS = [
  '--headless=shell', '--no-sandbox', '--no-zygote', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-default-apps', '--disable-sync',
  '--mute-audio', '--no-default-browser-check', '--no-pings', '--remote-debugging-pipe',
  // Pages of these tests come from no network, and ask a service of this machine.
  '--disable-features=LocalNetworkAccessChecks',
];

/** The browser, or a page of it (`isPage`), was killed: its profile is as it was then. */
export class KilledError extends Error {
  constructor(message, {isPage}) {
    super(message);
    this.isPage = isPage;
  }
}

/** Runs `use(browser)` with a browser whose profile is gone afterwards. */
export async function withChromium(use, {profile} = {}) {
  const own = profile ?? mkdtempSync(join(tmpdir(), 'ecct-chromium-'));
  const browser = await start(own);
  try {
    return await use(browser);
  } finally {
    await browser.end();
    if (profile === undefined) rmSync(own, {recursive: true, force: true, maxRetries: 5});
  }
}

/** The path of Chromium: `ECCT_CHROMIUM`, or the one that its npm package brings. */
export async function chromiumPath() {
  if (process.env.ECCT_CHROMIUM) return process.env.ECCT_CHROMIUM;
  const kept = fileURLToPath(new URL('../node_modules/.chromium', import.meta.url));
  if (!existsSync(kept)) await unpack(kept);
  return join(kept, 'chromium');
}

/** Unpacks the browser once: whole or not at all, also where two processes do so. */
async function unpack(kept) {
  const draft = `${kept}.${process.pid}`;
  const before = process.env.TMPDIR;
  mkdirSync(draft);
  process.env.TMPDIR = draft;
  try {
    const {default: chromium} = await import('@sparticuz/chromium');
    await chromium.executablePath();
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
  try {
    renameSync(draft, kept);
  } catch (error) {
    rmSync(draft, {recursive: true, force: true});
    if (!existsSync(kept)) throw error;
  }
}

async function start(profile) {
  const path = await chromiumPath();
  const child = spawn(path, [...FLAGS, `--user-data-dir=${profile}`], {stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe']});
  let errors = '';
  child.stderr.on('data', (text) => (errors = (errors + text).slice(-4000)));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const connection = new Connection(child.stdio[3], child.stdio[4]);
  child.once('exit', (code, signal) => connection.fail(signal === 'SIGKILL' ? new KilledError('Chromium was killed', {isPage: false}) : new Error(
      `Chromium ended with ${code ?? signal}: ${errors}\nA library that is missing comes with the system's package of a browser.`)));
  process.once('exit', () => child.kill('SIGKILL'));
  await connection.ask('Browser.getVersion');
  return {
    pid: child.pid,
    version: async () => (await connection.ask('Browser.getVersion')).product,
    open: (address, answer) => openPage(connection, address, answer),
    end: async () => {
      connection.ask('Browser.close').catch(() => undefined);
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(late);
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A page, once it has loaded; requests to its own origin are answered by `answer(path)`, if given. */
async function openPage(connection, address, answer) {
  const {targetId} = await connection.ask('Target.createTarget', {url: 'about:blank'});
  const {sessionId} = await connection.ask('Target.attachToTarget', {targetId, flatten: true});
  const ask = (method, given) => connection.ask(method, given, sessionId);
  const messages = [];
  connection.listen(sessionId, (method, told) => {
    if (method === 'Inspector.targetCrashed') connection.fail(new KilledError('the page was killed', {isPage: true}), sessionId);
    if (method === 'Runtime.exceptionThrown') messages.push(told.exceptionDetails.exception?.description ?? 'an error');
    if (method === 'Runtime.consoleAPICalled') messages.push(told.args.map(({value, description}) => value ?? description).join(' '));
  });
  await ask('Inspector.enable');
  await ask('Runtime.enable');
  await ask('Page.enable');
  if (answer !== undefined) {
    connection.listen(sessionId, async (method, {requestId, request} = {}) => {
      if (method !== 'Fetch.requestPaused') return;
      const {status, kind, body} = await answer(decodeURIComponent(new URL(request.url).pathname));
      const responseHeaders = [{name: 'Content-Type', value: kind}, {name: 'Cache-Control', value: 'no-cache'}];
      await ask('Fetch.fulfillRequest', {requestId, responseCode: status, responseHeaders, body: body.toString('base64')});
    });
    await ask('Fetch.enable', {patterns: [{urlPattern: `${new URL(address).origin}/*`}]});
  }
  const loaded = new Promise((resolve) => connection.listen(sessionId, (method) => {
    if (method === 'Page.loadEventFired') resolve();
  }));
  await ask('Page.navigate', {url: address});
  await loaded;
  return {
    messages,
    /** Calls `function(argument)` in the page, where it may be asynchronous; values cross as JSON. */
    call: async (script, argument) => {
      const expression = `(${script})(${JSON.stringify(argument ?? null)})`;
      const told = await ask('Runtime.evaluate', {expression, awaitPromise: true, returnByValue: true});
      if (told.exceptionDetails) {
        const {exception, text} = told.exceptionDetails;
        throw new Error(`${exception?.description ?? text}\n${messages.join('\n')}`);
      }
      return told.result.value;
    },
    screenshot: async () => Buffer.from((await ask('Page.captureScreenshot', {format: 'png'})).data, 'base64'),
    close: () => connection.ask('Target.closeTarget', {targetId}),
  };
}

/** Messages of Chromium's protocol, each ended by a zero. */
class Connection {
  #last = 0;
  #asked = new Map();
  #listeners = [];
  #errors = new Map(); // by session; without one, of all

  constructor(output, input) {
    this.output = output;
    let rest = Buffer.alloc(0);
    input.on('data', (block) => {
      rest = Buffer.concat([rest, block]);
      for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
        this.#take(JSON.parse(rest.subarray(0, end).toString()));
        rest = rest.subarray(end + 1);
      }
    });
    output.on('error', () => undefined);
  }

  ask(method, params = {}, sessionId) {
    const past = this.#errors.get(undefined) ?? this.#errors.get(sessionId);
    if (past !== undefined) return Promise.reject(past);
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, {resolve, reject, method, sessionId});
      this.output.write(`${JSON.stringify({id, method, params, sessionId})}\0`);
    });
  }

  listen(sessionId, heard) {
    this.#listeners.push({sessionId, heard});
  }

  /** Nothing more is answered, or nothing more of a session. */
  fail(error, sessionId) {
    this.#errors.set(sessionId, error);
    for (const [id, asked] of this.#asked) {
      if (sessionId !== undefined && asked.sessionId !== sessionId) continue;
      this.#asked.delete(id);
      asked.reject(error);
    }
  }

  #take({id, result, error, method, params, sessionId}) {
    if (id === undefined) {
      for (const each of this.#listeners) if (each.sessionId === sessionId) each.heard(method, params);
      return;
    }
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (error) asked?.reject(new Error(`${asked.method}: ${error.message}`));
    else asked?.resolve(result);
  }
}
