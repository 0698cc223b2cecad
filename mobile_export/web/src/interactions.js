/**
 * The state with interactions behind those that it has, and how many of them the model knows; the others wait by their
 * tokens.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./model_file.js').ModelFile} model
 * @param {string[]} items tokens, oldest first
 * @param {number[]} moments when each was, 0 where that is unknown
 */
export function withInteractions(state, model, items, moments) {
  const labels = state.labels ?? state.labelled(model).labels;
  const history = [...state.history];
  const times = [...state.times];
  const waiting = [...(labels?.waiting ?? [])];
  items.forEach((token, place) => {
    const row = model.itemRow(token);
    if (row === 0) {
      waiting.push({token, place: history.length, time: moments[place]});
    } else {
      history.push(row);
      times.push(moments[place]);
    }
  });
  return {
    state: state.with({history: Int32Array.from(history), times, labels: labels && {...labels, waiting}}),
    known: history.length - state.history.length,
  };
}
