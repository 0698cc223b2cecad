"""The losses through which the two sides teach each other.

Distillation compares two Bernoulli predictions at temperature T (Hinton et al.,
arXiv 1503.02531); the factor T² keeps the gradient's scale independent of T. That
ECCT exchanges prediction logits is from arXiv 2304.05871; the exact form here, a
binary cross-entropy against the tempered teacher, is inferred.
"""

import tensorflow as tf

__all__ = ["binary_cross_entropy", "distillation"]


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
