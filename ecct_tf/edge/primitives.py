"""Differentiable building blocks that stay within TFLite's builtin operators.

Automatic differentiation of Keras layers emits operators (`ReluGrad`,
`BroadcastGradientArgs`, `ConcatOffset`, ...) that a phone without the Flex
delegate cannot run. Each block here brings its own gradient, written with
builtin operators only, so a `tf.GradientTape` over them converts.

All blocks accept an optional leading device axis: features `[C, B, in]` with
weights `[C, in, out]` train C devices at once, `[B, in]` with `[in, out]` one.
The last two axes always mean the same, which is why one forward function can
serve a phone, a stacked cohort and the exported file. What is added up in a block is added
in a fixed order within `ecct_tf.fixed_order.fixed_order()`.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.errors import ConfigError

__all__ = [
    "add_row",
    "attend",
    "concat",
    "dense",
    "embed",
    "relu",
    "row_dot",
    "spread",
    "tanh",
    "unpack",
]


@tf.custom_gradient
def dense(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> Any:
    """Affine map.

    Args:
      inputs: `[..., B, in] float32`.
      kernel: `[..., in, out] float32`.
      bias: `[..., out] float32`.

    Returns:
      `[..., B, out] float32`.
    """
    outputs = fixed_order.matmul(inputs, kernel) + tf.expand_dims(bias, -2)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return (
            tf.matmul(upstream, kernel, transpose_b=True),
            tf.matmul(inputs, upstream, transpose_a=True),
            tf.reduce_sum(upstream, axis=-2),
        )

    return outputs, gradient


@tf.custom_gradient
def relu(inputs: tf.Tensor) -> Any:
    """Rectifier, `[...] float32` to the same shape."""
    outputs = tf.nn.relu(inputs)
    return outputs, lambda upstream: upstream * tf.cast(outputs > 0.0, tf.float32)


@tf.custom_gradient
def tanh(inputs: tf.Tensor) -> Any:
    """Hyperbolic tangent, `[...] float32` to the same shape."""
    outputs = fixed_order.tanh(inputs)
    return outputs, lambda upstream: upstream * (1.0 - outputs * outputs)


@tf.custom_gradient
def add_row(rows: tf.Tensor, row: tf.Tensor) -> Any:
    """Adds `row` `[..., n] float32` to each of `rows` `[..., B, n] float32`."""
    return rows + tf.expand_dims(row, -2), lambda up: (up, tf.reduce_sum(up, axis=-2))


@tf.custom_gradient
def row_dot(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> Any:
    """One logit a row: `inputs · kernel + bias`.

    Args:
      inputs: `[..., B, in] float32`.
      kernel: `[..., in] float32`.
      bias: `[..., 1] float32`.

    Returns:
      `[..., B] float32`.
    """
    column = tf.expand_dims(kernel, -1)
    outputs = tf.squeeze(fixed_order.matmul(inputs, column), -1) + bias

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = tf.expand_dims(upstream, -1)
        return (
            tf.matmul(rows, column, transpose_b=True),
            tf.squeeze(tf.matmul(inputs, rows, transpose_a=True), -1),
            tf.reduce_sum(upstream, axis=-1, keepdims=True),
        )

    return outputs, gradient


def embed(table: tf.Tensor, ids: tf.Tensor, *, rows: int) -> tf.Tensor:
    """Looks rows of a small trainable table up.

    A one-hot product rather than a gather: its gradient is one matrix product,
    which is builtin and needs no scatter. Meant for vocabularies of tens.

    Args:
      table: `[..., rows, dim] float32`.
      ids: `[..., B] int32` in `[0, rows)`.
      rows: the static number of rows.

    Returns:
      `[..., B, dim] float32`.
    """
    one_hot = tf.one_hot(ids, rows, dtype=tf.float32)

    @tf.custom_gradient
    def lookup(trainable: tf.Tensor) -> Any:
        return tf.matmul(one_hot, trainable), lambda upstream: tf.matmul(
            one_hot, upstream, transpose_a=True
        )

    return lookup(table)


def spread(row: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Repeats one row for all rows of a batch.

    Args:
      row: `[..., 1, d] float32`.
      like: `[..., B, n] float32`; only its shape is read.

    Returns:
      `[..., B, d] float32`.
    """

    @tf.custom_gradient
    def repeat(trainable: tf.Tensor) -> Any:
        shape = tf.concat([tf.shape(like)[:-1], [row.shape[-1]]], axis=0)
        return tf.broadcast_to(trainable, shape), lambda upstream: tf.reduce_sum(
            upstream, axis=-2, keepdims=True
        )

    return repeat(row)


def concat(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Joins `[..., d_k] float32` tensors of equal leading shape on the last axis.

    Raises:
      ConfigError: their leading shapes differ, as where one has a single row for all candidates.
    """
    leading = [part.shape[:-1] for part in parts]
    if not all(shape.is_compatible_with(leading[0]) for shape in leading):
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ConfigError(
            f"concat: expected tensors of equally many rows, got {shapes}; repeat a single row by "
            "per_row(tensor, inputs.interactions)"
        )
    sizes = [int(part.shape[-1]) for part in parts]

    @tf.custom_gradient
    def join(*tensors: tf.Tensor) -> Any:
        return tf.concat(tensors, -1), lambda upstream: tuple(tf.split(upstream, sizes, -1))

    return join(*parts)


def unpack(flat: tf.Tensor, shapes: Sequence[tuple[int, ...]]) -> list[tf.Tensor]:
    """Cuts one flat weight vector into tensors.

    Args:
      flat: `[..., P] float32`, with or without the leading device axis.
      shapes: static shapes of the parts; their sizes sum to P.

    Returns:
      One `[..., *shape] float32` tensor for each shape, in order.
    """
    sizes = [_size(shape) for shape in shapes]
    stacked = flat.shape.rank == 2

    @tf.custom_gradient
    def cut(vector: tf.Tensor) -> Any:
        lead = [-1] if stacked else []
        parts = tf.split(vector, sizes, -1)
        tensors = tuple(
            tf.reshape(part, [*lead, *shape]) for part, shape in zip(parts, shapes, strict=True)
        )

        def gradient(*upstream: tf.Tensor) -> tf.Tensor:
            rows = [
                tf.reshape(part, [*([-1] if stacked else []), size])
                for part, size in zip(upstream, sizes, strict=True)
            ]
            return tf.concat(rows, -1)

        return tensors, gradient

    return list(cut(flat))


@tf.custom_gradient
def attend(scores: tf.Tensor, values: tf.Tensor, mask: tf.Tensor) -> Any:
    """Masked softmax attention over the slots of a history.

    Args:
      scores: `[..., L, K] float32`, one column a head.
      values: `[..., L, V] float32`.
      mask: `[..., L, 1] float32`, 1 for a real slot, 0 for padding.

    Returns:
      `[..., K, V] float32`, all zero where every slot is padding.
    """
    # Constants that a float16 file can hold: 1e9 would be infinite there, 1e-9 zero.
    peak = tf.reduce_max(scores * mask - 6e4 * (1.0 - mask), axis=-2, keepdims=True)
    # The clip keeps padded slots, whose scores are arbitrary, from overflowing.
    weights = fixed_order.exp_of_negative(tf.minimum(scores - peak, 0.0)) * mask
    # With a real slot the sum is at least 1, that of the peak itself.
    total = fixed_order.sum_last(weights, axis=-2, keepdims=True)
    weights = weights / tf.maximum(total, 1e-3)
    outputs = fixed_order.matmul(weights, values, transpose_a=True)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        by_slot = tf.matmul(values, upstream, transpose_b=True)
        mean = tf.reduce_sum(by_slot * weights, axis=-2, keepdims=True)
        return weights * (by_slot - mean), tf.matmul(weights, upstream), tf.zeros_like(mask)

    return outputs, gradient


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size
