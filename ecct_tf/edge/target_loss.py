"""The loss of further targets, such as a like beside the click: a weighted sum over heads."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ecct_tf.edge.losses import EdgeLoss
from ecct_tf.edge.training_loss import over_positions, row_losses

__all__ = ["target_losses"]


def target_losses(
    logits: tf.Tensor,
    *,
    labels: tf.Tensor,
    weights: tf.Tensor,
    losses: Sequence[EdgeLoss],
    strengths: Sequence[float],
    group_size: int = 1,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The weighted sum of the targets' losses, and each of them.

    The loss of a target is the sum over the rows that have a label of it, divided by the weight of
    all rows: a row with a label counts as much here as in the first target's loss, and the value of
    a batch is the mean of its parts. The sum brings its own gradient of builtin operators; the
    single losses are for reports and have none.

    Args:
      logits: `[..., B, T] float32`, the model's.
      labels: `[..., B, T] float32` in 0..1, below 0 where there is none.
      weights: `[..., B] float32`, 0 for padding.
      losses: T of them.
      strengths: their weights in the sum.
      group_size: rows of a position, `1 + N`; 1 where no loss of the task reads positions.

    Returns:
      `[...] float32` and `[..., T] float32`.
    """
    labels, weights = tf.stop_gradient(labels), tf.stop_gradient(weights)
    if group_size > 1:
        weights = over_positions(weights, group_size)

    @tf.custom_gradient
    def joined(student: tf.Tensor) -> Any:
        normalised = weights / tf.maximum(tf.reduce_sum(weights, axis=-1, keepdims=True), 1.0)
        columns = zip(
            tf.unstack(student, num=len(losses), axis=-1),
            tf.unstack(labels, num=len(losses), axis=-1),
            losses,
            strengths,
            strict=True,
        )
        values, slopes = [], []
        total: Any = 0.0
        for column, targets, loss, strength in columns:
            has_label = tf.cast(targets >= 0.0, tf.float32)
            if loss.by_position:
                # A position of which a row has no label says nothing of the order.
                has_label = over_positions(has_label, group_size, least=True)
            each, slope = row_losses(loss, column, tf.maximum(targets, 0.0), group_size)
            share = normalised * has_label
            values.append(tf.reduce_sum(each * share, axis=-1))
            slopes.append(strength * slope * share)
            total = total + strength * values[-1]

        def gradient(upstream: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            return upstream[..., None, None] * tf.stack(slopes, axis=-1)

        return (total, tf.stack(values, axis=-1)), gradient

    total, each = joined(logits)
    return total, tf.stop_gradient(each)
