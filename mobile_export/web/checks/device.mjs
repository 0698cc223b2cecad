// What a device in the browser does with an exported file, for `tests/mobile_export/test_mobile_export_web.py`.
import {DeviceState, Downlink, EdgeDevice, IndexedDbStates, ModelFile} from 'ecct-edge-web';
import {liteRtInterpreter} from 'ecct-edge-web/litert';

import {fromHex, toHex} from '/src/bytes.js';
import {drawSamples} from '/src/samples.js';

const WASM = '/node_modules/@litertjs/core/wasm/';

/** Opens, uses, closes and opens again; answers what Python compares with its own device. */
export default async function use({file, user, items, times, older, profile, downlink, told, candidates, now, createdAt, seed, context, codec}) {
  const codecs = codec === undefined ? [] : [(await import('/data/four_bits.js')).fourBits(codec)];
  const model = await ModelFile.fetch(`/data/${file}`, {codecs});
  const states = await IndexedDbStates.open();
  const open = async () =>
    EdgeDevice.open({
      model, user, states: states.of(user), clock: () => now, interpreter: await liteRtInterpreter(model, {wasm: WASM}),
    });
  const device = await open();
  const found = {known: await device.interact(items, times, context)};
  await device.setKnownToCloud(older);
  await device.setProfile(profile);
  await device.receive(Downlink.decode(fromHex(downlink), model.metadata.exchange, told));
  const kept = async () => toHex(await states.of(user).read());
  found.before = await kept();
  found.scores = await device.score(candidates);
  const {targets} = model.metadata;
  const logits = targets.length > 0 ? await device.targetLogits(candidates) : {};
  found.targetLogits = Object.fromEntries(targets.map((name) => [name, [...logits[name]]]));
  found.best = await device.recommend({k: 5});
  found.uplink = toHex(await device.uplink());
  found.record = toHex(await device.uplinkRecord(createdAt));
  found.samples = drawSamples(device.state, model.metadata, {}, seed).map((sample) => ({
    ...sample, history: [...sample.history], clock: [...sample.clock], targets: [...sample.targets],
  }));
  found.report = await device.train({seed});
  found.after = await kept();
  found.trainedUplink = toHex(await device.uplink());
  found.trainedScores = await device.score(candidates);
  found.servesStart = await device.servesStart();
  found.secondOpener = await open().then(() => 'opened', (error) => `${error.name}: ${error.message}`);
  await device.close();
  const again = await open();
  found.again = await kept();
  found.againUplink = toHex(await again.uplink());
  found.personal = JSON.parse(await again.exportPersonalData());
  await again.forget();
  found.forgotten = await states.of(user).read();
  const anew = await open();
  found.anew = DeviceState.decode(await states.of(user).read(), 'anew').history.length;
  await anew.forget();
  return found;
}
