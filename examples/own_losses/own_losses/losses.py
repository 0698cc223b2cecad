"""A pairwise hinge, Brier's score and matched logits, whose gradients phones can compute."""

import tensorflow as tf

from ecct_tf.edge import EdgeLoss, layers

__all__ = ["hinge", "matched", "squared"]


def hinge() -> EdgeLoss:
    """How far each negative is from being behind its position's own item by 1."""
    return EdgeLoss(_behind, by_position=True)


def squared() -> EdgeLoss:
    """Brier's score: the squared distance of each probability from its label."""
    return EdgeLoss(_brier)


def matched(temperature: float) -> EdgeLoss:
    """For `training.distillation_loss`: the squared distance from the cloud's logits."""
    del temperature  # At a high one the tempered cross-entropy comes to this.
    return EdgeLoss(_distance)


def _behind(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """`[..., P, N]`, one value for each negative."""
    del labels  # By position the item is the first.
    own, others = layers.split(logits, [1, logits.shape[-1] - 1])
    behind = layers.subtract(layers.concat([own] * others.shape[-1]), others)
    return layers.relu(layers.subtract(tf.ones_like(behind), behind))


def _brier(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    apart = layers.subtract(layers.sigmoid(logits), labels)
    return layers.multiply(apart, apart)


def _distance(logits: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    apart = layers.subtract(logits, teacher)
    return layers.multiply(apart, apart)
