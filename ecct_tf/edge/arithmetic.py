"""Element by element and along an axis: the other half of the building blocks for phones.

As in `ecct_tf.edge.primitives`, each block brings its own gradient of TFLite's builtin operators,
and takes an optional leading device axis. TensorFlow's own gradients of a product, a slice or a sum
need operators that phones lack as soon as the number of rows is open. Two tensors that meet here
have one shape: nothing is broadcast but where it says so.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.edge.primitives import spread
from ecct_tf.errors import ConfigError

__all__ = [
    "add",
    "blend",
    "layer_norm",
    "masked_mean",
    "masked_sum",
    "matmul",
    "multiply",
    "newest_slots",
    "per_row",
    "product_sum",
    "sigmoid",
    "softmax",
    "split",
    "subtract",
    "unstack_slots",
]

_EPSILON = 1e-3


def add(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """`left + right` for two `[...] float32` tensors of one shape."""
    _same_shape("add", left, right)
    return _add(left, right)


def subtract(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """`left - right` for two `[...] float32` tensors of one shape."""
    _same_shape("subtract", left, right)
    return _subtract(left, right)


def multiply(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """`left * right`, element by element, for two `[...] float32` tensors of one shape."""
    _same_shape("multiply", left, right)
    return _multiply(left, right)


@tf.custom_gradient
def _add(left: tf.Tensor, right: tf.Tensor) -> Any:
    return left + right, lambda upstream: (upstream, upstream)


@tf.custom_gradient
def _subtract(left: tf.Tensor, right: tf.Tensor) -> Any:
    return left - right, lambda upstream: (upstream, -upstream)


@tf.custom_gradient
def _multiply(left: tf.Tensor, right: tf.Tensor) -> Any:
    return left * right, lambda upstream: (upstream * right, upstream * left)


@tf.custom_gradient
def blend(gate: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> Any:
    """`new` where the gate is 1, `old` where it is 0, in between a mixture.

    Args:
      gate: `[..., d] float32`, or `[..., 1]` for a mask, to which no gradient flows.
      new: `[..., d] float32`.
      old: `[..., d] float32`.
    """
    difference = new - old
    is_mask = gate.shape[-1] == 1 and new.shape[-1] != 1

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        passed = upstream * gate
        of_gate = tf.zeros_like(gate) if is_mask else upstream * difference
        return of_gate, passed, upstream - passed

    return old + gate * difference, gradient


@tf.custom_gradient
def sigmoid(inputs: tf.Tensor) -> Any:
    """Logistic function, `[...] float32` to the same shape."""
    shrunk = fixed_order.exp_of_negative(-tf.abs(inputs))
    outputs = tf.where(inputs < 0.0, shrunk, tf.ones_like(shrunk)) / (1.0 + shrunk)
    return outputs, lambda upstream: upstream * outputs * (1.0 - outputs)


@tf.custom_gradient
def softmax(inputs: tf.Tensor) -> Any:
    """Softmax over the last axis, `[..., n] float32` to the same shape."""
    peak = tf.reduce_max(inputs, axis=-1, keepdims=True)
    powers = fixed_order.exp_of_negative(inputs - peak)
    outputs = powers / fixed_order.sum_last(powers, keepdims=True)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_sum(upstream * outputs, axis=-1, keepdims=True)
        return outputs * (upstream - mean)

    return outputs, gradient


@tf.custom_gradient
def product_sum(left: tf.Tensor, right: tf.Tensor) -> Any:
    """Dot product of each pair of rows: `[..., n] float32`, twice, to `[..., 1]`."""
    outputs = fixed_order.sum_last(left * right, keepdims=True)
    return outputs, lambda upstream: (upstream * right, upstream * left)


def matmul(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """`left @ right` for `[..., n, k] float32` and `[..., k, m] float32`: `[..., n, m]`.

    Both have the same axes before the last two.
    """
    if left.shape.rank != right.shape.rank or left.shape[-1] != right.shape[-2]:
        raise ConfigError(
            f"matmul: expected [..., n, k] and [..., k, m] with as many axes, got {left.shape} and "
            f"{right.shape}"
        )
    return _matmul(left, right)


@tf.custom_gradient
def _matmul(left: tf.Tensor, right: tf.Tensor) -> Any:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return (
            tf.matmul(upstream, right, transpose_b=True),
            tf.matmul(left, upstream, transpose_a=True),
        )

    return fixed_order.matmul(left, right), gradient


@tf.custom_gradient
def layer_norm(inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> Any:
    """Each row with mean 0 and variance 1, then scaled and moved.

    Args:
      inputs: `[..., B, n] float32`.
      scale: `[..., n] float32`.
      offset: `[..., n] float32`.

    Returns:
      `[..., B, n] float32`.
    """
    width = float(inputs.shape[-1])
    centred = inputs - fixed_order.sum_last(inputs, keepdims=True) / width
    variance = fixed_order.sum_last(centred * centred, keepdims=True) / width
    # A root of at least 1 has the same bits in every runtime.
    root = fixed_order.root(tf.minimum(1.0 + variance / _EPSILON, 1e9)) * _EPSILON**0.5
    normal = centred / root
    rows = tf.expand_dims(scale, -2)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inner = upstream * rows
        mean = tf.reduce_sum(inner, axis=-1, keepdims=True) / width
        along = normal * (tf.reduce_sum(inner * normal, axis=-1, keepdims=True) / width)
        return (
            (inner - mean - along) / root,
            tf.reduce_sum(upstream * normal, axis=-2),
            tf.reduce_sum(upstream, axis=-2),
        )

    return normal * rows + tf.expand_dims(offset, -2), gradient


@tf.custom_gradient
def masked_sum(values: tf.Tensor, mask: tf.Tensor) -> Any:
    """Sum over the slots in use, to `[..., V] float32`.

    Args:
      values: `[..., L, V] float32`.
      mask: `[..., L, 1] float32`.
    """
    outputs = fixed_order.sum_last(values * mask, axis=-2)
    return outputs, lambda upstream: (tf.expand_dims(upstream, -2) * mask, tf.zeros_like(mask))


@tf.custom_gradient
def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> Any:
    """Mean over the slots in use, to `[..., V] float32`; 0 where none is.

    Args:
      values: `[..., L, V] float32`.
      mask: `[..., L, 1] float32`.
    """
    weights = mask / tf.maximum(fixed_order.sum_last(mask, axis=-2, keepdims=True), 1.0)
    outputs = fixed_order.sum_last(values * weights, axis=-2)
    return outputs, lambda upstream: (tf.expand_dims(upstream, -2) * weights, tf.zeros_like(mask))


def newest_slots(values: tf.Tensor, count: int) -> tf.Tensor:
    """The newest `count` slots of `[..., L, V] float32`: `[..., count, V]`."""
    left_out = int(values.shape[-2]) - count
    if left_out <= 0:
        return values

    @tf.custom_gradient
    def cut(tensor: tf.Tensor) -> Any:
        older, newer = tf.split(tensor, [left_out, count], axis=-2)
        return newer, lambda upstream: tf.concat([tf.zeros_like(older), upstream], axis=-2)

    return cut(values)


def split(values: tf.Tensor, sizes: Sequence[int]) -> list[tf.Tensor]:
    """Cuts the last axis of `[..., n] float32` into parts of `sizes`, the inverse of `concat`."""

    @tf.custom_gradient
    def cut(tensor: tf.Tensor) -> Any:
        return tuple(tf.split(tensor, sizes, axis=-1)), lambda *upstream: tf.concat(upstream, -1)

    return list(cut(values))


def unstack_slots(values: tf.Tensor) -> list[tf.Tensor]:
    """The slots of `[..., L, V] float32` one by one, oldest first: L tensors `[..., V]`."""
    count = int(values.shape[-2])

    @tf.custom_gradient
    def cut(tensor: tf.Tensor) -> Any:
        return tuple(tf.unstack(tensor, num=count, axis=-2)), lambda *upstream: tf.stack(
            upstream, axis=-2
        )

    return list(cut(values))


def per_row(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """One row for each candidate: `[..., 1, V]`, of a history that all share, is repeated.

    Args:
      values: `[..., B, V] float32`, or `[..., 1, V]`.
      like: `[..., B, n] float32`; only its shape is read.

    Returns:
      `[..., B, V] float32`.

    Raises:
      ConfigError: `like` is no tensor.
    """
    if not hasattr(like, "shape"):
        raise ConfigError(
            f"per_row: expected a tensor with a row for each candidate as its second argument, got "
            f"{type(like).__name__}; such as inputs.interactions"
        )
    return spread(values, like) if values.shape[-2] == 1 else values


def _same_shape(what: str, left: tf.Tensor, right: tf.Tensor) -> None:
    same = left.shape.rank == right.shape.rank and left.shape.is_compatible_with(right.shape)
    if not same or left.shape[-1] != right.shape[-1]:
        raise ConfigError(
            f"{what}: expected two tensors of one shape, got {left.shape} and {right.shape}; "
            "repeat the smaller one first, or use add_row, blend or per_row"
        )
