"""The loss of a batch: of the labels, joined with what the cloud's logits teach."""

from typing import Any

import tensorflow as tf

from ecct_tf.edge.losses import EdgeLoss, bce
from ecct_tf.knowledge import distillation

__all__ = ["collaborative_loss", "over_positions", "row_losses"]

_BCE = bce()


def collaborative_loss(
    logits: tf.Tensor,
    *,
    labels: tf.Tensor,
    teacher: tf.Tensor,
    weights: tf.Tensor,
    distillation_weight: float,
    temperature: float,
    taught: tf.Tensor | None = None,
    loss: EdgeLoss = _BCE,
    distillation_loss: EdgeLoss | None = None,
    group_size: int = 1,
) -> tf.Tensor:
    """`loss(labels) + λ · KD(teacher -> logits)`, weighted mean over the last axis.

    Its gradient is written by hand, so that a `tf.GradientTape` through it stays within
    TFLite's builtin operators. Neither labels, teacher nor weights receive a gradient.

    For losses by position the rows come position by position, whole. A position weighs as much as
    the mean of its rows, in the distillation too.

    Args:
      logits: `[..., B] float32`, the student's.
      labels: `[..., B] float32` in {0, 1}.
      teacher: `[..., B] float32` logits; ignored when `distillation_weight` is 0.
      weights: `[..., B] float32`, 0 for padding.
      distillation_weight: λ.
      temperature: T.
      taught: `[..., B] float32`, 0 where there is no teacher; None where there always is one.
      loss: of the labels.
      distillation_loss: of the teacher's logits; None for the tempered cross-entropy.
      group_size: rows of a position, `1 + N`; 1 for losses of single samples.

    Returns:
      `[...] float32`, one loss for each device.
    """
    # A custom gradient says nothing of the tensors that its function closes over.
    labels, teacher, weights = (tf.stop_gradient(part) for part in (labels, teacher, weights))
    if group_size > 1:
        weights = over_positions(weights, group_size)
    strength: Any = distillation_weight
    if taught is not None and distillation_weight:
        if distillation_loss is not None and distillation_loss.by_position:
            # A teacher of some of a position's samples says nothing of their order.
            taught = over_positions(taught, group_size, least=True)
        strength = distillation_weight * tf.stop_gradient(taught)

    @tf.custom_gradient
    def joined(student: tf.Tensor) -> Any:
        normalised = weights / tf.maximum(tf.reduce_sum(weights, axis=-1, keepdims=True), 1.0)
        each, slope = row_losses(loss, student, labels, group_size)
        if distillation_weight and distillation_loss is not None:
            found, found_slope = row_losses(distillation_loss, student, teacher, group_size)
            each += strength * found
            slope += strength * found_slope
        elif distillation_weight:
            each += strength * distillation(student, teacher, temperature=temperature)
            gap = tf.sigmoid(student / temperature) - tf.sigmoid(teacher / temperature)
            slope += strength * temperature * gap

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[..., None] * normalised * slope

        return tf.reduce_sum(each * normalised, axis=-1), gradient

    return joined(logits)


def over_positions(rows: tf.Tensor, size: int, *, least: bool = False) -> tf.Tensor:
    """`[..., B]` to the same: in each row the mean over its position.

    Args:
      rows: position by position, whole.
      size: rows of a position.
      least: whether the least value of the position counts in place of the mean.
    """
    reduce = tf.reduce_min if least else tf.reduce_mean
    return _by_row(reduce(_by_position(rows, size), axis=-1, keepdims=True), size)


def row_losses(
    loss: EdgeLoss, logits: tf.Tensor, targets: tf.Tensor, group_size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss that each row stands for, and the slope of their sum: `[..., B]`, twice."""
    if loss.by_position:
        logits, targets = (_by_position(part, group_size) for part in (logits, targets))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        each = loss.of(logits, targets)
    slope = tape.gradient(each, logits)
    if not loss.by_position:
        return each, slope
    if each.shape.rank == logits.shape.rank:
        values = float(int(each.shape[-1]))
        each, slope = tf.reduce_sum(each, axis=-1) / values, slope / values
    # Each row stands for the loss of its position, so that means over rows are over positions.
    rows = _by_row(each[..., None], group_size)
    return rows, _flat(group_size * slope)


def _by_position(rows: tf.Tensor, size: int) -> tf.Tensor:
    """`[..., B]` to `[..., P, size]`."""
    return tf.reshape(rows, [*_lead(rows, 1), -1, size])


def _by_row(positions: tf.Tensor, size: int) -> tf.Tensor:
    """`[..., P, 1]` to `[..., B]`, each value `size` times."""
    return _flat(positions * tf.ones([size]))


def _flat(positions: tf.Tensor) -> tf.Tensor:
    """`[..., P, size]` to `[..., B]`."""
    return tf.reshape(positions, [*_lead(positions, 2), -1])


def _lead(tensor: tf.Tensor, inner: int) -> list[Any]:
    return [tf.shape(tensor)[0]] if tensor.shape.rank > inner else []
