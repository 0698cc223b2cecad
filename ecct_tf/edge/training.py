"""Training one edge model on samples that lie in one place: a step of Adam on a batch."""

from collections.abc import Callable

import tensorflow as tf

from ecct_tf.edge.dropout import row_keys
from ecct_tf.edge.model import EdgeInputs, EdgeModel
from ecct_tf.edge.optimizers import build_optimizer

__all__ = ["PooledStep", "pooled_step"]

_EPSILON = 1e-7

PooledStep = Callable[
    [tf.Tensor, tf.Tensor, tf.Tensor, EdgeInputs, tf.Tensor],
    tuple[tf.Tensor, tf.Tensor, tf.Tensor],
]


def pooled_step(model: EdgeModel, *, learning_rate: float, weight_decay: float) -> PooledStep:
    """A step of Adam on the mean binary cross-entropy of a batch, to be traced by the caller.

    Args:
      model: the edge architecture.
      learning_rate: of Adam.
      weight_decay: how strongly all weights are pulled towards zero (decoupled).

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
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(
                labels=labels, logits=model.forward(weights, inputs).logit
            )
            loss = tf.reduce_mean(entropy)
        gradient = tape.gradient(loss, weights)
        updated, new_slots = optimizer.apply(
            weights, gradient, tuple(tf.unstack(slots, num=2)), number, rate
        )
        return updated - rate * weight_decay * weights, tf.stack(new_slots), loss

    return step
