// Runs signatures of a .tflite file in LiteRT.js, which is made for browsers, in Node.
//
//   node run.mjs FILE < request.json > reply.json
//
// The request is {"layer": "api" or "wasm", "calls": [{"signature", "inputs"}, …]}; the reply is a
// list with the outputs of each call. Inputs and outputs map a name to {"dtype", "data"}, the
// data being the little-endian bytes in base64. One compiled model serves all calls, so that
// what it learns stays.
//
// The public API (`api`) knows float32, int32 and uint8 and refuses a file with any other port.
// One layer below (`wasm`), where tensors are bytes, the same runtime takes them all.

import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import process from 'node:process';
import vm from 'node:vm';

const require = createRequire(import.meta.url);
const WASM = join(dirname(require.resolve('@litertjs/core')), '../wasm');
const ARRAYS = {float32: Float32Array, int32: Int32Array};
const DTYPES = {1: 'float32', 2: 'int32', 9: 'int8'};  // LiteRT's element types.

// What LiteRT.js expects of a browser's worker: `self`, and scripts that define a global. Its
// scripts find out that this is Node and then want what a CommonJS module has.
globalThis.self = globalThis;
globalThis.importScripts = (path) => {
  // Node's `fetch` knows no files, so the binary is handed over.
  globalThis.Module = {wasmBinary: readFileSync(path.replace(/\.js$/, '.wasm'))};
  const script = readFileSync(path, 'utf8') + '\nreturn ModuleFactory;';
  const define = vm.compileFunction(script, ['require', '__dirname', '__filename']);
  globalThis.ModuleFactory = define(require, WASM, path);
};
// Standard output is for the reply.
console.log = console.info = console.error;

const {loadAndCompile, loadLiteRt, Tensor} = await import('@litertjs/core');

const bytesOf = ({data}) => new Uint8Array(Buffer.from(data, 'base64'));
const told = (dtype, bytes) => ({dtype, data: Buffer.from(bytes).toString('base64')});

async function throughApi(content, calls) {
  const model = await loadAndCompile(content, {accelerator: 'wasm'});
  const replies = [];
  for (const {signature, inputs} of calls) {
    const details = model.signatures[signature].getInputDetails();
    const tensors = {};
    for (const {name, dtype, shape} of details) {
      const array = new ARRAYS[dtype](bytesOf(inputs[name]).buffer);
      tensors[name] = new Tensor(array, shape);
    }
    const outputs = await model.run(signature, tensors);
    const reply = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      const {buffer, byteOffset, byteLength} = await tensor.data();
      reply[name] = told(tensor.type.dtype, new Uint8Array(buffer, byteOffset, byteLength));
      tensor.delete();
    }
    Object.values(tensors).forEach((tensor) => tensor.delete());
    replies.push(reply);
  }
  return replies;
}

async function throughWasm(liteRt, content, calls) {
  const wasm = liteRt.liteRtWasm;
  const environment = liteRt.getDefaultEnvironment();
  const place = wasm._malloc(content.byteLength);
  wasm.HEAPU8.set(content, place);
  const model = wasm.loadModel(environment.liteRtEnvironment, place, content.byteLength);
  const compiled = await wasm.compileModel(environment.liteRtEnvironment, model, {
    environment,
    accelerator: 'wasm',
    cpuOptions: {numThreads: 1},
    gpuOptions: {},
    webNNOptions: {},
  });
  const namesOf = (vector) => Array.from({length: vector.size()}, (_, index) => vector.get(index));
  const places = new Map();
  for (let index = 0; index < model.getNumSignatures(); index++) {
    places.set(model.getSignature(index).key(), index);
  }

  const asBuffer = (type, {data}) => {
    const buffer = wasm.LiteRtTensorBuffer.createManaged(
        environment.liteRtEnvironment, wasm.LiteRtTensorBufferType.HOST_MEMORY, type, type.bytes());
    const start = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
    wasm.HEAPU8.set(bytesOf({data}), start);
    buffer.unlock();
    return buffer;
  };
  const asReply = (buffer) => {
    const start = buffer.lock(wasm.LiteRtTensorBufferLockMode.READ);
    const bytes = wasm.HEAPU8.slice(start, start + buffer.packedSize());
    buffer.unlock();
    return told(DTYPES[buffer.tensorType().elementType().value], bytes);
  };

  const replies = [];
  for (const {signature, inputs} of calls) {
    const index = places.get(signature);
    const found = model.getSignature(index);
    const buffers = namesOf(found.inputNames())
        .map((name, port) => asBuffer(model.getInputTensorType(index, port), inputs[name]));
    const outputs = await compiled.run(index, buffers);
    const names = namesOf(found.outputNames());
    replies.push(Object.fromEntries(names.map((name, port) => [name, asReply(outputs[port])])));
    [...buffers, ...outputs].forEach((buffer) => buffer.delete());
  }
  return replies;
}

const content = new Uint8Array(readFileSync(process.argv[2]));
const {layer, calls} = JSON.parse(readFileSync(0, 'utf8'));
const liteRt = await loadLiteRt(WASM + '/');
const replies =
    layer === 'api' ? await throughApi(content, calls) : await throughWasm(liteRt, content, calls);
process.stdout.write(JSON.stringify(replies), () => process.exit(0));
