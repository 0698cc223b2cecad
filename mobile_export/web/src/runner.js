/** Runs signatures of an interpreter whose inputs fit what the metadata declares. */
import {InputError, ModelFileError} from './errors.js';

/**
 * @typedef {Float32Array | Int32Array | Int8Array} Values flat, row by row
 *
 * @typedef {object} EdgeInterpreter
 * @property {Map<string, {inputs: string[], outputs: string[]}>} signatures of the graph
 * @property {(name: string, inputs: Record<string, Values>) => Promise<Record<string, Values>>} run
 * @property {() => void} close frees its memory
 */

const ARRAYS = {float32: Float32Array, int32: Int32Array, int8: Int8Array};

export class SignatureRunner {
  /**
   * @param {EdgeInterpreter} interpreter
   * @param {import('./metadata.js').EdgeMetadata} metadata
   * @throws {ModelFileError} when the graph is not what the metadata says.
   */
  constructor(interpreter, metadata) {
    this.interpreter = interpreter;
    this.metadata = metadata;
    for (const {name, inputs, outputs} of metadata.signatures.values()) {
      const found = interpreter.signatures.get(name);
      const expected = [inputs, outputs].map((ports) => ports.map((port) => port.name).sort().join());
      const received = [found?.inputs ?? [], found?.outputs ?? []].map((names) => [...names].sort().join());
      if (found === undefined || expected.join('|') !== received.join('|')) {
        throw new ModelFileError(
          `${name}: expected inputs and outputs ${expected.join(' and ')} as in the metadata, the graph has ` +
            `${found === undefined ? 'no such signature' : received.join(' and ')}; the file was put together wrongly, ` +
            'export it again',
        );
      }
    }
  }

  /**
   * A runtime may read out of bounds on a length that a signature does not have; it is never asked to.
   *
   * @param {string} name
   * @param {Record<string, Values>} inputs
   * @throws {InputError} when an input is missing, or has another type or length.
   */
  async run(name, inputs) {
    const signature = this.metadata.signature(name);
    /** @type {Record<string, Values>} */
    const given = {};
    for (const port of signature.inputs) {
      const value = inputs[port.name];
      if (!(value instanceof ARRAYS[port.type]) || !hasLength(port, value.length)) {
        const shape = port.shape.map((extent) => extent ?? '?');
        throw new InputError(
          `${name}: expected an input ${port.name}: ${port.type} [${shape}], got ` +
            `${value === undefined ? 'none' : `${value.constructor.name} of ${value.length} values`}; shapes are in the ` +
            "file's metadata, at least one row is needed",
        );
      }
      given[port.name] = value;
    }
    return this.interpreter.run(name, given);
  }

  /** Runs a signature that only reads: it needs an input, what it is does not matter. @param {string} name */
  read(name) {
    return this.run(name, {unused: new Float32Array(1)});
  }

  close() {
    this.interpreter.close();
  }
}

/**
 * @param {import('./metadata.js').Port} port
 * @param {number} length
 */
function hasLength(port, length) {
  const size = port.shape.reduce((/** @type {number} */ product, extent) => product * (extent ?? 1), 1);
  return port.shape.includes(null) ? length > 0 && length % size === 0 : length === size;
}
