/** The steps of one call of `train`: `reset_optimizer`, then the batches of each epoch. */
import {InputError, RefusedError} from './errors.js';
import {batchOf, drawSamples} from './samples.js';
import {SplitMix64} from './splitmix64.js';

/**
 * How to train in one call. What is left out is as the run trained, from the file's metadata.
 *
 * @typedef {object} TrainingOptions
 * @property {number} [epochs] passes over the samples
 * @property {number} [batchSize] samples of a step; at most the rows of the file
 * @property {number} [learningRate] of the shared weights, at most 1
 * @property {number} [privateLearningRate] of the weights that stay on the device, at most 1
 * @property {number} [negatives] items drawn for each position, which the user never touched
 * @property {number} [positions] the newest positions that are trained on
 * @property {bigint | number} [seed] fixes negatives and order; left out, it follows from user and round
 * @property {() => boolean} [keepGoing] asked before each step; false ends the call, what was done is kept
 */

/**
 * What a call of `train` did.
 *
 * @typedef {object} TrainingReport
 * @property {number} samples it trained on, negatives included
 * @property {number} applied steps that changed weights
 * @property {number} refused steps that the graph refused because the gradient exploded
 * @property {number} firstLoss mean loss of the first epoch, each sample before its step; NaN when it was stopped before
 *   the first, 0 without samples
 * @property {number} lastLoss the same of the last epoch
 * @property {boolean} completed false when it was asked to stop before the end
 * @property {Record<string, number>} targetLosses mean loss of each further target in the last epoch, by its name, before
 *   its weight in the sum
 */

const COUNTS = ['epochs', 'batchSize', 'negatives', 'positions'];
const RATES = ['learningRate', 'privateLearningRate'];

/**
 * @param {Record<string, any>} options
 * @throws {InputError} when a count or a rate is none that training has.
 */
function checkOptions(options) {
  const unknown = Object.keys(options).filter((name) => ![...COUNTS, ...RATES, 'seed', 'keepGoing'].includes(name));
  if (unknown.length > 0) {
    throw new InputError(`train: expected options out of ${[...COUNTS, ...RATES, 'seed', 'keepGoing']}, got ${unknown}`);
  }
  for (const name of COUNTS) {
    const value = options[name];
    if (value !== undefined && !(Number.isInteger(value) && value >= 1)) {
      throw new InputError(`train: expected ${name} of at least 1, a whole number, got ${value}`);
    }
  }
  for (const name of RATES) {
    const value = options[name];
    if (value !== undefined && !(value >= 0 && value <= 1)) {
      throw new InputError(`train: expected ${name} in 0..1, got ${value}`);
    }
  }
  const {seed} = options;
  if (seed !== undefined && typeof seed !== 'bigint' && !Number.isSafeInteger(seed)) {
    throw new InputError(`train: expected a whole number as seed, got ${seed}`);
  }
}

/**
 * Rounds of training, one after another, on the downlink of `begun`: the state after them, whose weights are loaded then.
 * Without anything to train on, `begun` itself and a report of zeros.
 *
 * @param {import('./loaded_model.js').LoadedModel} loaded
 * @param {import('./state.js').DeviceState} begun
 * @param {TrainingOptions} options
 * @param {number} rounds
 */
export async function trainRounds(loaded, begun, options, rounds) {
  checkOptions(options);
  const {metadata, runner} = loaded;
  const user = loaded.userInputs(begun);
  /** @type {TrainingReport} */
  let report = {samples: 0, applied: 0, refused: 0, firstLoss: 0, lastLoss: 0, completed: true, targetLosses: {}};
  for (let done = 0; done < rounds && report.completed; done++) {
    const seed = options.seed ?? roundSeed(begun.user, begun.round + done);
    const samples = drawSamples(begun, metadata, options, seed);
    if (samples.length === 0) return {state: begun, report};
    const next = await runTraining({runner, metadata, options, samples, user});
    report = {
      ...next,
      applied: report.applied + next.applied,
      refused: report.refused + next.refused,
      firstLoss: done === 0 ? next.firstLoss : report.firstLoss,
    };
  }
  const start = begun.startOnceChanged(metadata);
  return {state: begun.with({values: await loaded.savedValues(), round: begun.round + rounds, start}), report};
}

/**
 * @param {number} user
 * @param {number} round
 */
const roundSeed = (user, round) => new SplitMix64((BigInt(user) << 32n) | BigInt(round)).next();

/**
 * @param {object} parts
 * @param {import('./runner.js').SignatureRunner} parts.runner
 * @param {import('./metadata.js').EdgeMetadata} parts.metadata
 * @param {TrainingOptions} parts.options
 * @param {import('./samples.js').Sample[]} parts.samples
 * @param {Record<string, import('./runner.js').Values>} parts.user profile and downlink, as the signature reads them
 * @returns {Promise<TrainingReport>}
 */
async function runTraining({runner, metadata, options, samples, user}) {
  const defaults = metadata.trainingDefaults;
  const {batchSize, rows} = batchSizes(metadata, options);
  await runner.read('reset_optimizer');
  const rates = {
    learning_rate: Float32Array.of(options.learningRate ?? defaults.learningRate),
    private_learning_rate: Float32Array.of(options.privateLearningRate ?? defaults.privateLearningRate),
  };
  /** @type {number[]} */
  const losses = [];
  const names = metadata.targets;
  /** @type {number[]} */
  let ofTargets = [];
  let [applied, refused] = [0, 0];
  const report = (/** @type {boolean} */ completed) => ({
    samples: samples.length,
    applied,
    refused,
    firstLoss: losses[0] ?? NaN,
    lastLoss: losses.at(-1) ?? NaN,
    completed,
    targetLosses: Object.fromEntries(ofTargets.map((loss, place) => [names[place], loss])),
  });
  for (let epoch = 0; epoch < (options.epochs ?? defaults.epochs); epoch++) {
    let [sum, seen] = [0, 0];
    const sums = names.map(() => 0);
    const endEpoch = () => {
      losses.push(sum / seen);
      ofTargets = sums.map((each) => each / seen);
    };
    for (let start = 0; start < samples.length; start += batchSize) {
      if (options.keepGoing?.() === false) {
        if (seen > 0) endEpoch();
        return report(false);
      }
      const batch = samples.slice(start, start + batchSize);
      const outputs = await runner.run('train', {...batchOf(batch, rows, metadata), ...user, ...rates});
      const loss = outputs.loss[0];
      if (!Number.isFinite(loss)) {
        throw new RefusedError(`train: expected a finite loss, got ${loss}; the weights are as before`);
      }
      if (outputs.applied[0] === 1) applied++;
      else refused++;
      sum += loss * batch.length;
      sums.forEach((_, place) => { sums[place] += outputs.target_losses[place] * batch.length; });
      seen += batch.length;
    }
    endEpoch();
  }
  return report(true);
}

/**
 * Samples of a step, in whole positions where the loss reads them so, and the rows of a call.
 *
 * @param {import('./metadata.js').EdgeMetadata} metadata
 * @param {TrainingOptions} options
 */
function batchSizes(metadata, options) {
  const {groupSize, batchSize: usual} = metadata.trainingDefaults;
  const batchSize = Math.max(1, Math.floor((options.batchSize ?? usual) / groupSize)) * groupSize;
  const fixed = metadata.rowsOf('train', 'labels');
  if (fixed !== null && batchSize > fixed) {
    throw new InputError(
      `train: expected batches of at most ${fixed}, the rows of this static file, got ${batchSize}; export with ` +
        `--static ${batchSize},C or take a smaller batchSize`,
    );
  }
  return {batchSize, rows: fixed ?? batchSize};
}
