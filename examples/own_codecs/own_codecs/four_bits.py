"""Four bits a number: about half the bytes of int8, a quarter of float16.

A group of numbers shares a scale, a seventh of its largest absolute value, which stands before it
as a float16; each further byte holds two numbers of -7..7, the first in its low half. `int4` takes
a whole row as a group, for embeddings and logits; `int4_groups` takes 64 numbers, for shared
weights, whose single row of thousands has small and large ones.
"""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.knowledge import RowCodec

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_MOST = 7.0
# The smallest and the largest normal float16.
_SMALLEST, _LARGEST = 2.0**-14, 65504.0


def int4() -> RowCodec:
    """A scale for each row."""
    return _codec(None)


def int4_groups() -> RowCodec:
    """A scale for each 64 numbers of a row."""
    return _codec(64)


def _codec(group: int | None) -> RowCodec:
    def sizes(width: int) -> tuple[int, int]:
        """Groups of a row, and numbers in each: the last is filled up with zeros."""
        size = width + width % 2 if group is None else group
        return -(-width // size), size

    def row_bytes(width: int) -> int:
        count, size = sizes(width)
        return count * (2 + size // 2)

    def encode(values: tf.Tensor) -> tf.Tensor:
        lead, width = tf.shape(values)[:-1], values.shape[-1]
        count, size = sizes(width)
        ends = [[0, 0]] * (values.shape.rank - 1) + [[0, count * size - width]]
        groups = tf.reshape(tf.pad(values, ends), tf.concat([lead, [count, size]], axis=0))
        peak = tf.reduce_max(tf.abs(groups), axis=-1, keepdims=True)
        scale = tf.cast(tf.clip_by_value(peak / _MOST, _SMALLEST, _LARGEST), tf.float16)
        # What is no number is told by the scale.
        whole = tf.reduce_all(tf.math.is_finite(groups), axis=-1, keepdims=True)
        scale = tf.where(whole, scale, tf.constant(np.nan, tf.float16))
        steps = tf.where(whole, tf.round(groups / tf.cast(scale, tf.float32)), 0.0)
        codes = tf.cast(tf.clip_by_value(steps, -_MOST, _MOST) + 8.0, tf.uint8)
        packed = codes[..., ::2] + 16 * codes[..., 1::2]
        content = tf.concat([tf.bitcast(scale, tf.uint8)[..., 0, :], packed], axis=-1)
        return tf.reshape(content, tf.concat([lead, [row_bytes(width)]], axis=0))

    def decode(content: tf.Tensor, width: int) -> tf.Tensor:
        lead, (count, size) = tf.shape(content)[:-1], sizes(width)
        groups = tf.reshape(content, tf.concat([lead, [count, 2 + size // 2]], axis=0))
        scale = tf.cast(tf.bitcast(groups[..., :2], tf.float16), tf.float32)
        # No encoder writes another one: the bytes were damaged.
        scale = tf.where((scale >= _SMALLEST) & (scale <= _LARGEST), scale, np.nan)
        packed = groups[..., 2:]
        codes = tf.stack([packed % 16, packed // 16], axis=-1)
        steps = tf.reshape(tf.cast(codes, tf.float32) - 8.0, tf.concat([lead, [count, size]], 0))
        values = tf.reshape(steps * scale[..., None], tf.concat([lead, [count * size]], axis=0))
        return values[..., :width]

    def encode_array(values: Array) -> Bytes:
        lead, width = values.shape[:-1], values.shape[-1]
        count, size = sizes(width)
        groups = np.zeros((*lead, count * size), np.float32)
        groups[..., :width] = values
        groups = groups.reshape(*lead, count, size)
        whole = np.isfinite(groups).all(axis=-1, keepdims=True)
        groups = np.where(whole, groups, np.float32(0.0))
        peak = np.abs(groups).max(axis=-1, keepdims=True)
        scale = np.clip(peak / np.float32(_MOST), _SMALLEST, _LARGEST).astype("<f2")
        steps = np.clip(np.rint(groups / scale.astype(np.float32)), -_MOST, _MOST)
        codes = (steps + 8.0).astype(np.uint8)
        packed = codes[..., ::2] + 16 * codes[..., 1::2]
        scale = np.where(whole, scale, np.float16(np.nan)).astype("<f2")
        content = np.concatenate([scale.view(np.uint8), packed], axis=-1)
        return content.reshape(*lead, row_bytes(width))

    def decode_array(content: Bytes, width: int) -> Array:
        lead, (count, size) = content.shape[:-1], sizes(width)
        groups = content.reshape(*lead, count, 2 + size // 2)
        scale = np.ascontiguousarray(groups[..., :2]).view("<f2").astype(np.float32)
        sound = (scale >= _SMALLEST) & (scale <= _LARGEST)
        scale = np.where(sound, scale, np.float32(np.nan))
        packed = groups[..., 2:]
        codes = np.stack([packed % 16, packed // 16], axis=-1)
        steps = codes.reshape(*lead, count, size).astype(np.float32) - np.float32(8.0)
        return (steps * scale).reshape(*lead, count * size)[..., :width]

    # Half a step, and what a scale loses as a float16.
    error = 0.5 / _MOST + 2.0**-11
    return RowCodec(row_bytes, encode, decode, error, encode_array, decode_array)
