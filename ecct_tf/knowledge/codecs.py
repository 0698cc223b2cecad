"""Codecs: how a tensor is written on the wire, in TensorFlow operators.

Encoding and decoding run inside the TFF computations, on the cloud and, through the
exported file, on the phone, so what the simulation measures is what would really be
transmitted. `int8` keeps one `float16` scale for each row (the last axis).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ecct_tf.config import CODECS, CodecName
from ecct_tf.errors import ConfigError

__all__ = ["Codec", "Encoded", "build_codec"]

Encoded = tuple[tf.Tensor, ...]

_FLOAT16_MAX = 65504.0
_INT8_MAX = 127.0
# The smallest normal float16: a smaller scale would lose precision or become zero.
_SMALLEST_SCALE = 2.0**-14


@dataclasses.dataclass(frozen=True)
class Codec:
    """A way to write `[..., d] float32` tensors.

    Attributes:
      name: its name.
      dtypes: dtype of each encoded tensor.
      value_bytes: bytes of one value.
      row_bytes: bytes that each row of d values adds.
      encode: `[..., d] float32` to the encoded tensors; the first has shape `[..., d]`,
        a second one, if any, `[..., 1]`.
      decode: the inverse, up to the codec's precision.
    """

    name: CodecName
    dtypes: tuple[type[np.generic], ...]
    value_bytes: int
    row_bytes: int
    encode: Callable[[tf.Tensor], Encoded]
    decode: Callable[[Encoded], tf.Tensor]

    def encoded_bytes(self, rows: int, width: int) -> int:
        """Bytes of `rows` encoded rows of `width` values each."""
        return rows * (width * self.value_bytes + self.row_bytes)

    def shapes(self, shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of the encoded tensors for a tensor of `shape`."""
        return tuple(shape if index == 0 else (*shape[:-1], 1) for index in range(len(self.dtypes)))


def build_codec(name: CodecName) -> Codec:
    """Returns the codec `name`.

    Raises:
      ConfigError: when the name is unknown.
    """
    if name == "float32":
        return Codec("float32", (np.float32,), 4, 0, lambda x: (x,), lambda e: e[0])
    if name == "float16":
        return Codec("float16", (np.float16,), 2, 0, _encode_float16, _decode_float16)
    if name == "int8":
        return Codec("int8", (np.int8, np.float16), 1, 2, _encode_int8, _decode_int8)
    raise ConfigError(f"expected a codec out of {CODECS}, got {name!r}")


def _encode_float16(values: tf.Tensor) -> Encoded:
    # Without the clip a large value would be transmitted as infinity.
    return (tf.cast(tf.clip_by_value(values, -_FLOAT16_MAX, _FLOAT16_MAX), tf.float16),)


def _decode_float16(encoded: Encoded) -> tf.Tensor:
    return tf.cast(encoded[0], tf.float32)


def _encode_int8(values: tf.Tensor) -> Encoded:
    peak = tf.reduce_max(tf.abs(values), axis=-1, keepdims=True)
    scale = tf.clip_by_value(peak / _INT8_MAX, _SMALLEST_SCALE, _FLOAT16_MAX)
    # Divide by the scale as the receiver will read it, not by the exact one.
    rounded = tf.cast(scale, tf.float16)
    steps = tf.round(values / tf.cast(rounded, tf.float32))
    return tf.cast(tf.clip_by_value(steps, -_INT8_MAX, _INT8_MAX), tf.int8), rounded


def _decode_int8(encoded: Encoded) -> tf.Tensor:
    return tf.cast(encoded[0], tf.float32) * tf.cast(encoded[1], tf.float32)
