"""Shared weights that cross in some rounds only: when, to whom, and what devices keep until then.

In the first of `every` rounds devices receive the mean, in the next they go on from weights of
their own, and in the last they send their change. Until then it is theirs: a device that misses the
last round keeps its change, adds it to the next mean that it receives, and sends it with the next
change. With `every=1` all of it happens in one round, and nothing is kept.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

__all__ = ["ShareSchedule", "Shares", "kept_change", "with_change"]

Ids = npt.NDArray[np.int64]
Shares = npt.NDArray[np.int32]
"""`[devices] int32`: of which period each device has the mean, -1 for none."""


@dataclasses.dataclass(frozen=True)
class ShareSchedule:
    """In which rounds shared weights cross.

    Attributes:
      every: rounds in a period: one mean is received and one change sent in each.

    Example:
      >>> [ShareSchedule(3).sends(number) for number in range(6)]
      [False, False, True, False, False, True]
    """

    every: int = 1

    @property
    def waits(self) -> bool:
        """Whether devices keep changes from round to round."""
        return self.every > 1

    def period(self, round_number: int) -> int:
        """Periods that were over before a round; `round_number` counts the rounds before it."""
        return round_number // self.every

    def begins(self, round_number: int) -> bool:
        """Whether a round is the first of a period, after which the mean is a new one."""
        return round_number % self.every == 0

    def sends(self, round_number: int) -> bool:
        """Whether a round is the last of a period, in which changes cross."""
        return (round_number + 1) % self.every == 0

    def crossings(self, rounds: range) -> int:
        """How often shared weights cross for a device of all `rounds`, in both directions together.

        >>> ShareSchedule(1).crossings(range(10)), ShareSchedule(4).crossings(range(10))
        (20, 5)
        """
        return sum(self.begins(number) + self.sends(number) for number in rounds)

    def none(self, devices: int) -> Shares | None:
        """Of devices that have received nothing; None where nobody needs to know."""
        return np.full(devices, -1, np.int32) if self.waits else None

    def receiving(
        self, shares: Shares | None, participants: Ids, *, round_number: int
    ) -> npt.NDArray[np.bool_]:
        """`[participants] bool`: who receives the mean, since it has an older one or none."""
        if shares is None:
            return np.ones(len(participants), np.bool_)
        return shares[participants] < self.period(round_number)

    def received(
        self, shares: Shares | None, participants: Ids, *, round_number: int
    ) -> Shares | None:
        """What each device has after a round."""
        if shares is None:
            return None
        after = shares.copy()
        after[participants] = self.period(round_number)
        return after


def with_change(shared: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The weights that a device trains on, from what it received and what it kept.

    Args:
      shared: `[..., P_shared] float32`, as received.
      kept: `[..., P_shared + P_private] float32`, its own change and its private weights.

    Returns:
      Shared weights with the change, and private ones.
    """
    size = shared.shape[-1]
    return shared + kept[..., :size], kept[..., size:]


def kept_change(change: tf.Tensor, private: tf.Tensor, *, crosses: bool) -> tf.Tensor:
    """What a device keeps after a round, in the form that `with_change` takes.

    Args:
      change: `[..., P_shared] float32`, of the shared weights since it received them.
      private: `[..., P_private] float32`.
      crosses: whether the change was sent, so that none is left.
    """
    return tf.concat([tf.zeros_like(change) if crosses else change, private], axis=-1)
