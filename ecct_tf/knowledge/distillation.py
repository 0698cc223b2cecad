"""The losses through which the two sides teach each other.

Distillation compares two Bernoulli predictions at temperature T (Hinton et al.,
arXiv 1503.02531); the factor T² keeps the gradient's scale independent of T. That
ECCT exchanges prediction logits is from arXiv 2304.05871; the exact form here, a
binary cross-entropy against the tempered teacher, is inferred.
"""

from typing import Any

import tensorflow as tf

__all__ = ["binary_cross_entropy", "collaborative_loss", "distillation"]


def binary_cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of `[...] float32` logits with targets in [0, 1], elementwise.

    Written as `relu(l) - l*y + log(1 + exp(-|l|))`: stable, and free of `Softplus`,
    which TFLite lacks.
    """
    return tf.nn.relu(logits) - logits * targets + tf.math.log(1.0 + tf.exp(-tf.abs(logits)))


def distillation(student: tf.Tensor, teacher: tf.Tensor, *, temperature: float) -> tf.Tensor:
    """Tempered cross-entropy of student logits with a teacher's, `[...] float32`, elementwise."""
    soft_targets = tf.sigmoid(teacher / temperature)
    return temperature**2 * binary_cross_entropy(student / temperature, soft_targets)


def collaborative_loss(
    logits: tf.Tensor,
    *,
    labels: tf.Tensor,
    teacher: tf.Tensor,
    weights: tf.Tensor,
    distillation_weight: float,
    temperature: float,
    taught: tf.Tensor | None = None,
) -> tf.Tensor:
    """`BCE(labels) + λ · KD(teacher -> logits)`, weighted mean over the last axis.

    Its gradient is written by hand, so that a `tf.GradientTape` through it stays within
    TFLite's builtin operators. Neither labels, teacher nor weights receive a gradient.

    Args:
      logits: `[..., B] float32`, the student's.
      labels: `[..., B] float32` in {0, 1}.
      teacher: `[..., B] float32` logits; ignored when `distillation_weight` is 0.
      weights: `[..., B] float32`, 0 for padding.
      distillation_weight: λ.
      temperature: T.
      taught: `[..., B] float32`, 0 where there is no teacher; None where there always is one.

    Returns:
      `[...] float32`, one loss for each device.
    """
    # A custom gradient says nothing of the tensors that its function closes over.
    labels, teacher, weights = (tf.stop_gradient(part) for part in (labels, teacher, weights))
    strength: Any = distillation_weight
    if taught is not None and distillation_weight:
        strength = distillation_weight * tf.stop_gradient(taught)

    @tf.custom_gradient
    def loss(student: tf.Tensor) -> Any:
        normalised = weights / tf.maximum(tf.reduce_sum(weights, axis=-1, keepdims=True), 1.0)
        each = binary_cross_entropy(student, labels)
        slope = tf.sigmoid(student) - labels
        if distillation_weight:
            each += strength * distillation(student, teacher, temperature=temperature)
            gap = tf.sigmoid(student / temperature) - tf.sigmoid(teacher / temperature)
            slope += strength * temperature * gap

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[..., None] * normalised * slope

        return tf.reduce_sum(each * normalised, axis=-1), gradient

    return loss(logits)
