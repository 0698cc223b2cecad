/** A device's round with the cloud: fetch, take part, answer. A tab that ends at any point loses nothing. */
import {RecordRefusedError, StalePublicationError, TokenRefusedError, TransportError} from './errors.js';
import {recordRound} from './uplink.js';

const MOST_PUBLICATIONS = 3;
/** The cloud tells the last 64 rounds of a device apart, older ones it drops. */
const MOST_ROUNDS = 64;

/**
 * What a call of `takePart` did.
 *
 * @typedef {object} RoundReport
 * @property {number} round that the cloud asks in
 * @property {import('./training.js').TrainingReport | null} training null where the device had taken part in that round
 *   already, or needs `newModel` first
 * @property {{taken: number, repeated: number, refused: number} | null} sent what became of answers, those that had waited
 *   among them; null where the cloud could not be reached any more: they wait
 * @property {import('./model_file.js').ModelFile | null} newModel the file of the device's name with the published item
 *   table, where the device holds another: open it with `adopt: true`, and call again
 */

/**
 * Takes part in the round that the cloud asks in now, once, and answers. Where a tab ended between training and the
 * answer, the next call answers from the trained state, without training again.
 *
 * @param {import('./device.js').EdgeDevice} device
 * @param {import('./client.js').CloudClient} client
 * @param {import('./training.js').TrainingOptions & {rounds?: number}} [options]
 * @param {() => number} [clock] seconds since 1970, for the answers
 * @returns {Promise<RoundReport>}
 * @throws {TransportError} when the cloud cannot be reached before the device has taken part.
 * @throws {TokenRefusedError} when the token is not valid; an answer that was made waits.
 */
export async function takePart(device, client, options = {}, clock = () => Math.floor(Date.now() / 1000)) {
  for (let tried = 1; ; tried++) {
    try {
      return await once(device, client, options, clock);
    } catch (error) {
      // The cloud published between two requests.
      if (!(error instanceof StalePublicationError) || tried === MOST_PUBLICATIONS) throw error;
    }
  }
}

/**
 * @param {import('./device.js').EdgeDevice} device
 * @param {import('./client.js').CloudClient} client
 * @param {import('./training.js').TrainingOptions & {rounds?: number}} options
 * @param {() => number} clock
 * @returns {Promise<RoundReport>}
 */
async function once(device, client, options, clock) {
  const publication = await client.current();
  const {round} = publication;
  const {exchange, tableSha256} = device.model.metadata;
  if (publication.tableSha256 !== tableSha256) {
    const sent = await sendWaiting(device, client);
    const {name, codecs} = device.model;
    return {round, training: null, sent, newModel: await client.model(name, {codecs})};
  }
  const known = device.state.downlink;
  const hasTakenPart = known !== null && known.round >= round && known.cloudVersion > 0;
  const training = hasTakenPart ? null : await device.takePart(await client.downlink(publication, exchange), options);
  const newest = await device.answers.newest();
  const asks = (device.state.downlink?.queries.length ?? 0) > 0;
  if (asks && (!hasTakenPart || newest === null || newest < round)) {
    const record = await device.uplinkRecord(clock());
    await device.answers.add(recordRound(record), record);
  }
  return {round, training, sent: await sendWaiting(device, client), newModel: null};
}

/**
 * @param {import('./device.js').EdgeDevice} device
 * @param {import('./client.js').CloudClient} client
 */
async function sendWaiting(device, client) {
  const report = {taken: 0, repeated: 0, refused: 0};
  const all = await device.answers.all();
  for (const [round] of all.slice(0, -MOST_ROUNDS)) await device.answers.remove(round);
  try {
    // One a request: rounds are days apart, and a refused one stops no other.
    for (const [round, record] of all.slice(-MOST_ROUNDS)) {
      try {
        const sent = await client.send([record]);
        report.taken += sent.taken;
        report.repeated += sent.repeated + sent.tooOld;
      } catch (error) {
        if (!(error instanceof RecordRefusedError)) throw error;
        report.refused++;
      }
      await device.answers.remove(round);
    }
    return report;
  } catch (error) {
    if (error instanceof TokenRefusedError || !(error instanceof TransportError)) throw error;
    return null; // It waits; the next call sends it.
  }
}
