/** `int4` of `own_codecs/four_bits.py` in a browser: a scale for each row, then two numbers of -7..7 in each byte. */

const MOST = 7;
// The smallest and the largest normal float16, and their bits.
const [SMALLEST, LARGEST] = [2 ** -14, 65504];
const [SMALLEST_BITS, LARGEST_BITS] = [0x0400, 0x7bff];
const BITS = new DataView(new ArrayBuffer(4));

/**
 * @param {string} name as the run has it: `own_codecs.four_bits:int4`, or `int4` where the package was installed
 * @returns {import('ecct-edge-web').Codec}
 */
export const fourBits = (name) => ({
  name,

  rowBytes: (width) => 2 + Math.ceil(width / 2),

  encode(row) {
    const content = new Uint8Array(this.rowBytes(row.length)).fill(0x88);
    const view = new DataView(content.buffer);
    if (!row.every(Number.isFinite)) {
      view.setUint16(0, 0x7e00, true); // What is no number is told by the scale, which is none.
      return content;
    }
    const peak = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const half = toHalf(Math.min(Math.max(Math.fround(peak / MOST), SMALLEST), LARGEST));
    view.setUint16(0, half, true);
    const scale = fromHalf(half); // Divided by the scale as the receiver reads it.
    const code = (value) => Math.min(Math.max(roundToEven(Math.fround(value / scale)), -MOST), MOST) + 8;
    for (let place = 0; place < row.length; place += 2) {
      content[2 + place / 2] = code(row[place]) | (code(row[place + 1] ?? 0) << 4);
    }
    return content;
  },

  decode(content, width) {
    const bits = content[0] | (content[1] << 8);
    // No encoder writes a scale that is negative, subnormal or infinite: the bytes were damaged.
    const scale = bits >= SMALLEST_BITS && bits <= LARGEST_BITS ? fromHalf(bits) : NaN;
    return Float32Array.from({length: width}, (_, place) =>
      (((content[2 + (place >> 1)] >> (4 * (place % 2))) & 0xf) - 8) * scale);
  },
});

/** The bits of the next float16, of two the even one, of a number between the smallest and the largest normal one. */
function toHalf(value) {
  BITS.setFloat32(0, value);
  const bits = BITS.getInt32(0);
  return (bits - (112 << 23) + 0xfff + ((bits >> 13) & 1)) >> 13;
}

function fromHalf(bits) {
  BITS.setInt32(0, (bits << 13) + (112 << 23));
  return BITS.getFloat32(0);
}

/** The next whole number, of two the even one. */
function roundToEven(value) {
  const found = Math.round(value);
  return found - value === 0.5 && found % 2 !== 0 ? found - 1 : found;
}
