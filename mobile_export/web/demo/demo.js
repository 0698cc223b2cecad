// Ratings in, recommendations change, an uplink would leave: all of it in the page.
import {Downlink, EdgeDevice, IndexedDbStates, ModelFile} from 'ecct-edge-web';
import {liteRtInterpreter} from 'ecct-edge-web/litert';

const USER = 0;
const SHOWN = 200;
const place = (id) => document.getElementById(id);

/** The static file of the export that is served, and a way to open its device. */
async function load() {
  const manifest = await (await fetch('/export/manifest.json')).json();
  const name = Object.keys(manifest.files).find((each) => /-trainable-.*-b\d+-c\d+\.tflite$/.test(each));
  if (name === undefined) throw new Error('expected a trainable file with static shapes: `ecct export RUN --out FOLDER --static 30,100`');
  const model = await ModelFile.fetch(`/export/${name}`);
  const states = await IndexedDbStates.open('ecct-demo');
  return async () => {
    const interpreter = await liteRtInterpreter(model, {wasm: '/node_modules/@litertjs/core/wasm/'});
    return EdgeDevice.open({model, interpreter, states: states.of(USER), user: USER, adopt: true});
  };
}

/** Stands for the cloud: it knows nothing of the user, and asks about items that are spread over the catalog. */
function question({metadata}) {
  const {exchange, itemRows} = metadata;
  const step = Math.max(1, Math.floor((itemRows - 1) / exchange.queries));
  const queries = Int32Array.from({length: exchange.queries}, (_, order) => 1 + ((order * step) % (itemRows - 1)));
  const {codec, embedding, scale} = Downlink.unknownUser(exchange);
  return new Downlink({codec, embedding, scale, queries});
}

const listed = (id, texts) => place(id).replaceChildren(...texts.map((text) => {
  const entry = document.createElement('li');
  entry.textContent = text;
  return entry;
}));

async function show(device) {
  const {history} = device.state;
  listed('history', [...history].reverse().map((row) => device.model.itemToken(row)));
  const best = await device.recommend({k: 10});
  listed('recommended', best.map(({item, probability}) => `${item} · ${(100 * probability).toFixed(1)} %`));
  const payload = await device.uplink();
  place('uplink').textContent = Array.from(payload, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  place('answer').textContent =
    `The cloud asks about ${device.state.downlink.queries.length} items; these ${payload.length} bytes are all that it would be told.`;
}

function offer(device, like) {
  const wanted = place('search').value.trim().toLowerCase();
  const all = Array.from({length: device.model.metadata.itemRows - 1}, (_, row) => device.model.itemToken(row + 1));
  const tokens = all.filter((token) => token.toLowerCase().includes(wanted)).slice(0, SHOWN);
  place('items').replaceChildren(...tokens.map((token) => {
    const entry = document.createElement('li');
    const button = document.createElement('button');
    button.textContent = token;
    button.onclick = () => like(token);
    entry.append(button);
    return entry;
  }));
}

async function main() {
  const open = await load();
  let device = await open();
  const said = (text) => (place('status').textContent = text);
  // Everything is here; what the page asks for after this, it would have to fetch.
  const before = performance.getEntriesByType('resource').length;
  const guarded = (action) => async (argument) => {
    try {
      await action(argument);
      await show(device);
      const after = performance.getEntriesByType('resource').length;
      place('network').textContent = `Requests since the page was ready: ${after - before}.`;
    } catch (error) {
      said(`${error.name}: ${error.message}`);
    }
  };
  const ask = () => device.receive(question(device.model));
  const like = guarded(async (token) => {
    await device.interact([token], [Math.floor(Date.now() / 1000)]);
    said(`You like ${token}.`);
  });
  place('search').oninput = () => offer(device, like);
  place('train').onclick = guarded(async () => {
    const {samples, firstLoss, lastLoss} = await device.train({epochs: 5});
    place('training').textContent = samples
      ? `Round ${device.state.round}: ${samples} samples, loss ${firstLoss.toFixed(3)} → ${lastLoss.toFixed(3)}.`
      : 'Nothing to train on: pick two items at least.';
  });
  place('forget').onclick = guarded(async () => {
    await device.forget();
    device = await open();
    await ask();
    place('training').textContent = '';
    said('Everything was forgotten.');
  });
  await guarded(ask)();
  offer(device, like);
  said(`Ready: ${device.model.metadata.itemRows - 1} items, ${device.model.metadata.weights} weights of tier ${device.model.metadata.tier}.`);
}

main().catch((error) => (place('status').textContent = `${error.name}: ${error.message}`));
