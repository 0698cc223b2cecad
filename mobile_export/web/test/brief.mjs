// What `docs/extend_codec.md` shows: a test of Python compares both.
/** bfloat16: the first two bytes of a float32, rounded to the next, of two to the even one. */
const scratch = new DataView(new ArrayBuffer(4));
const brief = {
  name: 'my_pkg.codecs:brief',

  rowBytes: (width) => 2 * width,

  encode(row) {
    const view = new DataView(new ArrayBuffer(2 * row.length));
    row.forEach((value, place) => {
      scratch.setFloat32(0, value);
      const bits = scratch.getUint32(0);
      view.setUint16(2 * place, Number.isNaN(value) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16, true);
    });
    return new Uint8Array(view.buffer);
  },

  decode(content, width) {
    const view = new DataView(content.buffer, content.byteOffset);
    return Float32Array.from({length: width}, (_, place) => {
      scratch.setUint32(0, view.getUint16(2 * place, true) << 16);
      return scratch.getFloat32(0);
    });
  },
};

export {brief};
