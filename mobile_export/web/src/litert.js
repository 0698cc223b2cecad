/**
 * LiteRT.js as an interpreter of this library.
 *
 * The public API of LiteRT.js 2.5.3 knows no int8 outside of a file; one layer below, where tensors are bytes, the same
 * runtime takes them all. So this file uses that layer, and `package.json` names the very version.
 */
import {getGlobalLiteRt, loadLiteRt} from '@litertjs/core';

import {ModelFileError} from './errors.js';

/** LiteRT's element types. */
const ARRAYS = {1: Float32Array, 2: Int32Array, 9: Int8Array};

/** @type {Promise<any> | null} */
let loading = null;

/**
 * Makes an interpreter of a model whose hash was checked.
 *
 * @param {import('./model_file.js').ModelFile} model exported with `--static B,C`
 * @param {{wasm: string}} options `wasm`: address of the folder `wasm` of `@litertjs/core`, with `/` at its end
 * @returns {Promise<import('./runner.js').EdgeInterpreter>}
 * @throws {ModelFileError} when the file is dynamic, or LiteRT.js refuses it.
 */
export async function liteRtInterpreter(model, {wasm}) {
  if (!model.metadata.isStatic) {
    throw new ModelFileError(
      `${model.name}: expected a file with static shapes, LiteRT.js resizes none; export it with --static B,C`,
    );
  }
  loading ??= loadLiteRt(wasm).catch((error) => {
    loading = null;
    throw error;
  });
  await loading;
  try {
    return await compiled(model.content);
  } catch (error) {
    throw new ModelFileError(`${model.name}: LiteRT.js cannot load it: ${error}; export it again`, {cause: error});
  }
}

/**
 * @param {Uint8Array} content
 * @returns {Promise<import('./runner.js').EdgeInterpreter>}
 */
async function compiled(content) {
  const liteRt = /** @type {any} */ (getGlobalLiteRt());
  const runtime = liteRt.liteRtWasm;
  const environment = liteRt.getDefaultEnvironment();
  const handle = environment.liteRtEnvironment;
  const place = runtime._malloc(content.length);
  runtime.HEAPU8.set(content, place);
  const model = runtime.loadModel(handle, place, content.length);
  const program = await runtime.compileModel(handle, model, {
    environment,
    accelerator: 'wasm',
    cpuOptions: {numThreads: 1},
    gpuOptions: {},
    webNNOptions: {},
  });
  /** @type {Map<string, {index: number, inputs: string[], outputs: string[]}>} */
  const signatures = new Map();
  for (let index = 0; index < model.getNumSignatures(); index++) {
    const found = model.getSignature(index);
    signatures.set(found.key(), {index, inputs: listed(found.inputNames()), outputs: listed(found.outputNames())});
  }

  /**
   * @param {any} type
   * @param {import('./runner.js').Values} values
   */
  const asBuffer = (type, values) => {
    const {LiteRtTensorBuffer: Buffer, LiteRtTensorBufferType: Kinds, LiteRtTensorBufferLockMode: Modes} = runtime;
    const size = type.bytes();
    if (size !== values.byteLength) throw new RangeError(`expected ${size} bytes, got ${values.byteLength}`);
    const buffer = Buffer.createManaged(handle, Kinds.HOST_MEMORY, type, size);
    const start = buffer.lock(Modes.WRITE);
    runtime.HEAPU8.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), start);
    buffer.unlock();
    return buffer;
  };
  /** @param {any} buffer */
  const asValues = (buffer) => {
    const start = buffer.lock(runtime.LiteRtTensorBufferLockMode.READ);
    const bytes = runtime.HEAPU8.slice(start, start + buffer.packedSize());
    buffer.unlock();
    const kind = /** @type {1 | 2 | 9} */ (buffer.tensorType().elementType().value);
    return new ARRAYS[kind](bytes.buffer);
  };

  return {
    signatures,
    run: async (name, inputs) => {
      const found = signatures.get(name);
      if (found === undefined) throw new ModelFileError(`${name}: expected a signature of ${[...signatures.keys()]}`);
      const {index} = found;
      const buffers = found.inputs.map((port, order) => asBuffer(model.getInputTensorType(index, order), inputs[port]));
      const outputs = await program.run(index, buffers);
      try {
        return Object.fromEntries(found.outputs.map((port, order) => [port, asValues(outputs[order])]));
      } finally {
        [...buffers, ...outputs].forEach((buffer) => buffer.delete());
      }
    },
    close: () => {
      program.delete();
      model.delete();
      runtime._free(place);
    },
  };
}

/** @param {any} vector @returns {string[]} */
const listed = (vector) => Array.from({length: vector.size()}, (_, place) => vector.get(place));
