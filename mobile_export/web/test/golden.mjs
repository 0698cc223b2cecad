// The files that Python wrote, see `tests/mobile_export/test_mobile_export_android*.py`: Kotlin reads the same.
import {readFileSync} from 'node:fs';
import {deflateRawSync} from 'node:zlib';

import {ByteWriter, fromHex} from '../src/bytes.js';
import {crc32, sha256Hex} from '../src/hashing.js';
import {ModelFile} from '../src/model_file.js';
import {associatedFiles} from '../src/zip.js';

const FOLDER = new URL('../../android/ecct-edge-core/src/test/resources/golden/', import.meta.url);

export const bytesOf = (name) => new Uint8Array(readFileSync(new URL(name, FOLDER)));
export const jsonOf = (name) => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'));
export const textOf = (name) => readFileSync(new URL(name, FOLDER), 'utf8');

export const golden = jsonOf('case.json');
export const model = await ModelFile.parse('edge.tflite', bytesOf('edge.tflite'), textOf('manifest.json'));
export const clocked = await ModelFile.parse('edge.tflite', bytesOf('clock/edge.tflite'), textOf('clock/manifest.json'));
/** A model with grades, weights and further targets. */
export const ofOutcomes = await ModelFile.parse(
    'edge.tflite', bytesOf('outcomes/edge.tflite'), textOf('outcomes/manifest.json'));
export const downlinkBytes = fromHex(golden.downlink);
export const files = await associatedFiles(model.content);

/** The model with other files, and metadata that `change` returns: a zip of them, in the place of a whole model. */
export async function modelWith(change = (metadata) => metadata, texts = {}) {
  const content = zipped(new Map([
    ...files,
    ...Object.entries(texts),
    ['ecct_edge.json', JSON.stringify(change(JSON.parse(files.get('ecct_edge.json'))))],
  ]));
  return ModelFile.parse('x', content, JSON.stringify({files: {x: {sha256: sha256Hex(content)}}}));
}

export function zipped(texts) {
  const directory = new ByteWriter();
  const body = new ByteWriter();
  for (const [name, text] of texts) {
    const plain = new TextEncoder().encode(text);
    const packed = new Uint8Array(deflateRawSync(plain));
    const about = new ByteWriter().uint16(20).uint16(0x800).uint16(8).uint32(0).uint32(crc32(plain))
        .uint32(packed.length).uint32(plain.length).uint16(new TextEncoder().encode(name).length).uint16(0).done();
    const start = body.done().length;
    body.uint32(0x04034b50).bytes(about).text(name).bytes(packed);
    directory.uint32(0x02014b50).uint16(20).bytes(about).uint16(0).uint16(0).uint16(0).uint32(0).uint32(start).text(name);
  }
  const start = body.done().length;
  const end = new ByteWriter().uint32(0x06054b50).uint16(0).uint16(0).uint16(texts.size).uint16(texts.size)
      .uint32(directory.done().length).uint32(start).uint16(0).done();
  return new ByteWriter().bytes(body.done()).bytes(directory.done()).bytes(end).done();
}

const ARRAYS = {float32: Float32Array, int32: Int32Array, int8: Int8Array};

/**
 * Answers with the golden outputs of `score` and `uplink`, and keeps a state like a model: each step of `train` adds 1 to
 * every weight.
 */
export class FakeInterpreter {
  calls = [];
  loss = 0.5;
  applied = 1;
  failing = null;
  /** Logits of candidates, by the first weight; null answers as the golden file. */
  ranking = null;
  isClosed = false;
  inside = 0;
  overlapped = false;

  constructor({metadata}, score = golden.score, uplink = golden.uplink.outputs) {
    this.metadata = metadata;
    this.uplink = uplink;
    this.score = score;
    this.state = new Float32Array(metadata.stateSize);
    const names = (ports) => ports.map(({name}) => name);
    this.signatures = new Map([...metadata.signatures].map(([name, {inputs, outputs}]) =>
      [name, {inputs: names(inputs), outputs: names(outputs)}]));
  }

  async run(name, inputs) {
    if (++this.inside > 1) this.overlapped = true;
    await new Promise((resolve) => setImmediate(resolve));
    try {
      this.calls.push([name, inputs]);
      if (name === this.failing) throw new Error(`the runtime refused ${name}`);
      return this.#answer(name, inputs);
    } finally {
      this.inside--;
    }
  }

  of(name) {
    return this.calls.filter(([called]) => called === name).map(([, inputs]) => inputs);
  }

  close() {
    this.isClosed = true;
  }

  #answer(name, inputs) {
    switch (name) {
      case 'score': {
        const found = this.#golden(this.score, name, inputs.candidates.length);
        if (this.ranking !== null) found.logit = this.ranking(this.state[0], inputs.candidates);
        return found;
      }
      case 'uplink':
        return this.#golden(this.uplink, name, inputs.queries.length);
      case 'train':
        for (let place = 0; place < this.metadata.weights; place++) this.state[place] += 1;
        return {
          loss: Float32Array.of(this.loss),
          applied: Float32Array.of(this.applied),
          ...('target_labels' in inputs && {target_losses: Float32Array.from(this.metadata.targets, (_, place) => place + this.loss)}),
        };
      case 'save':
        return {state: this.state.slice()};
      case 'get_weights':
        return {weights: this.state.slice(0, this.metadata.weights)};
      case 'restore':
        return this.#taken(inputs.state);
      case 'set_weights':
        return this.#taken(inputs.weights);
      default:
        this.state[this.state.length - 1] = 0;
        return {};
    }
  }

  #taken(values) {
    if (!values.every(Number.isFinite)) return {accepted: Float32Array.of(0)};
    this.state.set(values);
    return {accepted: Float32Array.of(1)};
  }

  /** Repeats the golden values where more rows are asked for. */
  #golden(told, name, rows) {
    return Object.fromEntries(this.metadata.signatures.get(name).outputs.map((port) => {
      const values = told[port.name].flat();
      const size = port.shape.reduce((product, extent) => product * (extent ?? rows), 1);
      return [port.name, ARRAYS[port.type].from({length: size}, (_, place) => values[place % values.length])];
    }));
  }
}
