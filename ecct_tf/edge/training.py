"""Training one edge model on samples that lie in one place: a step of Adam on a batch."""

from collections.abc import Callable

import tensorflow as tf

from ecct_tf.edge.dropout import row_keys
from ecct_tf.edge.losses import EdgeLoss, bce
from ecct_tf.edge.model import EdgeInputs, EdgeModel
from ecct_tf.edge.optimizers import build_optimizer

__all__ = ["PooledStep", "pooled_step"]

_BCE = bce()
_EPSILON = 1e-7
# A loss by position says nothing of the level of logits: so much of the cross-entropy sets it.
_LEVEL = 0.1

PooledStep = Callable[
    [tf.Tensor, tf.Tensor, tf.Tensor, EdgeInputs, tf.Tensor],
    tuple[tf.Tensor, tf.Tensor, tf.Tensor],
]


def pooled_step(
    model: EdgeModel,
    *,
    learning_rate: float,
    weight_decay: float,
    loss: EdgeLoss = _BCE,
    group_size: int = 1,
) -> PooledStep:
    """A step of Adam on the mean loss of a batch, to be traced by the caller.

    Args:
      model: the edge architecture.
      learning_rate: of Adam.
      weight_decay: how strongly all weights are pulled towards zero (decoupled).
      loss: of the labels. One by position is joined by a tenth of the binary cross-entropy, which
        keeps logits at the level of those that learn sample by sample.
      group_size: rows of a position, `1 + N`, for a loss by position; batches then hold whole
        positions, the own item of each first.

    Returns:
      `(weights [P], slots [2, P], number of the step from 1 [], inputs of B pairs,
      labels [B]) -> (weights, slots, loss [])`, all `float32`.
    """
    optimizer = build_optimizer("adam", adam_epsilon=_EPSILON)
    rate = tf.constant(learning_rate)

    def step(
        weights: tf.Tensor,
        slots: tf.Tensor,
        number: tf.Tensor,
        inputs: EdgeInputs,
        labels: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if model.reads_dropout:
            keys = row_keys(tf.reshape(number, [1]), labels, items=None)
            inputs = inputs._replace(dropout=keys)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            total = _mean_loss(model.forward(weights, inputs).logit, labels, loss, group_size)
        gradient = tape.gradient(total, weights)
        updated, new_slots = optimizer.apply(
            weights, gradient, tuple(tf.unstack(slots, num=2)), number, rate
        )
        return updated - rate * weight_decay * weights, tf.stack(new_slots), total

    return step


def _mean_loss(logits: tf.Tensor, labels: tf.Tensor, loss: EdgeLoss, group_size: int) -> tf.Tensor:
    if loss != _BCE and not loss.by_position:
        return tf.reduce_mean(loss.of(logits, labels))
    entropy = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
    if not loss.by_position:
        return entropy
    by_position = (tf.reshape(part, [-1, group_size]) for part in (logits, labels))
    return tf.reduce_mean(loss.of(*by_position)) + _LEVEL * entropy
