"""`compact`: the values of `int4`, in fewer bytes.

A section has two values of -7..7 in a byte, as in `int4`, and its scale in one byte: the exponent
and the first three bits of the mantissa of a float16, rounded to the nearest. Where all values of
a row round to 0 or to its largest, as in categories, only their columns are written: as a bit for
each column or as a list of columns, whichever is shorter, with a float16 scale. Decoded values of
such a section are those of `int4`.

`shared` holds one byte: 0 for values of -7..7, 1 for bits, 2 for a list of columns of one byte
each, 3 for one of two bytes each, little-endian. A list counts columns from 1, ends with zeros, and
is as long as the longest row needs.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError
from ecct_tf.knowledge.table_codecs import EncodedRows, TableCodec, pack_int4, unpack_int4

__all__ = ["compact"]

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_MAX = np.float32(7.0)
_FLOAT16_MAX = 65504.0
# The smallest normal float16, as in the int8 codec.
_SMALLEST_SCALE = 2.0**-14
# The next one is infinite.
_LARGEST_CODE = 247
_VALUES, _BITS, _SHORT_LIST, _LONG_LIST = range(4)
_LIST_TYPES: dict[int, np.dtype[Any]] = {
    _SHORT_LIST: np.dtype("u1"),
    _LONG_LIST: np.dtype("<u2"),
}


def compact() -> TableCodec:
    """Two values in a byte and a scale of one byte; categories as bits or as a list."""
    return TableCodec(_encode, _decode)


def _encode(values: Array) -> EncodedRows:
    peak = np.abs(values).max(axis=1, keepdims=True)
    halves = np.clip(peak / _MAX, _SMALLEST_SCALE, _FLOAT16_MAX).astype(np.float16)
    codes = np.minimum(np.rint(halves.view(np.uint16) / 128), _LARGEST_CODE).astype(np.uint8)
    steps = np.clip(np.rint(values / _scales(codes)), -_MAX, _MAX)
    if ((steps == 0) | (steps == _MAX)).all():
        return _encode_marks(steps != 0, halves)
    packed = pack_int4(steps.astype(np.int8))
    rows = np.concatenate([packed.view(np.uint8), codes], axis=1)
    return EncodedRows(rows, bytes([_VALUES]))


def _encode_marks(is_marked: npt.NDArray[np.bool_], scales: npt.NDArray[np.float16]) -> EncodedRows:
    """Rows of bits or of lists; `is_marked` `[n, width]`, `scales` `[n, 1]`."""
    width = is_marked.shape[1]
    most = int(is_marked.sum(axis=1).max())
    kind = _SHORT_LIST if width < 1 << 8 else _LONG_LIST
    if width >= 1 << 16 or most * _LIST_TYPES[kind].itemsize >= (width + 7) // 8:
        marks = np.packbits(is_marked, axis=1, bitorder="little")
        kind = _BITS
    else:
        columns = np.where(is_marked, np.arange(1, width + 1), width + 1)
        first = np.sort(columns, axis=1)[:, :most]
        listed = np.where(first > width, 0, first).astype(_LIST_TYPES[kind])
        marks = np.ascontiguousarray(listed).view(np.uint8).reshape(len(is_marked), -1)
    return EncodedRows(np.concatenate([marks, _bytes_of(scales)], axis=1), bytes([kind]))


def _decode(encoded: EncodedRows, width: int) -> Array:
    kind = encoded.shared[0] if len(encoded.shared) == 1 else -1
    rows = np.ascontiguousarray(encoded.rows)
    if kind == _VALUES:
        half = (width + 1) // 2
        _expect(encoded, half + 1, width)
        values: Array = unpack_int4(rows[:, :half].view(np.int8), width) * _scales(rows[:, half:])
        return values
    if kind == _BITS:
        size = (width + 7) // 8
        _expect(encoded, size + 2, width)
        marks = np.unpackbits(rows[:, :size], axis=1, count=width, bitorder="little")
    elif kind in _LIST_TYPES:
        marks = _listed(rows, _LIST_TYPES[kind], width)
    else:
        raise CodecError(
            f"item table: expected compact rows of a kind from 0 to {_LONG_LIST}, got "
            f"{encoded.shared[:8].hex() or 'none'}"
        )
    scales = np.ascontiguousarray(rows[:, -2:]).view("<f2").astype(np.float32)
    if not np.isfinite(scales).all():
        raise CodecError("item table: expected finite scales of compact rows")
    found: Array = marks.astype(np.float32) * _MAX * scales
    return found


def _listed(rows: Bytes, dtype: np.dtype[Any], width: int) -> Bytes:
    """`[n, width] uint8`: 1 at the columns that rows list."""
    length = rows.shape[1] - 2
    if length < 0 or length % dtype.itemsize:
        raise CodecError(
            f"item table: expected compact rows of columns of {dtype.itemsize} bytes and a scale, "
            f"got {rows.shape[1]} bytes"
        )
    columns = np.ascontiguousarray(rows[:, :length]).view(dtype).astype(np.int64)
    if columns.size and int(columns.max()) > width:
        raise CodecError(
            f"item table: expected compact rows of columns up to {width}, got {int(columns.max())}"
        )
    marks = np.zeros((len(rows), width + 1), np.uint8)
    np.put_along_axis(marks, columns, 1, axis=1)
    return marks[:, 1:]


def _expect(encoded: EncodedRows, size: int, width: int) -> None:
    if encoded.rows.shape[1] != size:
        raise CodecError(
            f"item table: expected compact rows of {size} bytes for {width} values, got "
            f"{encoded.rows.shape[1]}"
        )


def _scales(codes: Bytes) -> Array:
    """The float16 whose first eight bits after the sign `codes` are, as float32."""
    halves = (codes.astype(np.uint16) << 7).view(np.float16)
    if not np.isfinite(halves).all():
        raise CodecError("item table: expected finite scales of compact rows")
    return halves.astype(np.float32)


def _bytes_of(halves: npt.NDArray[np.float16]) -> Bytes:
    return np.ascontiguousarray(halves.astype("<f2")).view(np.uint8)
