"""The cross-entropy of naming the next item among all, with its gradient written by hand."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["next_item_loss"]


@tf.custom_gradient
def next_item_loss(
    users: tf.Tensor, items: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """The mean over a batch of `-log softmax(users @ items.T + bias)` at the targets.

    What TensorFlow derives from `sparse_softmax_cross_entropy_with_logits` subtracts the targets
    and divides by the batch in `[B, N]` matrices, of which each costs as much as the softmax.
    Here the probabilities are the only one beside the logits: all else is done in `[B, d]` rows.
    The gradient is derived once; a second derivative would be wrong, and is not needed.

    Args:
      users: `[B, d] float32`.
      items: `[N, d] float32`.
      bias: `[N] float32`.
      targets: `[B] int32`, rows of `items`; no gradient reaches them.

    Returns:
      `[] float32`, in nats.

    Example:
      >>> even = tf.zeros([1, 1]), tf.zeros([4, 1]), tf.zeros([4]), tf.constant([2])
      >>> round(float(next_item_loss(*even)), 4)  # log 4
      1.3863
    """
    logits = tf.matmul(users, items, transpose_b=True) + bias
    own = tf.gather(logits, targets, batch_dims=1)
    # Where only gradients are asked for, the graph drops this line.
    loss = tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - own)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, None]:
        likely = tf.nn.softmax(logits)
        share = upstream / tf.cast(tf.shape(users)[0], tf.float32)
        scaled, rows = users * share, targets[:, None]
        of_users = share * (tf.matmul(likely, items) - tf.gather(items, targets))
        of_items = tf.matmul(likely, scaled, transpose_a=True)
        of_bias = share * tf.reduce_sum(likely, axis=0)
        return (
            of_users,
            tf.tensor_scatter_nd_sub(of_items, rows, scaled),
            tf.tensor_scatter_nd_sub(of_bias, rows, tf.fill(tf.shape(targets), share)),
            None,
        )

    return loss, gradient
