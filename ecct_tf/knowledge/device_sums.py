"""Sums of integers over devices, of which the cloud sees nothing but the sum.

Small integers can be summed where nobody sees a summand, and their sum has the same bits in any
order.
"""

from typing import Protocol

import tensorflow as tf

__all__ = ["SumSpec", "sum_of_devices", "with_noise"]


class SumSpec(Protocol):
    """The form of what one device sends; a value that can be hashed."""

    def __hash__(self) -> int: ...

    @property
    def size(self) -> int:
        """Numbers that a device sends."""

    @property
    def least(self) -> int:
        """The least of the numbers that a user adds, 0 or below."""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on each number of the sum; 0 for none."""

    def sum_bits(self, users: int) -> int:
        """Bits of one number of the sum of `users`: a masked summand is as wide."""

    def encoded_bytes(self, users: int) -> int:
        """Bytes that one device sends in a secure sum of `users`."""

    def told(self, histories: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
        """What C users add, `[C, size] int32`.

        Args:
          histories: `[C, L] int32`, whole training histories, newest last, padded with 0 in front.
          recent: `[C] int32`, how many of the newest the cloud does not know.
        """


def sum_of_devices(spec: SumSpec, histories: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
    """What C users send together, `[size] int64`; arguments as of `SumSpec.told`."""
    added = spec.told(histories, recent)
    total: tf.Tensor = tf.reduce_sum(tf.cast(added, tf.int64), axis=0)
    return total


def with_noise(spec: SumSpec, total: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """`total` `[size] int64` with the Gaussian noise that `spec` asks for, from `seed` `[2] int64`.

    Rounded, so that the sum stays one of integers.
    """
    if not spec.noise:
        return total
    drawn = tf.random.stateless_normal([spec.size], seed, dtype=tf.float64, alg="philox")
    noised: tf.Tensor = total + tf.cast(tf.round(spec.noise * drawn), tf.int64)
    return noised
