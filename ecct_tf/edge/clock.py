"""What a reading of the clock says about candidates, with TFLite builtin operators.

A time that is the same for all candidates of a list cannot rank them; it matters through what it
does to item features. So the dot products of the history with a candidate are pooled by elapsed
time as well, and pauses, session, hour and weekday stand beside them for the hidden layer.
"""

from collections.abc import Sequence

import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.config import CLOCK_CONTEXT, FeatureConfig

__all__ = ["clock_features", "context_inputs", "elapsed_weights", "is_known", "request_context"]

_MINUTES = 60.0
# Pauses are told apart from a minute to years, about 1 to 15 on the log scale.
_PAUSE_SCALE = 0.1


def is_known(clock: tf.Tensor) -> tf.Tensor:
    """1 where the time is known, else 0: `[..., 1, 1] float32` of `clock` `[..., W]`."""
    return tf.expand_dims(clock[..., :1], -2)


def elapsed_weights(clock: tf.Tensor, *, config: FeatureConfig, mask: tf.Tensor) -> tf.Tensor:
    """Weights of the slots for each of H hours, `[..., H, L] float32`, which sum to 1.

    A slot weighs as `h / (h + elapsed)`, half after h hours; slots that are empty nothing.

    Args:
      clock: `[..., W] float32`.
      config: the hours.
      mask: `[..., L] float32`, 1 where a slot is in use.
    """
    elapsed = tf.expand_dims(clock[..., len(CLOCK_CONTEXT) : config.time_width], -2)
    hours = tf.constant(config.clock_hours)[:, None]
    weights = hours / (hours + elapsed) * tf.expand_dims(mask, -2)
    return weights / tf.maximum(fixed_order.sum_last(weights, keepdims=True), 1e-6)


def request_context(clock: tf.Tensor, *, config: FeatureConfig) -> tf.Tensor:
    """Session, hour and weekday, pauses on a log scale of minutes: `[..., c] float32`.

    Args:
      clock: `[..., W] float32`.
      config: whose pauses, and whether there are hour and weekday.
    """
    columns = [clock[..., 1 : len(CLOCK_CONTEXT) if config.clock_calendar else 2]]
    if config.pause_slots:
        # All at once: a phone pays for each operator, whatever its size.
        hours = tf.gather(clock, [config.time_width - slot for slot in config.pause_slots], axis=-1)
        columns.append(_PAUSE_SCALE * tf.math.log(1.0 + _MINUTES * hours))
    return tf.concat(columns, axis=-1)


def context_inputs(clock: tf.Tensor, *, config: FeatureConfig) -> tf.Tensor:
    """1 for the value that each context column has, else 0: `[..., c] float32`.

    Args:
      clock: `[..., W] float32`, whose codes stand at the end; 0 is unknown.
      config: the columns and their values.
    """
    columns = []
    for place, values in enumerate(config.context.values()):
        code = clock[..., config.time_width + place : config.time_width + place + 1]
        known = tf.constant(list(range(1, len(values) + 1)), tf.float32)
        # Whole numbers: an equality, by operators that every runtime has.
        columns.append(tf.nn.relu(1.0 - tf.abs(code - known)))
    return tf.concat(columns, axis=-1)


def clock_features(
    by_time: Sequence[tf.Tensor], *, config: FeatureConfig, clock: tf.Tensor, rows: tf.Tensor
) -> list[tf.Tensor]:
    """Features of K candidates that come from the time, side by side, not yet scaled.

    Args:
      by_time: of each block `[..., K, H] float32`, products pooled by `elapsed_weights`; empty
        without hours.
      config: which features.
      clock: `[..., W] float32`.
      rows: the shape `[..., K]`, int32.

    Returns:
      `[..., K, n] float32` each.
    """
    context = tf.expand_dims(request_context(clock, config=config), -2)
    shape = tf.concat([rows, [context.shape[-1]]], axis=0)
    return [*by_time, tf.broadcast_to(context, shape)]
