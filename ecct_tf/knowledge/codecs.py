"""Codecs: how a tensor is written on the wire, in TensorFlow operators.

Encoding and decoding run inside the TFF computations, on the cloud and, through the
exported file, on the phone, so what the simulation measures is what would really be
transmitted. `int8` keeps one `float16` scale for each row (the last axis). A custom codec is an
`ecct_tf.wire.row_codec.RowCodec`.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ecct_tf.config import CodecName
from ecct_tf.config.codec_names import codec_target
from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.plugins import guarded
from ecct_tf.wire.row_codec import RowCodec, custom_codec, decoded_rows, encoded_rows

__all__ = ["Codec", "Encoded", "build_codec", "codec_of"]

Encoded = tuple[tf.Tensor, ...]

_FLOAT16_MAX = 65504.0
_INT8_MAX = 127.0
# The smallest normal float16: a smaller scale would lose precision or become zero.
_SMALLEST_SCALE = 2.0**-14
# How far a float16 is from a number, as a share of it.
_HALF = 2.0**-11


@dataclasses.dataclass(frozen=True)
class Codec:
    """A way to write `[..., d] float32` tensors.

    Attributes:
      name: its name.
      dtypes: dtype of each encoded tensor.
      widths: of a row of d values, the length of the last axis of each encoded tensor.
      encode: `[..., d] float32` to the encoded tensors, `[..., width]` each.
      decode: the inverse, up to the codec's precision, of the encoded tensors and d.
      error: largest distance of a decoded value from what was encoded, as a share of the largest
        absolute value of its row, of rows where that is between 2**-7 and 2**15.
    """

    name: CodecName
    dtypes: tuple[type[np.generic], ...]
    widths: Callable[[int], tuple[int, ...]]
    encode: Callable[[tf.Tensor], Encoded]
    decode: Callable[[Encoded, int], tf.Tensor]
    error: float

    def encoded_bytes(self, rows: int, width: int) -> int:
        """Bytes of `rows` encoded rows of `width` values each."""
        widths = zip(self.dtypes, self.widths(width), strict=True)
        return rows * sum(np.dtype(dtype).itemsize * length for dtype, length in widths)

    def shapes(self, shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of the encoded tensors for a tensor of `shape`, whose last axis is known."""
        if shape[-1] is None:
            raise CodecError(f"codec {self.name}: expected rows of a known width, got {shape}")
        return tuple((*shape[:-1], length) for length in self.widths(shape[-1]))


@functools.lru_cache(maxsize=32)
def build_codec(name: CodecName) -> Codec:
    """Returns the codec `name`; a custom one is tried once.

    Raises:
      ConfigError: nothing has the name, its function fails or returns something else, or what it
        returns does not keep the promises of `RowCodec`.
    """
    if name == "float32":
        return _codec(name, (np.float32,), lambda x: (x,), lambda e, _: e[0], error=0.0)
    if name == "float16":
        return _codec(name, (np.float16,), _encode_float16, _decode_float16, error=_HALF)
    if name == "int8":
        # Half a step, and the largest value beyond the last step of a scale that was rounded.
        error = 0.5 / _INT8_MAX + _HALF
        return _codec(name, (np.int8, np.float16), _encode_int8, _decode_int8, error=error)
    rows = custom_codec(name)
    found = codec_of(rows, name=name, module=codec_target(name).partition(":")[0])
    _try(found, arrays=rows.encode_array is not None and rows.decode_array is not None)
    return found


def _codec(
    name: CodecName,
    dtypes: tuple[type[np.generic], ...],
    encode: Callable[[tf.Tensor], Encoded],
    decode: Callable[[Encoded, int], tf.Tensor],
    *,
    error: float,
) -> Codec:
    """One of the library's: a value each, and for some a scale for each row."""

    def widths(width: int) -> tuple[int, ...]:
        return (width, 1)[: len(dtypes)]

    def checked(encoded: Encoded, width: int) -> tf.Tensor:
        _expect(name, encoded, dtypes, widths(width), width)
        return decode(encoded, width)

    return Codec(name, dtypes, widths, encode, checked, error)


def codec_of(rows: RowCodec, *, name: CodecName, module: str | None) -> Codec:
    """A custom codec, whose errors name it and the place.

    Args:
      rows: what its function returned.
      name: for messages.
      module: where its code lies.
    """
    what = f"codec {name!r}"

    def widths(width: int) -> tuple[int]:
        return (rows.row_bytes(width) if width else 0,)

    def encode(values: tf.Tensor) -> Encoded:
        values = tf.convert_to_tensor(values, tf.float32)
        (shape,) = found.shapes(tuple(values.shape))
        if not shape[-1]:
            return (tf.cast(values, tf.uint8),)
        with guarded(f"{what}: encode", module=module):
            encoded = tf.convert_to_tensor(rows.encode(values))
        if encoded.dtype != tf.uint8 or not encoded.shape.is_compatible_with(shape):
            raise ConfigError(
                f"{what}: encode: expected {list(shape)} uint8 of {list(values.shape)} float32, "
                f"as row_bytes says, got {encoded.shape} {encoded.dtype.name}"
            )
        return (tf.ensure_shape(encoded, shape),)

    def decode(encoded: Encoded, width: int) -> tf.Tensor:
        content = tf.convert_to_tensor(encoded[0])
        _expect(name, (content,), (np.uint8,), widths(width), width)
        if not width:
            return tf.cast(content, tf.float32)
        with guarded(f"{what}: decode", module=module):
            decoded = tf.convert_to_tensor(rows.decode(content, width))
        shape = (*content.shape[:-1], width)
        if decoded.dtype != tf.float32 or not decoded.shape.is_compatible_with(shape):
            raise ConfigError(
                f"{what}: decode: expected {list(shape)} float32, got {decoded.shape} "
                f"{decoded.dtype.name}"
            )
        return tf.ensure_shape(decoded, shape)

    found = Codec(name, (np.uint8,), widths, encode, decode, rows.error)
    return found


def _expect(
    name: CodecName,
    encoded: Encoded,
    dtypes: tuple[type[np.generic], ...],
    widths: tuple[int, ...],
    width: int,
) -> None:
    """Refuses encoded rows of another form; a length that a graph does not know yet passes."""
    got = [(tf.as_dtype(part.dtype).as_numpy_dtype, part.shape[-1]) for part in encoded]
    got = [(np.dtype(dtype), length) for dtype, length in got]
    wanted = [(np.dtype(dtype), length) for dtype, length in zip(dtypes, widths, strict=True)]
    fits = len(got) == len(wanted) and all(
        dtype == kind and length in (None, found)
        for (dtype, length), (kind, found) in zip(got, wanted, strict=True)
    )
    if not fits:
        raise CodecError(
            f"codec {name!r}: expected rows of {width} numbers as "
            f"{', '.join(f'{length} {dtype}' for dtype, length in wanted)}, got "
            f"{', '.join(f'{length} {dtype}' for dtype, length in got)}"
        )


def _try(codec: Codec, *, arrays: bool) -> None:
    """Refuses a custom codec that does not do what `RowCodec` says, on a few rows.

    Args:
      codec: the codec.
      arrays: whether it has a NumPy form, which must be equal.
    """
    rng = np.random.default_rng(0)
    for shape in ((7,), (3, 1), (2, 3, 24)):
        values = rng.standard_normal(shape).astype(np.float32)
        encoded = codec.encode(tf.constant(values))
        decoded = np.asarray(codec.decode(encoded, shape[-1]))
        most = codec.error * np.abs(values).max(axis=-1, keepdims=True) + _SMALLEST_SCALE
        if not (np.abs(decoded - values) <= most).all():
            raise ConfigError(
                f"codec {codec.name!r}: expected decoded numbers within {codec.error:g} of the "
                f"largest of their row, as its error says, got one at "
                f"{float(np.nanmax(np.abs(decoded - values) / np.abs(values).max())):.3g}; see "
                f"`ecct check codec {codec.name}`"
            )
        if not np.array_equal(encoded[0], codec.encode(tf.constant(values))[0]):
            raise ConfigError(
                f"codec {codec.name!r}: expected equal rows to give equal bytes, they differ; "
                "draw no random numbers"
            )
        if arrays and not (
            np.array_equal(encoded_rows(codec.name, values), encoded[0])
            and np.array_equal(decoded_rows(codec.name, np.asarray(encoded[0]), shape[-1]), decoded)
        ):
            raise ConfigError(
                f"codec {codec.name!r}: expected encode_array and decode_array to equal encode and "
                f"decode to the last bit, they differ; see `ecct check codec {codec.name}`"
            )


def _encode_float16(values: tf.Tensor) -> Encoded:
    # Without the clip a large value would be transmitted as infinity.
    return (tf.cast(tf.clip_by_value(values, -_FLOAT16_MAX, _FLOAT16_MAX), tf.float16),)


def _decode_float16(encoded: Encoded, _: int) -> tf.Tensor:
    return tf.cast(encoded[0], tf.float32)


def _encode_int8(values: tf.Tensor) -> Encoded:
    peak = tf.reduce_max(tf.abs(values), axis=-1, keepdims=True)
    scale = tf.clip_by_value(peak / _INT8_MAX, _SMALLEST_SCALE, _FLOAT16_MAX)
    # Divide by the scale as the receiver will read it, not by the exact one.
    rounded = tf.cast(scale, tf.float16)
    steps = tf.round(values / tf.cast(rounded, tf.float32))
    return tf.cast(tf.clip_by_value(steps, -_INT8_MAX, _INT8_MAX), tf.int8), rounded


def _decode_int8(encoded: Encoded, _: int) -> tf.Tensor:
    return tf.cast(encoded[0], tf.float32) * tf.cast(encoded[1], tf.float32)
