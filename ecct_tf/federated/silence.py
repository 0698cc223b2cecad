"""Which answers are worth an uplink."""

import tensorflow as tf

from ecct_tf.fixed_order import sum_halves

__all__ = ["worth_sending"]


def worth_sending(logits: tf.Tensor, expected: tf.Tensor, *, bound: float) -> tf.Tensor:
    """Whose answers differ from what the cloud says already.

    Computed in one order whatever the shard, so that the same devices are silent in each.

    Args:
      logits: `[n, Q] float32`, `z_e`.
      expected: `[n, Q] float32`, `z_c`.
      bound: root mean square difference from which on an answer is sent.

    Returns:
      `[n] bool`.

    Example:
      >>> answers, told = [[0.0, 4.0], [2.0, 2.0]], [[3.0, 0.0], [2.0, 0.0]]
      >>> worth_sending(tf.constant(answers), tf.constant(told), bound=2.0).numpy().tolist()
      [True, False]
    """
    squares = sum_halves(tf.square(logits - expected), axis=-1)
    return squares >= logits.shape[-1] * bound**2
