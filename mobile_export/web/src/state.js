/**
 * All that one device keeps between rounds, as the bytes that the devices in Python and Kotlin write, too.
 *
 * Little-endian: `ECDS`, the format (uint16, 2), two bytes of 0, the length of the header (uint32), the header (JSON),
 * the arrays one after another, the SHA-256 of all before it. Format 2 has the times of the interactions; a state in
 * which none is known is one of format 1. Format 3 has what came of the interactions, too, where the model's file reads
 * that from columns of theirs. Starting weights, this context and the labels are the last.
 */
import {ByteWriter} from './bytes.js';
import {UNKNOWN_TIME} from './clock.js';
import {Downlink} from './downlink.js';
import {JsonError, PayloadError, SealError, StateError} from './errors.js';
import {MAX_INT, pythonFloat, quoted} from './json.js';
import {checkCodes, keptColumns, sameColumns, unknownContext} from './kept_columns.js';
import {decodeLabels, differentRows, encodeLabels} from './labels.js';
import {seal, unseal} from './sealed.js';
import {EMBEDDINGS, readStateBody} from './state_arrays.js';

const MAGIC = 'ECDS';
const WITHOUT_TIMES = 1;
const WITH_TIMES = 2;
const WITH_CONTEXT = 3;
const TOLD_OF_DOWNLINKS = ['scale', 'cloud_version', 'round_number', 'table_sha256'];
/** @type {Record<string, number>} */
const SIZES = {'<i4': 4, '<i8': 8, '<f4': 4, '<f2': 2, '|i1': 1, '|u1': 1};

/** A value: whatever changes it makes a new one. */
export class DeviceState {
  /**
   * @param {object} parts
   * @param {string} parts.model SHA-256 of the model file that `values` belong to
   * @param {string} parts.layout SHA-256 of how such files lay out `values`
   * @param {number} parts.user the id that the cloud knows the user by
   * @param {Int32Array} parts.profile `[columns]`, rows of the private columns
   * @param {Int32Array} parts.history `[n]`, rows of every item of the user, oldest first
   * @param {number[]} parts.times `[n]`, seconds since 1970, 0 where it is unknown
   * @param {number} parts.olderItems how many of them the cloud knows too; the others are trained on
   * @param {Float32Array} parts.values `[S]`, weights, optimiser slots and step; empty without training
   * @param {Downlink | null} parts.downlink the last one
   * @param {number} parts.round rounds of training done
   * @param {Float32Array} [parts.start] `[P]`, the weights that the device started with; empty while it has them
   * @param {readonly import('./kept_columns.js').KeptColumn[]} [parts.columns] of interactions, whose values the device keeps
   * @param {readonly number[][]} [parts.context] `[n][C]`, codes of these values for each of `history`
   * @param {import('./labels.js').StateLabels | null} [parts.labels] what its rows mean, for the next file
   */
  constructor({
    model, layout, user, profile, history, times, olderItems, values, downlink, round, start, columns = [], context, labels,
  }) {
    this.model = model;
    this.layout = layout;
    this.user = user;
    this.profile = profile;
    this.history = history;
    this.times = times;
    this.olderItems = olderItems;
    this.values = values;
    this.downlink = downlink;
    this.round = round;
    this.start = start ?? new Float32Array(0);
    this.columns = columns;
    const isWhole = context?.length === history.length && context.every((row) => row.length === columns.length);
    this.context = isWhole ? context : unknownContext(history.length, columns);
    this.labels = labels ?? null;
  }

  /** The same with changes. @param {Partial<DeviceState>} changes */
  with(changes) {
    return new DeviceState({...this, ...changes});
  }

  /**
   * What a device whose weights are about to change has as its start from then on.
   *
   * @param {import('./metadata.js').EdgeMetadata} metadata
   */
  startOnceChanged(metadata) {
    return this.start.length === 0 && metadata.guards ? this.values.slice(0, metadata.weights) : this.start;
  }

  /** The state, which belongs to `model`, with labels of all that it holds. @param {import('./model_file.js').ModelFile} model */
  labelled(model) {
    return this.with({labels: labelsOf(this, model)});
  }

  /**
   * Refuses the state unless it belongs to `model` and `user`; `name` is that of its place.
   *
   * @param {import('./model_file.js').ModelFile} model
   * @param {number} user
   * @param {string} name
   */
  checkFits(model, user, name) {
    const {metadata} = model;
    if (this.model !== model.sha256) {
      throw new StateError(
        `${name}: expected a state of ${model.name} (${model.sha256}), it belongs to the model ${this.model}; open ` +
          'that one, or let this one adopt the state',
      );
    }
    if (this.user !== user) {
      throw new StateError(
        `${name}: expected the state of user ${user}, got that of user ${this.user}; keep one for each user`,
      );
    }
    const columns = metadata.profile.length;
    const {values, profile, history, start} = this;
    if (values.length !== metadata.stateSize || profile.length !== columns || this.olderItems > history.length) {
      throw new StateError(
        `${name}: expected ${metadata.stateSize} values, ${columns} profile columns and at least ${this.olderItems} ` +
          `items, got ${values.length}, ${profile.length} and ${history.length}; delete it to begin anew`,
      );
    }
    if (start.length > 0 && start.length !== metadata.weights) {
      throw new StateError(
        `${name}: expected ${metadata.weights} starting weights, as ${model.name} has, got ${start.length}; delete ` +
          'it to begin anew',
      );
    }
    if (!sameColumns(this.columns, metadata.outcomes.columns)) {
      throw new StateError(
        `${name}: expected the columns [${metadata.contextColumns.join(', ')}] of interactions, as ${model.name} reads, got ` +
          `[${this.columns.map((column) => column.name).join(', ')}]; delete it to begin anew`,
      );
    }
    this.downlink?.check(model);
  }

  /** The bytes that are kept; equal states give equal bytes. */
  encode() {
    const {profile, history, times, values, downlink, start, columns, context} = this;
    const told = this.labels === null ? null : encodeLabels(this.labels);
    const isTimed = times.some((time) => time !== UNKNOWN_TIME);
    const header = new TextEncoder().encode(this.#header(told, isTimed));
    const format = isTimed ? WITH_TIMES : WITHOUT_TIMES;
    const body = new ByteWriter().text(MAGIC).uint16(columns.length > 0 ? WITH_CONTEXT : format).uint16(0);
    body.int32(header.length).bytes(header).int32s(profile).int32s(history);
    if (isTimed) body.int64s(times);
    body.float32s(values);
    if (downlink !== null) body.bytes(downlink.embedding).int32s(downlink.queries);
    body.float32s(start).int32s(Int32Array.from(context.flat()));
    if (told !== null) body.bytes(told);
    return seal(body.done());
  }

  /**
   * @param {Uint8Array | null} told
   * @param {boolean} isTimed
   */
  #header(told, isTimed) {
    const {columns, downlink} = this;
    const arrays = [
      array('profile', '<i4', this.profile.length),
      array('history', '<i4', this.history.length),
      ...(isTimed ? [array('times', '<i8', this.times.length)] : []),
      array('values', '<f4', this.values.length),
    ];
    let received = 'null';
    if (downlink !== null) {
      const dtype = EMBEDDINGS[downlink.codec];
      arrays.push(array('user_embedding', dtype, downlink.embedding.length / SIZES[dtype]));
      arrays.push(array('queries', '<i4', downlink.queries.length));
      const table = downlink.tableSha256 === '' ? '' : `,"table_sha256":"${downlink.tableSha256}"`;
      received =
        `{"scale":${pythonFloat(downlink.scale)},"cloud_version":${downlink.cloudVersion},` +
        `"round_number":${downlink.round}${table}}`;
    }
    if (this.start.length > 0) arrays.push(array('start', '<f4', this.start.length));
    if (columns.length > 0) arrays.push(array('context', '<i4', this.history.length * columns.length));
    if (told !== null) arrays.push(array('labels', '|u1', told.length));
    const kept = columns.map(({name, values}) => `[${quoted(name)},[${values.map(quoted).join(',')}]]`);
    const context = kept.length > 0 ? `"context":[${kept.join(',')}],` : '';
    return (
      `{"model":${quoted(this.model)},"layout":${quoted(this.layout)},"user":${this.user},"num_older":${this.olderItems},` +
      `"round":${this.round},"downlink":${received},${context}"arrays":{${arrays.join(',')}}}`
    );
  }

  /**
   * @param {Uint8Array} content
   * @param {string} name of its place, for messages
   * @throws {StateError} when it is none, damaged, or of another format.
   */
  static decode(content, name) {
    try {
      return read(content, name);
    } catch (error) {
      const isDamage = [SealError, JsonError, PayloadError].some((kind) => error instanceof kind);
      if (!isDamage) throw error;
      throw new StateError(
        `${name}: ${/** @type {Error} */ (error).message}; restore it, or delete it to begin the device anew`,
        {cause: error},
      );
    }
  }
}

/**
 * @param {string} name
 * @param {string} dtype
 * @param {number} length
 */
const array = (name, dtype, length) => `"${name}":["${dtype}",${length}]`;

/**
 * @param {DeviceState} state
 * @param {import('./model_file.js').ModelFile} model
 * @returns {import('./labels.js').StateLabels}
 */
function labelsOf(state, model) {
  const isNamed = model.meaning.vocabulary !== '';
  return {
    texts: model.rowTexts(state.profile),
    waiting: [],
    waitingOlder: 0,
    ...state.labels,
    file: model.meaning,
    tokens: isNamed ? differentRows(state.history).map((row) => model.itemToken(row) ?? '') : [],
  };
}

/**
 * @param {Uint8Array} content
 * @param {string} name
 */
function read(content, name) {
  const {body} = unseal(content, {magic: MAGIC, formats: [WITHOUT_TIMES, WITH_TIMES, WITH_CONTEXT], what: 'state of a device'});
  const {header, arrays} = readStateBody(body, name);
  const profile = arrays.int32s('profile');
  const history = arrays.int32s('history');
  const times = arrays.has('times') ? arrays.int64s('times') : Array(history.length).fill(UNKNOWN_TIME);
  const wrong = times.find((time) => !Number.isSafeInteger(time) || time < 0);
  if (times.length !== history.length || wrong !== undefined) {
    throw new JsonError(
      `times: expected one in 0..${Number.MAX_SAFE_INTEGER} for each of ${history.length} interactions, got ` +
        `${wrong ?? `${times.length} times`}`,
    );
  }
  const values = arrays.float32s('values');
  const start = arrays.has('start') ? arrays.float32s('start') : new Float32Array(0);
  checkFinite('values', values);
  checkFinite('start', start);
  checkRows('profile', profile);
  checkRows('history', history);
  if (start.length > values.length) {
    throw new JsonError(`expected starting weights of at most ${values.length} values, as it has, got ${start.length}`);
  }
  const olderItems = header.count('num_older');
  if (olderItems > history.length) {
    throw new JsonError(`num_older must be in 0..${history.length}, the length of its history, got ${olderItems}`);
  }
  if (header.value('downlink') === undefined) throw new JsonError('downlink: expected one or null, got nothing');
  const downlink = header.has('downlink') ? readDownlink(arrays, header.child('downlink')) : null;
  const columns = header.has('context') ? keptColumns(header.list('context')) : [];
  const context = columns.length > 0 ? readContext(arrays, history.length, columns) : undefined;
  const sizes = {history: history.length, profile: profile.length, columns};
  const labels = arrays.has('labels') ? decodeLabels(arrays.bytes('labels'), sizes) : null;
  return new DeviceState({
    model: header.text('model'),
    layout: header.text('layout'),
    user: header.count('user'),
    profile,
    history,
    times,
    olderItems,
    values,
    downlink,
    round: header.count('round'),
    start,
    columns,
    context,
    labels,
  });
}

/**
 * @param {string} name
 * @param {Float32Array} values
 */
function checkFinite(name, values) {
  const place = values.findIndex((value) => !Number.isFinite(value));
  if (place >= 0) throw new JsonError(`${name}: expected finite numbers, got ${values[place]} at [${place}]`);
}

/**
 * @param {string} name
 * @param {Int32Array} rows
 */
function checkRows(name, rows) {
  const wrong = rows.find((row) => row < 0);
  if (wrong !== undefined) throw new JsonError(`${name}: expected row numbers in 0..${MAX_INT}, got ${wrong}`);
}

/**
 * @param {import('./state_arrays.js').StateArrays} arrays
 * @param {number} count of interactions
 * @param {import('./kept_columns.js').KeptColumn[]} columns
 */
function readContext(arrays, count, columns) {
  const codes = arrays.int32s('context');
  if (codes.length !== count * columns.length) {
    throw new JsonError(`context: expected codes of ${count} interactions, got ${codes.length} codes`);
  }
  const rows = Array.from({length: count}, (_, place) =>
    Array.from(codes.subarray(place * columns.length, (place + 1) * columns.length)));
  checkCodes(rows, columns);
  return rows;
}

/**
 * @param {import('./state_arrays.js').StateArrays} arrays
 * @param {import('./json.js').Told} told
 */
function readDownlink(arrays, told) {
  const unknown = told.names.filter((name) => !TOLD_OF_DOWNLINKS.includes(name));
  if (unknown.length > 0) throw new JsonError(`downlink: expected nothing unknown, got ${unknown.join(', ')}`);
  const dtype = arrays.dtype('user_embedding');
  const [codec] = Object.entries(EMBEDDINGS).find(([, written]) => written === dtype) ?? [];
  return new Downlink({
    codec: /** @type {import('./codecs.js').GraphCodec} */ (codec),
    embedding: arrays.bytes('user_embedding'),
    scale: Math.fround(told.number('scale')),
    queries: arrays.int32s('queries'),
    cloudVersion: told.count('cloud_version'),
    round: told.count('round_number'),
    tableSha256: told.textOrNull('table_sha256') ?? '',
  });
}
