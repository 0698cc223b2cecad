/** Profile and weights that a device had with one file, for another. */
import {StateError} from './errors.js';
import {sizeOf, weightCount} from './meaning.js';

const TABLE = 'profile_';
const ANEW =
  'to keep history and profile and begin with the weights of that file, adopt it with weightsAnew: true, in Python ' +
  'weights="anew"';

/**
 * @typedef {object} Moving
 * @property {import('./state.js').DeviceState} state
 * @property {import('./labels.js').StateLabels} old
 * @property {import('./model_file.js').ModelFile} model
 * @property {string} who
 */

/**
 * The row of a profile for the model, and the values as texts; `notes` gets what is to be told.
 *
 * @param {Moving & {given: Record<string, string> | null, notes: string[]}} moving
 */
export function movedProfile({state, old, model, who, given, notes}) {
  if (given !== null) return {row: model.profileRows(given), texts: model.profileTexts(given)};
  const before = new Map(old.file.columns.map(({name}, index) => [name, index]));
  /** @type {[number, string][]} */
  const found = model.meaning.columns.map((column) => {
    const index = before.get(column.name);
    before.delete(column.name);
    if (index === undefined) {
      notes.push(`profile: ${column.name} is new, unknown until the app gives the profile`);
      return [0, ''];
    }
    const [code, text] = movedValue({state, old, model, who}, index, column);
    if (state.profile[index] !== 0 && code === 0) {
      notes.push(
        `profile: ${column.name}: ${model.name} does not know '${text}'; it counts as unknown until a file knows it`,
      );
    }
    return [code, text];
  });
  for (const name of before.keys()) notes.push(`profile: ${name} was dropped, ${model.name} does not read it`);
  return {row: Int32Array.from(found, ([code]) => code), texts: found.map(([, text]) => text)};
}

/**
 * @param {Moving} moving
 * @param {number} index of the old column
 * @param {import('./meaning.js').MeaningColumn} column of the new file
 * @returns {[number, string]}
 */
function movedValue(moving, index, column) {
  const {state, old, model, who} = moving;
  const was = old.file.columns[index];
  const code = state.profile[index];
  const text = old.texts[index];
  if (sameColumn(column, was) || (code === 0 && text === '')) return [code, text];
  const found = newCode(moving, index);
  if (found === null) {
    const told = was.kind === 'number' && column.kind === was.kind ? 'by another rule' : 'as another kind';
    throw new StateError(
      `${who}: profile: ${model.name} reads the column '${column.name}' ${told}, and the state has its code alone, ` +
        'which would be another value there; give the profile again: EdgeDevice.open({…, profile: {…}, adopt: true}), ' +
        'in Python adopt(…, profile={…})',
    );
  }
  return [found, text];
}

/**
 * The code of an old column's value in the model; null where the state cannot tell: a number of which only the code is
 * known cannot be read by another rule, nor a value as one of another kind.
 *
 * @param {Moving} moving
 * @param {number} index
 */
function newCode({old, model}, index) {
  const was = old.file.columns[index];
  const text = old.texts[index];
  const column = model.meaning.columns.find(({name}) => name === was.name);
  if (column === undefined || column.kind !== was.kind) return null;
  if (column.kind === 'rows') return Number(text) < column.rows ? Number(text) : 0;
  if (text === '') return column.kind === 'number' ? null : 0;
  return model.profileCode(column.name, text);
}

/**
 * @param {import('./meaning.js').MeaningColumn} one
 * @param {import('./meaning.js').MeaningColumn} other
 */
const sameColumn = (one, other) =>
  one.name === other.name && one.kind === other.kind && one.about === other.about && one.rows === other.rows;

/**
 * Values and starting weights for the model; the optimiser begins anew.
 *
 * @param {Moving & {fresh: Float32Array, anew: boolean, notes: string[]}} moving
 */
export function movedWeights({state, old, model, who, fresh, anew, notes}) {
  const nothing = new Float32Array(0);
  if (anew) notes.push('weights and optimiser begin with those of the file, rounds with 0');
  if (anew || state.values.length === 0) return {values: fresh, start: nothing};
  if (fresh.length === 0) {
    throw new StateError(
      `${who}: ${model.name} does not train, what the device learned would not count; take a file that trains, or, ${ANEW}`,
    );
  }
  const reason = difference(old.file, model.meaning);
  if (reason !== null) {
    throw new StateError(`${who}: its weights are not laid out as those of ${model.name}: ${reason}; ${ANEW}`);
  }
  if (old.file.reads !== model.meaning.reads) {
    notes.push(
      'decays, history length or clock differ: the weights stay, though they were trained on the former inputs',
    );
  }
  const moving = {state, old, model, who};
  const values = fresh.slice();
  values.set(carried(moving, state.values, fresh));
  return {values, start: state.start.length === 0 ? nothing : carried(moving, state.start, fresh)};
}

/**
 * Why weights of one mean something else in the other, or null.
 *
 * @param {import('./meaning.js').FileMeaning} here
 * @param {import('./meaning.js').FileMeaning} there
 */
function difference(here, there) {
  if (here.tier !== there.tier) return `tier ${here.tier}, there ${there.tier}`;
  if (here.adapters !== there.adapters) return `adapters ${here.adapters}, there ${there.adapters}`;
  const [blocks, otherBlocks] = [here, there].map((file) => file.blocks.map((each) => each.join(' ')).join(', '));
  if (blocks !== otherBlocks) return `blocks of the item table ${blocks}, there ${otherBlocks}`;
  const [names, otherNames] = [here, there].map((file) => file.columns.map(({name}) => name).join(', ') || 'none');
  const [kinds, otherKinds] = [here, there].map((file) => file.columns.map(({kind}) => kind === 'number').join());
  if (names !== otherNames || kinds !== otherKinds) return `private columns ${names}, there ${otherNames}`;
  for (const [place, [name, shape]] of here.weights.entries()) {
    const [otherName, otherShape] = there.weights[place] ?? ['', []];
    const isTable = name === otherName && tableColumn(name) !== null && `${shape.slice(1)}` === `${otherShape.slice(1)}`;
    const isSame = name === otherName && `${shape}` === `${otherShape}`;
    if (otherName !== '' && !isSame && !isTable) return `${name} [${shape.join(', ')}], there ${otherName} [${otherShape.join(', ')}]`;
  }
  const [count, otherCount] = [here, there].map((file) => file.weights.length);
  return count === otherCount ? null : `${count} tensors, there ${otherCount}`;
}

/** Which private column a table belongs to, or null for a tensor that is none. @param {string} name */
function tableColumn(name) {
  const found = name.startsWith(TABLE) ? /^\d+$/.exec(name.slice(TABLE.length)) : null;
  return found === null ? null : Number(found[0]);
}

/**
 * The weights for the model: rows of profile values by their words, all else as it is.
 *
 * @param {Moving} moving
 * @param {Float32Array} weights
 * @param {Float32Array} begun
 */
function carried(moving, weights, begun) {
  const {old, model} = moving;
  const found = begun.slice(0, weightCount(model.meaning));
  let here = 0;
  let there = 0;
  for (const [place, [name, shape]] of old.file.weights.entries()) {
    const size = sizeOf(shape);
    const index = tableColumn(name);
    if (index !== null && !sameColumn(old.file.columns[index], model.meaning.columns[index])) {
      const width = shape[shape.length - 1];
      for (const [before, now] of rowPairs(moving, index)) {
        const start = here + before * width;
        // A value that the file does not know leaves the row of unknown values as it is.
        if (before < shape[0] && (now !== 0 || before === 0)) {
          found.set(weights.subarray(start, start + width), there + now * width);
        }
      }
    } else {
      found.set(weights.subarray(here, here + size), there);
    }
    here += size;
    there += sizeOf(model.meaning.weights[place][1]);
  }
  return found;
}

/**
 * @param {Moving} moving
 * @param {number} index
 * @returns {[number, number][]}
 */
function rowPairs(moving, index) {
  const {state, old, model} = moving;
  const was = old.file.columns[index];
  const column = model.meaning.columns[index];
  const code = state.profile[index];
  if (was.kind === 'rows' && column.kind === was.kind) {
    return Array.from({length: Math.min(was.rows, column.rows)}, (_, row) => [row, row]);
  }
  return code === 0 ? [[0, 0]] : [[0, 0], [code, newCode(moving, index) ?? 0]];
}
