/** What an app tells a state of its user. */
import {InputError} from './errors.js';

/**
 * The state with interactions behind those that it has, and how many of them the model knows; the others wait by their
 * tokens.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./model_file.js').ModelFile} model
 * @param {string[]} items tokens, oldest first
 * @param {number[]} moments when each was, 0 where that is unknown
 * @param {number[][]} codes of the columns that the state keeps, for each
 */
export function withInteractions(state, model, items, moments, codes) {
  const labels = state.labels ?? state.labelled(model).labels;
  const history = [...state.history];
  const times = [...state.times];
  const context = [...state.context];
  const waiting = [...(labels?.waiting ?? [])];
  items.forEach((token, place) => {
    const row = model.itemRow(token);
    if (row === 0) {
      waiting.push({token, place: history.length, time: moments[place], context: codes[place]});
    } else {
      history.push(row);
      times.push(moments[place]);
      context.push(codes[place]);
    }
  });
  return {
    state: state.with({history: Int32Array.from(history), times, context, labels: labels && {...labels, waiting}}),
    known: history.length - state.history.length,
  };
}

/**
 * The state whose `oldest` interactions the cloud has too.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {number} oldest
 */
export function withOlder(state, oldest) {
  const {history, labels} = state;
  if (!Number.isInteger(oldest) || oldest < 0 || oldest > history.length) {
    throw new InputError(`history: expected a number in 0..${history.length}, got ${oldest}`);
  }
  const waitingOlder = labels?.waiting.filter(({place}) => place < oldest).length ?? 0;
  return state.with({olderItems: oldest, labels: labels && {...labels, waitingOlder}});
}

/**
 * The state, which belongs to `model`, with another profile.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./model_file.js').ModelFile} model
 * @param {Record<string, string>} profile values by column
 */
export function withProfile(state, model, profile) {
  const labels = /** @type {import('./labels.js').StateLabels} */ (state.labelled(model).labels);
  return state.with({profile: model.profileRows(profile), labels: {...labels, texts: model.profileTexts(profile)}});
}
