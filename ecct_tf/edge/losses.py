"""What a device's logits cost: losses of single samples, and losses of positions.

A position is an interaction of the user: its item, and the negatives that were drawn beside it.
Each loss brings its own gradient of TFLite's builtin operators, as `ecct_tf.edge.primitives` do.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ecct_tf.knowledge import binary_cross_entropy

__all__ = ["EdgeLoss", "bce", "bpr", "huber", "listwise", "sampled_softmax"]


@dataclasses.dataclass(frozen=True)
class EdgeLoss:
    """A loss that devices train by: of labels, or of the cloud's logits in their place.

    Attributes:
      of: `(logits, labels) -> losses`, pure, of operators that TFLite has built in, forward and in
        its gradient: `ecct_tf.edge.layers` has such ones. For a loss of single samples all three
        are `[..., B] float32`, the labels 1 for an interaction and 0 for a negative. By position
        logits and labels are `[..., P, 1 + N]`, the position's own item first, and the losses
        `[..., P]`, or `[..., P, K]` for K values of each position, whose mean counts. `...` is the
        device axis or empty; B and P are any numbers.
      by_position: whether a loss reads the samples of a position together.
    """

    of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    by_position: bool = False


def bce() -> EdgeLoss:
    """Binary cross-entropy of each sample."""
    return EdgeLoss(_entropy)


def huber() -> EdgeLoss:
    """Huber's loss of each sample: half the squared distance of its logit from its label.

    From a distance of 1 on it is the distance less a half, so that a label that is far off pulls no
    harder than others (P. J. Huber, The Annals of Mathematical Statistics 35, 1964).
    """
    return EdgeLoss(_huber)


def bpr() -> EdgeLoss:
    """`-log σ(own - negative)`, mean over the negatives of a position (arXiv 1205.2618)."""
    return EdgeLoss(_pairwise, by_position=True)


def sampled_softmax() -> EdgeLoss:
    """`-log softmax` of a position's own item among it and its negatives.

    Negatives are drawn uniformly, so that no correction for their popularity is due.
    """
    return EdgeLoss(_listwise, by_position=True)


def listwise(temperature: float) -> EdgeLoss:
    """Cross-entropy of the softmax over a position with the teacher's, both tempered.

    Args:
      temperature: T; the factor T² keeps the gradient's scale independent of it.
    """

    @tf.custom_gradient
    def of(logits: tf.Tensor, teacher: tf.Tensor) -> Any:
        student, target = (_log_softmax(part / temperature) for part in (logits, teacher))

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            gap = tf.exp(student) - tf.exp(target)
            return upstream[..., None] * (temperature * gap), tf.zeros_like(teacher)

        each = -(temperature**2) * tf.exp(target) * student
        return tf.reduce_sum(each, axis=-1), gradient

    return EdgeLoss(of, by_position=True)


def _log_softmax(logits: tf.Tensor) -> tf.Tensor:
    below = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    return below - tf.math.log(tf.reduce_sum(tf.exp(below), axis=-1, keepdims=True))


@tf.custom_gradient
def _entropy(logits: tf.Tensor, labels: tf.Tensor) -> Any:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return upstream * (tf.sigmoid(logits) - labels), tf.zeros_like(labels)

    return binary_cross_entropy(logits, labels), gradient


@tf.custom_gradient
def _huber(logits: tf.Tensor, labels: tf.Tensor) -> Any:
    apart = logits - labels
    near = tf.clip_by_value(apart, -1.0, 1.0)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return upstream * near, tf.zeros_like(labels)

    return near * (apart - 0.5 * near), gradient


@tf.custom_gradient
def _pairwise(logits: tf.Tensor, labels: tf.Tensor) -> Any:
    own, others = _apart(logits)
    behind = others - own
    count = float(int(logits.shape[-1]) - 1)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        slope = tf.sigmoid(behind) / count
        slopes = tf.concat([-tf.reduce_sum(slope, axis=-1, keepdims=True), slope], axis=-1)
        return upstream[..., None] * slopes, tf.zeros_like(labels)

    each = binary_cross_entropy(behind, tf.zeros_like(behind))
    return tf.reduce_sum(each, axis=-1) / count, gradient


@tf.custom_gradient
def _listwise(logits: tf.Tensor, labels: tf.Tensor) -> Any:
    own, others = _apart(logits)
    peak = tf.reduce_max(logits, axis=-1, keepdims=True)
    powers = tf.exp(logits - peak)
    total = tf.reduce_sum(powers, axis=-1, keepdims=True)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        target = tf.concat([tf.ones_like(own), tf.zeros_like(others)], axis=-1)
        return upstream[..., None] * (powers / total - target), tf.zeros_like(labels)

    return tf.squeeze(tf.math.log(total) + peak - own, axis=-1), gradient


def _apart(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The logit of the position's own item, `[..., 1]`, and those of its negatives."""
    own, others = tf.split(logits, [1, int(logits.shape[-1]) - 1], axis=-1)
    return own, others
