// A device's round with the cloud in a page, for `host.mjs`: what an app would do when it is opened.
import {
  CloudClient, EdgeDevice, IndexedDbStates, StalePublicationError, TokenRefusedError, TransportError, UnreachableError, takePart,
} from 'ecct-edge-web';
import {liteRtInterpreter} from 'ecct-edge-web/litert';

import {toHex} from '/src/bytes.js';

const WASM = '/node_modules/@litertjs/core/wasm/';

/** Takes part; answers whether the round is answered, and the state, which is measured and does not cross. */
export default async function round({address, token, own, rounds, roundNumber, retries}) {
  const states = await IndexedDbStates.open();
  try {
    const client = new CloudClient({address, token, retries});
    const open = async (model) =>
      EdgeDevice.open({
        model, user: own.user, states: states.of(own.user), adopt: true,
        interpreter: await liteRtInterpreter(model, {wasm: WASM}),
      });
    let device = await open(await client.model(own.model));
    try {
      await settle(device, own);
      let report = await takePart(device, client, {rounds});
      if (report.newModel !== null) {
        await device.close();
        device = await open(report.newModel);
        report = await takePart(device, client, {rounds});
      }
      if (report.sent?.refused) throw new Error(`the service can never take ${report.sent.refused} answers of user ${own.user}`);
      const waiting = (await device.answers.all()).length;
      const isAnswered = report.newModel === null && report.round >= roundNumber && waiting === 0;
      return {isAnswered, state: toHex(await states.of(own.user).read())};
    } finally {
      await device.close();
    }
  } catch (error) {
    if (error instanceof TokenRefusedError) return {isRefused: true};
    if (error instanceof UnreachableError || error instanceof StalePublicationError) return {problem: `${error}`};
    if (error instanceof TransportError) return {problem: `${error}`, isContradiction: true};
    throw error;
  } finally {
    states.close();
  }
}

/** What the app knows of its user before the cloud is asked; once, whenever a tab ended meanwhile. */
async function settle(device, {history, times, profile, num_older: older, context}) {
  const {model, state} = device;
  if (state.downlink !== null) return;
  if (state.history.length === 0) {
    const tokens = history.map((row) => model.itemToken(row));
    const moments = times.length ? times.map((time) => time && Math.floor(time)) : undefined;
    await device.interact(tokens, moments, context);
  }
  await device.setKnownToCloud(older);
  const columns = model.metadata.profile.map(({name}, place) => [name, model.profileValue(place, profile[place])]);
  await device.setProfile(Object.fromEntries(columns.filter(([, value]) => value !== null)));
}
