/** What a file says of itself, in `ecct_edge.json`. */
import {codecNamed, graphCodec, rowBytes, VALUE_BYTES} from './codecs.js';
import {JsonError, InputError, ModelFileError} from './errors.js';
import {sha256OfText} from './hashing.js';
import {jsonText, Told} from './json.js';
import {numberRule} from './numbers.js';
import {Outcomes} from './outcomes.js';

/** The schema that this version reads. */
export const SCHEMA = 'ecct-edge/1';

/** Name of the metadata among the associated files. */
export const METADATA_FILE = 'ecct_edge.json';

const TYPES = ['float32', 'int32', 'int8'];
/**
 * An input or output of a signature; extents are null where the caller decides: a dynamic file.
 *
 * @typedef {{name: string, type: 'float32' | 'int32' | 'int8', shape: (number | null)[]}} Port
 * @typedef {{name: string, inputs: Port[], outputs: Port[]}} Signature
 */

/**
 * A private column; `rows` counts row 0, unknown.
 *
 * @typedef {{name: string, rows: number, file: string | null, number: import('./numbers.js').NumberRule | null}} ProfileColumn
 */

/**
 * How devices of the run trained.
 *
 * @typedef {object} TrainingDefaults
 * @property {number} learningRate of the shared weights
 * @property {number} privateLearningRate of the weights that stay on the device
 * @property {number} batchSize samples of a step
 * @property {number} epochs passes over the samples
 * @property {number} negatives items drawn for each position
 * @property {number} positions the newest positions that were trained on
 * @property {number} groupSize samples of a batch that belong together, where the loss reads positions, or 1
 * @property {number} guardPositions the newest positions that a device judges by and does not train on
 * @property {number} halfLife newer positions behind which one weighs half in the loss; 0 weighs all alike
 */

/** The declared form of the two payloads of a user, the only things that cross. */
export class Exchange {
  /**
   * @param {object} form
   * @param {number} form.cloudDim d_c, width of the user embedding in a downlink
   * @param {number} form.embeddingDim d_e, width of the edge embeddings in an uplink
   * @param {number} form.queries Q, items that the cloud asks about
   * @param {import('./codecs.js').Codec} form.codec how embeddings and logits are written
   * @param {boolean} form.withLogits whether logits cross (stage 2)
   * @param {number} form.noiseMultiplier of the noise that the device adds; 0 for none
   */
  constructor({cloudDim, embeddingDim, queries, codec, withLogits, noiseMultiplier}) {
    this.cloudDim = cloudDim;
    this.embeddingDim = embeddingDim;
    this.queries = queries;
    this.codec = codec;
    this.withLogits = withLogits;
    this.noiseMultiplier = noiseMultiplier;
  }

  /** In which the graph of a file takes and gives numbers: of an app's own codec as they are. */
  get graph() {
    return graphCodec(this.codec.name);
  }

  /** Bytes of one value of an embedding, as the graph takes it. */
  get valueBytes() {
    return VALUE_BYTES[this.graph];
  }

  /** Bytes of one user's downlink. */
  get downlinkBytes() {
    return rowBytes(this.codec, this.cloudDim) + 4 * this.queries;
  }

  /** Bytes of one user's uplink. */
  get uplinkBytes() {
    const logits = this.withLogits ? rowBytes(this.codec, this.queries) : 0;
    return 4 * (1 + this.queries) + this.queries * rowBytes(this.codec, this.embeddingDim) + logits;
  }
}

/** What a file says of itself. */
export class EdgeMetadata {
  /**
   * @param {Told} root
   * @param {readonly import('./codecs.js').Codec[]} [codecs] of the app
   */
  constructor(root, codecs = []) {
    const schema = root.text('schema');
    if (schema !== SCHEMA) {
      throw new ModelFileError(
        `${METADATA_FILE}: expected schema ${SCHEMA}, got ${schema}; use a version of the library and of ` +
          '`ecct export` that belong together',
      );
    }
    if (root.has('features') && root.child('features').has('context')) {
      throw new ModelFileError(
        `${METADATA_FILE}: the model reads a context of requests (features.context), which this version of the ` +
          'library does not make; export a run without it, or use the device in Python',
      );
    }
    if (root.children('profile').some((column) => column.has('set'))) {
      throw new ModelFileError(
        `${METADATA_FILE}: the model reads private columns of several values (profile, set), which this version ` +
          'of the library does not make; export a model without them, or use the device in Python',
      );
    }
    if (root.child('items').has('held')) {
      throw new ModelFileError(
        `${METADATA_FILE}: the model takes rows of items (exchange.items=candidates), which this version of the ` +
          'library does not hold; export a run with exchange.items=table, or use the device in Python',
      );
    }
    this.root = root;
    /** Architecture of the edge model. */
    this.tier = root.text('tier');
    /** Name of the kind of file, such as `trainable-int8`. */
    this.variant = root.child('variant').text('name');
    /** L, slots of a history. */
    this.historyLength = root.child('model').count('history_length');
    /** P, trained values; the shared ones, at the front, are a federated mean. */
    this.weights = root.child('weights').count('size');
    this.sharedWeights = root.child('weights').count('shared');
    const items = root.child('items');
    /** Rows of the item table, row 0 (padding) included. */
    this.itemRows = items.count('rows');
    this.itemFile = items.textOrNull('file');
    /** SHA-256 of the item table that the file holds, as the cloud publishes it. */
    this.tableSha256 = items.text('table_sha256');
    this.exchange = exchangeOf(root.child('exchange'), codecs);
    /** @type {ProfileColumn[]} private columns in the order of the input `profile` */
    this.profile = root.children('profile').map(column);
    const signatures = root.child('signatures');
    /** @type {Map<string, Signature>} entry points by name */
    this.signatures = new Map(signatures.names.map((name) => [name, signature(name, signatures.child(name))]));
    /** SHA-256 of how the file lays out its weights and optimiser slots. */
    this.layout = layout(root);
    /** How grades, weights and further targets count in training. */
    this.outcomes = new Outcomes(root.has('samples') ? root.child('samples') : null);
    /** @type {TrainingDefaults | null} null for a file that only infers */
    this.training = root.child('variant').flag('trainable') ? training(root) : null;
  }

  /**
   * @param {string} text
   * @param {readonly import('./codecs.js').Codec[]} [codecs] of the app, one of which it may name
   * @throws {ModelFileError} when it is of another schema, not whole, or names a codec that there is not.
   * @throws {CodecError} when a codec of the app does not do what a codec does.
   */
  static parse(text, codecs = []) {
    try {
      return new EdgeMetadata(Told.parse(text, METADATA_FILE), codecs);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      throw new ModelFileError(`the metadata of the model is damaged: ${error.message}; export it again`, {
        cause: error,
      });
    }
  }

  /** Whether the file can be trained. */
  get trainable() {
    return this.training !== null;
  }

  /** Whether the model reads the time, from the input `clock`. */
  get readsClock() {
    return this.signatures.get('score')?.inputs.some((port) => port.name === 'clock') ?? false;
  }

  /** The further targets, such as a like, that the model has logits of, in the order of its heads. */
  get targets() {
    return this.outcomes.targets.map(({name}) => name);
  }

  /** Columns of interactions whose values the app gives with them: grades, weights and targets are read from these. */
  get contextColumns() {
    return this.outcomes.columns.map(({name}) => name);
  }

  /** Whether devices judge what training gave them. */
  get guards() {
    return (this.training?.guardPositions ?? 0) > 0;
  }

  /** S, values of a saved state; 0 for a file that only infers. */
  get stateSize() {
    return this.signatures.get('save')?.outputs[0].shape[0] ?? 0;
  }

  /** Whether every shape is fixed, as LiteRT.js needs it. */
  get isStatic() {
    return [...this.signatures.values()].every(({inputs, outputs}) =>
      [...inputs, ...outputs].every((port) => !port.shape.includes(null)));
  }

  /** @returns {TrainingDefaults} */
  get trainingDefaults() {
    if (this.training === null) {
      throw new InputError(
        `train: expected a trainable file, this one is ${this.variant}; export a trainable variant`,
      );
    }
    return this.training;
  }

  /** @param {string} name @returns {Signature} */
  signature(name) {
    const found = this.signatures.get(name);
    if (found === undefined) {
      throw new InputError(
        `${name}: expected a file with this signature, a ${this.variant} file has ` +
          `${[...this.signatures.keys()].sort()}; export a trainable variant`,
      );
    }
    return found;
  }

  /**
   * The rows of an input, or null where the caller decides.
   *
   * @param {string} signatureName
   * @param {string} input
   */
  rowsOf(signatureName, input) {
    return this.signature(signatureName).inputs.find((port) => port.name === input)?.shape[0] ?? null;
  }
}

// As `mobile_export.runtime.loaded_file` computes it, so that the Python device agrees.
/** @param {Told} root */
function layout(root) {
  const parts = [
    root.text('tier'),
    root.value('weights'),
    root.child('variant').flag('adapters'),
    root.child('training').text('optimizer'),
  ];
  return sha256OfText(jsonText(parts));
}

/**
 * @param {string} name
 * @param {Told} told
 * @returns {Signature}
 */
const signature = (name, told) => ({
  name,
  inputs: told.children('inputs').map(port),
  outputs: told.children('outputs').map(port),
});

/** @param {Told} told @returns {Port} */
function port(told) {
  const type = told.text('dtype');
  if (!TYPES.includes(type)) throw new JsonError(`expected float32, int32 or int8, got dtype ${type}`);
  return {name: told.text('name'), type: /** @type {Port['type']} */ (type), shape: told.shape('shape')};
}

/** @param {Told} told @returns {ProfileColumn} */
function column(told) {
  return {
    name: told.text('name'),
    rows: told.count('rows'),
    file: told.textOrNull('file'),
    number: told.has('number') ? numberRule(told.child('number')) : null,
  };
}

/**
 * @param {Told} told
 * @param {readonly import('./codecs.js').Codec[]} codecs
 */
function exchangeOf(told, codecs) {
  return new Exchange({
    cloudDim: told.count('cloud_dim'),
    embeddingDim: told.count('embedding_dim'),
    queries: told.count('num_queries'),
    codec: codecNamed(told.text('codec'), codecs),
    withLogits: told.flag('with_logits'),
    noiseMultiplier: told.number('noise_multiplier'),
  });
}

/** @param {Told} root @returns {TrainingDefaults} */
function training(root) {
  const told = root.child('training');
  const samples = root.has('samples') ? root.child('samples') : new Told({}, 'samples');
  return {
    learningRate: rate(told, 'learning_rate'),
    privateLearningRate: rate(told, 'private_learning_rate'),
    batchSize: told.atLeastOne('batch_size'),
    epochs: told.atLeastOne('epochs'),
    // What devices drew before files told it.
    negatives: samples.has('negatives') ? samples.atLeastOne('negatives') : 9,
    positions: samples.has('max_positions') ? samples.atLeastOne('max_positions') : 128,
    groupSize: told.has('group_size') ? told.atLeastOne('group_size') : 1,
    guardPositions: samples.has('guard_positions') ? samples.count('guard_positions') : 0,
    halfLife: samples.has('half_life') ? samples.count('half_life') : 0,
  };
}

/**
 * @param {Told} told
 * @param {string} name
 */
function rate(told, name) {
  const found = told.number(name);
  if (found < 0 || found > 1) throw new JsonError(`${name}: expected a number in 0..1, got ${found}`);
  return found;
}
