"""Guards inside the graph: nothing that a caller passes may poison or crash the model.

They leave every legitimate value as it is, bit by bit, and use builtin operators only.
Comparisons with NaN are false, which is what the selections below rest on. What they put in
is a scalar: a tensor of zeros of a known shape would be stored in the file.
"""

import numpy as np
import tensorflow as tf

from ecct_tf.config import CLOCK_CONTEXT, FeatureConfig

__all__ = [
    "LARGEST_EMBEDDING",
    "LARGEST_GRADIENT_NORM",
    "LARGEST_PAUSE",
    "LARGEST_WEIGHTS_NORM",
    "at_most",
    "bounded_or_zero",
    "finite",
    "finite_or_huge",
    "known_ids",
    "norm",
    "plausible",
    "silent_unless_possible",
    "unit",
    "whole",
]

LARGEST_WEIGHTS_NORM = 1e4
LARGEST_EMBEDDING = 1e3
# Inputs are clipped to ±10, so that a gradient of real samples stays far below.
LARGEST_GRADIENT_NORM = 1e3
# In hours, more than a thousand years.
LARGEST_PAUSE = 1e7

_FINITE = 3e38


def known_ids(ids: tf.Tensor, rows: int) -> tf.Tensor:
    """Ids outside `[0, rows)` become 0, the padding or unknown row; `[...] int32`."""
    return tf.where(tf.logical_and(ids >= 0, ids < rows), ids, 0)


def bounded_or_zero(values: tf.Tensor, largest: float) -> tf.Tensor:
    """Values that are not finite, or larger than `largest`, become 0; `[...] float32`."""
    return tf.where(tf.abs(values) <= largest, values, 0.0)


def possible_reading(clock: tf.Tensor, features: FeatureConfig) -> tf.Tensor:
    """Readings with what cannot be as nothing: the time as a whole, each code of the context.

    Args:
      clock: `[..., W] float32`.
      features: how readings are made.
    """
    if not features.context:
        return silent_unless_possible(clock)
    width = features.time_width
    codes = clock[..., width:]
    most = np.array([len(words) for words in features.context.values()], np.float32)
    codes = tf.where(tf.logical_and(codes >= 0.0, codes <= most), codes, 0.0)
    if not width:
        return codes
    return tf.concat([silent_unless_possible(clock[..., :width]), codes], axis=-1)


def silent_unless_possible(clock: tf.Tensor) -> tf.Tensor:
    """Readings of the clock, silent where a value is not finite or none that a clock gives.

    Args:
      clock: `[..., W] float32`.
    """
    least = np.zeros(clock.shape[-1], np.float32)
    most = np.full(clock.shape[-1], LARGEST_PAUSE, np.float32)
    # Whether the time is known; sines and cosines behind the place in the session.
    most[0] = 1.0
    least[2 : len(CLOCK_CONTEXT)], most[2 : len(CLOCK_CONTEXT)] = -1.0, 1.0
    fine = tf.logical_and(clock >= least, clock <= most)
    all_fine = tf.reduce_min(tf.cast(fine, tf.float32), axis=-1, keepdims=True)
    return tf.where(all_fine > 0.0, clock, 0.0)


def unit(values: tf.Tensor) -> tf.Tensor:
    """Labels, masks and learning rates: clipped to [0, 1], not finite to 0; `[...] float32`."""
    return tf.clip_by_value(bounded_or_zero(values, _FINITE), 0.0, 1.0)


def finite(values: tf.Tensor) -> tf.Tensor:
    """1 where a value is a finite number, else 0; `[...] float32`."""
    return tf.cast(tf.abs(values) <= _FINITE, tf.float32)


def finite_or_huge(values: tf.Tensor) -> tf.Tensor:
    """What is not finite becomes a number that no guard lets pass; `[...] float32`."""
    return tf.where(tf.abs(values) <= _FINITE, values, 1.1 * _FINITE)


def plausible(values: tf.Tensor, largest: float) -> tf.Tensor:
    """Whether all of `[n] float32` are finite and at most `largest`: `[1] float32`, 0 or 1."""
    fine = tf.cast(tf.abs(values) <= largest, tf.float32)
    return tf.reduce_min(fine, axis=0, keepdims=True)


def norm(values: tf.Tensor) -> tf.Tensor:
    """Euclidean norm of `[n] float32`, as `[1]`; not finite when a value is not."""
    return tf.sqrt(tf.reduce_sum(values * values, axis=0, keepdims=True))


def at_most(value: tf.Tensor, largest: float) -> tf.Tensor:
    """1 where `value` `[1] float32` is finite and at most `largest`, else 0; `[1] float32`."""
    return tf.cast(value <= largest, tf.float32)


def whole(active: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """`new` when `active` `[1]` is 1, else `old`, whatever `new` holds; both `[n] float32`.

    A scalar condition makes it a copy; `tf.where` would compare value by value.
    """
    return tf.raw_ops.Select(condition=active[0] > 0.0, x=new, y=old)
