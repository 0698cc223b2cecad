/**
 * Takes a state over to another model file, as `adopt` of the Python device does; `docs/migration.md` has the table of
 * what is kept and what is refused.
 */
import {StateError} from './errors.js';
import {columnNotes, translated} from './kept_columns.js';
import {differentRows} from './labels.js';
import {movedProfile, movedWeights} from './moved.js';

/**
 * What became of a device that another model file took over.
 *
 * @typedef {object} Migration
 * @property {number} moved different items of the history whose row is another
 * @property {number} unknown interactions that the file does not know any more; they wait by their tokens
 * @property {number} returned interactions that waited and that the file knows
 * @property {string[]} notes whatever else is not as before, in words
 */

// In the place of a row: of an item that the file does not know.
const WAITS = -1;

/**
 * @typedef {object} Adoption
 * @property {import('./state.js').DeviceState} state
 * @property {import('./model_file.js').ModelFile} model
 * @property {Float32Array} fresh `[S]`, what the model begins with; empty where it does not train
 * @property {Record<string, string> | null} given the profile anew, or null for that of the state
 * @property {boolean} anew whether the weights of the file are taken
 * @property {import('./model_file.js').ModelFile | null} previous the model of the state, for one that does not tell
 */

/**
 * The state for the model, and what became of the old one.
 *
 * @param {Adoption} adoption
 * @returns {[import('./state.js').DeviceState, Migration]}
 * @throws {StateError} when something cannot be carried over: with the reason and the way out.
 */
export function adopted({state, model, fresh, given, anew, previous}) {
  const who = `device of user ${state.user}`;
  const old = labelsOf(state, model, previous, who);
  /** @type {string[]} */
  const notes = [];
  const profile = movedProfile({state, old, model, who, given, notes});
  const {values, start} = movedWeights({state, old, model, who, fresh, anew, notes});
  const [moved, told] = movedItems(state, old, model, who, notes);
  const downlink = state.downlink !== null && fits(state.downlink, old, model) ? state.downlink : null;
  if (downlink === null && state.downlink !== null) {
    notes.push('the last downlink was dropped: it is of another item table or form');
  }
  const found = moved.with({
    model: model.sha256,
    layout: model.metadata.layout,
    profile: profile.row,
    values,
    start,
    downlink,
    round: anew ? 0 : state.round,
    labels: moved.labels && {...moved.labels, file: model.meaning, texts: profile.texts},
  });
  return [found.labelled(model), {...told, notes}];
}

/**
 * What the rows of the state mean.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./model_file.js').ModelFile} model
 * @param {import('./model_file.js').ModelFile | null} previous
 * @param {string} who
 */
function labelsOf(state, model, previous, who) {
  const own = [model, previous].find((file) => file?.sha256 === state.model);
  const found = own ? state.labelled(own).labels : state.labels;
  const isTold =
    own || found?.file.vocabulary === '' || found?.tokens.length === differentRows(state.history).length;
  if (!found || !isTold) {
    throw new StateError(
      `${who}: its state does not tell what its rows mean, as those of earlier releases do not; expected the file with ` +
        `SHA-256 ${state.model} as \`previous\`, got ${previous?.sha256 ?? 'none'}. Give that file, or begin the device anew`,
    );
  }
  return found;
}

/**
 * @param {import('./state.js').DeviceState} state
 * @param {import('./labels.js').StateLabels} old
 * @param {import('./model_file.js').ModelFile} model
 * @param {string} who
 * @param {string[]} notes gets what is to be told
 * @returns {[import('./state.js').DeviceState, Omit<Migration, 'notes'>]}
 */
function movedItems(state, old, model, who, notes) {
  const isNamed = old.file.vocabulary !== '';
  const rows = differentRows(state.history);
  if (isNamed !== (model.meaning.vocabulary !== '') && (rows.length > 0 || old.waiting.length > 0)) {
    const [here, there] = [isNamed, !isNamed].map((named) => (named ? 'tokens' : 'row numbers'));
    throw new StateError(
      `${who}: its items are named by ${here}, those of ${model.name} by ${there}; begin it anew and give its history, ` +
        'or export the file with the same labels',
    );
  }
  const tokens = new Map(rows.map((row, place) => [row, isNamed ? old.tokens[place] : String(row)]));
  const now = new Map(
    extendsOld(old, model)
      ? rows.map((row) => [row, row])
      : rows
          .filter((row) => row !== 0 && tokens.get(row) !== '')
          .map((row) => [row, model.itemRow(tokens.get(row) ?? '') || WAITS]),
  );
  const nameless = rows.filter((row) => row !== 0 && !now.has(row)).length;
  if (nameless > 0) notes.push(`items became unknown for good, for the former file had no token: ${nameless}`);
  notes.push(...columnNotes(state.columns, model.metadata.outcomes.columns, model.name));
  const moved = movedHistory(state, old, model, tokens, now);
  const unknown = state.history.filter((row) => now.get(row) === WAITS).length;
  const waiting = moved.labels?.waiting.length ?? 0;
  const changed = [...now].filter(([row, other]) => other !== row && other !== WAITS).length;
  return [moved, {moved: changed, unknown, returned: old.waiting.length + unknown - waiting}];
}

/**
 * The interactions by other rows, in the order in which they were.
 *
 * @param {import('./state.js').DeviceState} state
 * @param {import('./labels.js').StateLabels} old
 * @param {import('./model_file.js').ModelFile} model
 * @param {Map<number, string>} tokens
 * @param {Map<number, number>} now
 */
function movedHistory(state, old, model, tokens, now) {
  /** @type {{row: number, token: string, time: number, isOlder: boolean, context: number[]}[]} */
  const events = [];
  const {columns} = model.metadata.outcomes;
  const moved = (/** @type {number[]} */ codes) => translated(codes, state.columns, columns);
  for (let place = 0; place <= state.history.length; place++) {
    // What waits comes before the interaction at its place.
    old.waiting.forEach((each, order) => {
      if (each.place !== place) return;
      const row = model.itemRow(each.token) || WAITS;
      events.push({row, token: each.token, time: each.time, isOlder: order < old.waitingOlder, context: moved(each.context)});
    });
    if (place === state.history.length) break;
    const row = state.history[place];
    events.push({
      row: now.get(row) ?? 0,
      token: tokens.get(row) ?? '',
      time: state.times[place],
      isOlder: place < state.olderItems,
      context: moved(state.context[place]),
    });
  }
  const known = events.filter(({row}) => row !== WAITS);
  /** @type {import('./labels.js').Waiting[]} */
  const waiting = [];
  let place = 0;
  for (const {row, token, time, context} of events) {
    if (row === WAITS) waiting.push({token, place, time, context});
    else place++;
  }
  return state.with({
    history: Int32Array.from(known, ({row}) => row),
    times: known.map(({time}) => time),
    columns,
    context: known.map(({context}) => context),
    olderItems: known.filter(({isOlder}) => isOlder).length,
    labels: {
      file: model.meaning,
      tokens: [],
      texts: [],
      waiting,
      waitingOlder: events.filter(({row, isOlder}) => row === WAITS && isOlder).length,
    },
  });
}

/**
 * Whether the file can read a downlink of another file.
 *
 * @param {import('./downlink.js').Downlink} downlink
 * @param {import('./labels.js').StateLabels} old
 * @param {import('./model_file.js').ModelFile} model
 */
function fits(downlink, old, model) {
  const isOfTable = downlink.tableSha256 === '' ? extendsOld(old, model) : downlink.fits(model);
  return isOfTable && downlink.isOf(model.metadata.exchange);
}

/**
 * Whether each row of the old file means the same in the new one.
 *
 * @param {import('./labels.js').StateLabels} old
 * @param {import('./model_file.js').ModelFile} model
 */
function extendsOld({file}, model) {
  const {vocabulary, rows} = model.meaning;
  if (file.vocabulary === '' || vocabulary === '') return file.vocabulary === vocabulary && file.rows <= rows;
  return file.rows <= rows && model.fingerprintOf(file.rows) === file.vocabulary;
}
