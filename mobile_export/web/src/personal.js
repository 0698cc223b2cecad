import {UNKNOWN_TIME} from './clock.js';
import {jsonText} from './json.js';
import {contextWords} from './kept_columns.js';
import {labelValues} from './labels.js';

/**
 * What `state` keeps of its user, as JSON.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./model_file.js').ModelFile} model
 */
export function personalData(state, model) {
  const {columns, context, downlink, history, labels, olderItems, profile, times} = state;
  return jsonText({
    user: state.user,
    model: state.model,
    rounds: state.round,
    profile: Object.fromEntries(
      model.metadata.profile.map(({name}, column) => [name, model.profileValue(column, profile[column])]),
    ),
    interactions: Array.from(history, (row, place) => ({
      item: model.itemToken(row) ?? String(row),
      time: times[place] === UNKNOWN_TIME ? null : times[place],
      known_to_cloud: place < olderItems,
      ...(columns.length > 0 && {context: contextWords(context[place], columns)}),
    })),
    weights: state.values,
    start: state.start,
    downlink: downlink && {round: downlink.round, cloud_version: downlink.cloudVersion, queries: downlink.queries},
    labels: labels && labelValues(labels, (codes) => contextWords(codes, columns)),
  });
}
