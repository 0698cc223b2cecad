"""What devices tell the cloud of single items: a sum of who met which lately.

The cloud knows how often users met an item long ago, and nothing of their newest interactions.
Each device sends one bit an item, whether it is among its newest interactions; only the sum over
devices leaves them. It is one more attribute in the item table, the popularity of late.

The cloud plays it through on its own view: newest interactions that it hides from itself stand
for those of devices, and starting weights learn what recent popularity is worth. Inferred: the
paper exchanges nothing of items but what belongs to a user.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import RecentPopularityConfig

__all__ = [
    "PopularitySpec",
    "believed_counts",
    "newest_counts",
    "recent_popularity",
    "without_one",
]

Array = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

# Counts below it differ little: whether one user met an item or nobody may be chance.
_SMOOTHING = 2.0


@dataclasses.dataclass(frozen=True)
class PopularitySpec:
    """The form of what one device sends: `[size] int32`, for each item 0 or 1, padding included.

    Attributes:
      num_items: the largest item id.
      config: how many interactions are looked at; its `positions` are a number.
    """

    num_items: int
    config: RecentPopularityConfig

    least = 0
    """The least of the numbers that a user adds."""

    @property
    def positions(self) -> int:
        """Newest interactions of a user that are told of."""
        return self.config.positions or 0

    @property
    def size(self) -> int:
        """Numbers that a device sends."""
        return self.num_items + 1

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on each number of the sum.

        A user changes at most `positions` numbers by 1, so that the norm is bounded by the root.
        """
        return self.config.noise_multiplier * math.sqrt(self.positions)

    def sum_bits(self, users: int) -> int:
        """Bits of one number of the sum of `users`: a masked summand is as wide.

        >>> PopularitySpec(9, RecentPopularityConfig()).sum_bits(943)
        10
        """
        return max(1, math.ceil(math.log2(max(users, 1) + 1)))

    def encoded_bytes(self, users: int) -> int:
        """Bytes that one device sends in a secure sum of `users`.

        >>> PopularitySpec(1682, RecentPopularityConfig()).encoded_bytes(943)
        2104
        """
        return -(-self.size * self.sum_bits(users) // 8)

    def attribute(self, counts: Counts, older: Counts) -> Array:
        """What the item table says: `recent_popularity` of as much as is believed.

        Args:
          counts: `[items + 1] int64`, users who met each item lately.
          older: `[items + 1] int64`, older interactions with each.
        """
        if self.config.max_growth is not None:
            counts = believed_counts(counts, older, max_growth=self.config.max_growth)
        return recent_popularity(counts)

    def told(self, histories: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
        """What C users add.

        Args:
          histories: `[C, L] int32`, whole training histories, newest last, padded with 0 in front.
          recent: `[C] int32`, how many of the newest the cloud does not know.

        Returns:
          `[C, size] int32`.

        >>> spec = PopularitySpec(4, RecentPopularityConfig(positions=2))
        >>> histories = tf.constant([[1, 2, 3, 4], [0, 1, 1, 2]])
        >>> spec.told(histories, tf.constant([3, 1])).numpy().tolist()
        [[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]]
        """
        length = tf.shape(histories)[1]
        ages = tf.range(length - 1, -1, -1)
        # No history is longer; a larger number would not be one of 32 bits.
        most = min(self.positions, tf.int32.max)
        # Not `==`, which compares objects where TFF traces.
        counted = (ages < tf.minimum(recent, most)[:, None]) & (histories > 0)
        rows = tf.shape(histories)[0]
        places = tf.where(counted, tf.cast(histories, tf.int32), 0)
        whole = tf.range(rows)[:, None] * self.size + places
        met = tf.math.unsorted_segment_max(
            tf.reshape(tf.cast(counted, tf.int32), [-1]),
            tf.reshape(whole, [-1]),
            rows * self.size,
        )
        # Of a segment without members the least integer.
        told: tf.Tensor = tf.reshape(tf.maximum(met, 0), [rows, self.size])
        return told


def recent_popularity(counts: npt.NDArray[np.integer[Any]]) -> Array:
    """The attribute of the item table: `log(1 + counts / 2)`, `[items + 1] float32`.

    A fixed form, so that a device can take its own interaction out (`without_one`).

    Args:
      counts: `[items + 1]`, users who met each item lately; what noise took below zero is nothing.

    >>> recent_popularity(np.array([7, 0, 2, -1]))
    array([0.       , 0.       , 0.6931472, 0.       ], dtype=float32)
    """
    found = np.log1p(np.maximum(counts, 0) / _SMOOTHING).astype(np.float32)
    found[0] = 0.0
    return found


def believed_counts(counts: Counts, older: Counts, *, max_growth: float) -> Counts:
    """`counts`, of each item at most so many times what older interactions make expect.

    The popularity of items that hardly anybody met is known badly: each is taken for one that was
    met by so many users more as would stand for one of late.

    Args:
      counts: `[items + 1] int64`, users who met each item lately.
      older: `[items + 1] int64`, older interactions with each.
      max_growth: how many times.

    >>> counts, older = np.array([0, 9, 8, 0, 3]), np.array([0, 40, 10, 30, 0])
    >>> believed_counts(counts, older, max_growth=2.0).tolist()
    [0, 9, 7, 0, 2]
    """
    # Noise takes counts below zero.
    rate = np.maximum(counts, 0).sum() / max(int(older.sum()), 1)
    found: Counts = np.minimum(counts, np.floor(max_growth * (1.0 + rate * older)))
    return found.astype(np.int64)


def without_one(values: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """What `recent_popularity` would say without one user, where `own` is 1.

    Whoever learns from an interaction must not read that very interaction in what all devices
    counted: of what a device will meet next, nothing is counted yet.

    Args:
      values: `[...] float32`, as the item table has them.
      own: `[...] float32`, 0 or 1, broadcast to `values`.

    >>> values = tf.constant(recent_popularity(np.array([0, 1, 2, 9])))
    >>> np.round(without_one(values, tf.constant([1.0, 1.0, 1.0, 0.0])), 3)
    array([0.   , 0.   , 0.405, 1.705], dtype=float32)
    """
    # The values say 1 / (counts + 2); nobody is taken out where nobody is counted.
    share = tf.minimum(tf.exp(-values) / _SMOOTHING, 1.0 / (_SMOOTHING + 1.0))
    fewer = tf.maximum(values + tf.math.log(1.0 - share), 0.0)
    found: tf.Tensor = values + own * (fewer - values)
    return found


def newest_counts(
    items: npt.NDArray[np.int32], offsets: Counts, *, newest: Counts, num_items: int
) -> Counts:
    """How many users have each item among so many of their newest interactions.

    Args:
      items: `[n] int32`, of all users, each history oldest first.
      offsets: `[users + 1] int64`, where each history begins.
      newest: `[users] int64`, how many of each are the newest.
      num_items: the largest item id.

    Returns:
      `[items + 1] int64`.

    >>> items, offsets = np.array([1, 2, 2, 3, 2], np.int32), np.array([0, 3, 5])
    >>> newest_counts(items, offsets, newest=np.array([2, 1]), num_items=3).tolist()
    [0, 0, 2, 0]
    """
    sizes = np.diff(offsets)
    users = np.repeat(np.arange(len(sizes)), sizes)
    left = np.repeat(offsets[1:], sizes) - np.arange(len(items))
    chosen = left <= np.repeat(newest, sizes)
    pairs = np.unique(users[chosen] * np.int64(num_items + 1) + items[chosen])
    counts: Counts = np.bincount(pairs % (num_items + 1), minlength=num_items + 1)
    return counts
