"""Guards inside the graph: nothing that a caller passes may poison or crash the model.

They leave every legitimate value as it is, bit by bit, and use builtin operators only.
Comparisons with NaN are false, which is what the selections below rest on. What they put in
is a scalar: a tensor of zeros of a known shape would be stored in the file.
"""

import tensorflow as tf

__all__ = [
    "LARGEST_EMBEDDING",
    "LARGEST_GRADIENT_NORM",
    "LARGEST_RATE",
    "LARGEST_WEIGHT",
    "bounded_or_zero",
    "gate",
    "known_ids",
    "plausible",
    "rate",
    "unit",
]

LARGEST_WEIGHT = 1e4
LARGEST_EMBEDDING = 1e3
LARGEST_RATE = 1.0
# Inputs are clipped to ±10, so that a gradient of real samples stays far below.
LARGEST_GRADIENT_NORM = 1e3


def known_ids(ids: tf.Tensor, rows: int) -> tf.Tensor:
    """Ids outside `[0, rows)` become 0, the padding or unknown row; `[...] int32`."""
    return tf.where(tf.logical_and(ids >= 0, ids < rows), ids, 0)


def bounded_or_zero(values: tf.Tensor, largest: float) -> tf.Tensor:
    """Values that are not finite, or larger than `largest`, become 0; `[...] float32`."""
    return tf.where(tf.abs(values) <= largest, values, 0.0)


def unit(values: tf.Tensor) -> tf.Tensor:
    """Labels and masks: clipped to [0, 1], NaN to 0; `[...] float32`."""
    return tf.clip_by_value(bounded_or_zero(values, 3e38), 0.0, 1.0)


def rate(values: tf.Tensor) -> tf.Tensor:
    """Learning rates: clipped to [0, 1]; infinite or NaN ones become 0; `[1] float32`."""
    return tf.clip_by_value(bounded_or_zero(values, 3e38), 0.0, LARGEST_RATE)


def plausible(values: tf.Tensor, largest: float) -> tf.Tensor:
    """Whether all of `[n] float32` are finite and at most `largest`: `[1] float32`, 0 or 1."""
    fine = tf.cast(tf.abs(values) <= largest, tf.float32)
    return tf.reduce_min(fine, axis=0, keepdims=True)


def gate(gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Lets a gradient pass unless it exploded.

    Args:
      gradient: `[P] float32`.

    Returns:
      The gradient, zero where it is not finite, its Euclidean norm `[1]`, and whether the
      step may be applied, `[1]`, 0 or 1.
    """
    norm = tf.sqrt(tf.reduce_sum(gradient * gradient, axis=0, keepdims=True))
    passes = tf.cast(norm <= LARGEST_GRADIENT_NORM, tf.float32)
    finite_norm = bounded_or_zero(norm, 3e38)
    return bounded_or_zero(gradient, LARGEST_GRADIENT_NORM), finite_norm, passes
