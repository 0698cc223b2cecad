/** The texts in the zip at the end of a `.tflite` file. */
import {ModelFileError} from './errors.js';

const END = 0x06054b50;
const DIRECTORY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const DIRECTORY_ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const LARGEST_COMMENT = 0xffff;
const STORED = 0;
const DEFLATED = 8;

/**
 * Reads them from the very bytes whose hash was checked.
 *
 * @param {Uint8Array} content
 * @returns {Promise<Map<string, string>>} texts by name
 * @throws {ModelFileError} when there is no zip, or it is damaged.
 */
export async function associatedFiles(content) {
  try {
    const found = new Map();
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    let {at, entries} = directoryPlace(view);
    for (; entries > 0; entries--) {
      if (view.getUint32(at, true) !== DIRECTORY) throw new RangeError(`no directory at byte ${at}`);
      const method = view.getUint16(at + 10, true);
      const packedBytes = view.getUint32(at + 20, true);
      const sizes = [28, 30, 32].map((place) => view.getUint16(at + place, true));
      const local = view.getUint32(at + 42, true);
      const name = text(content.subarray(at + DIRECTORY_ENTRY_BYTES, at + DIRECTORY_ENTRY_BYTES + sizes[0]));
      if (view.getUint32(local, true) !== LOCAL) throw new RangeError(`no file at byte ${local}`);
      const start = local + LOCAL_BYTES + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      if (start + packedBytes > content.length) throw new RangeError(`${name} is cut off`);
      found.set(name, text(await unpacked(content.slice(start, start + packedBytes), method)));
      at += DIRECTORY_ENTRY_BYTES + sizes[0] + sizes[1] + sizes[2];
    }
    return found;
  } catch (error) {
    throw new ModelFileError(
      `model: expected associated files as a zip at the end of ${content.length} bytes: ` +
        `${/** @type {Error} */ (error).message}; fetch or export the file again`,
      {cause: error},
    );
  }
}

/** @param {Uint8Array} content */
const text = (content) => new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(content);

/**
 * @param {Uint8Array<ArrayBuffer>} content
 * @param {number} method
 */
async function unpacked(content, method) {
  if (method === STORED) return content;
  if (method !== DEFLATED) throw new RangeError(`a compression of kind ${method}`);
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {DataView} view */
function directoryPlace(view) {
  const last = view.byteLength - END_BYTES;
  for (let end = last; end >= Math.max(0, last - LARGEST_COMMENT); end--) {
    // What follows is the comment, whole: otherwise the file was cut, or has a tail.
    if (view.getUint32(end, true) !== END || view.getUint16(end + 20, true) !== last - end) continue;
    const entries = view.getUint16(end + 10, true);
    if (entries === 0) throw new RangeError('an empty zip');
    return {at: view.getUint32(end + 16, true), entries};
  }
  throw new RangeError('no end record');
}
