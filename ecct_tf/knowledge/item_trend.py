"""What devices tell the cloud of single items: a sum of which item was new to how many.

The cloud knows how often users met an item long ago, and nothing of their newest interactions.
Each device sends one bit an item, whether it is among its newest interactions; only the sum over
devices leaves them. How far it lies above what older interactions make expect is the item's
trend, one more attribute in the item table.

The cloud plays it through on its own view: newest interactions that it hides from itself stand
for those of devices, and starting weights learn what a trend is worth. Inferred: the paper
exchanges nothing of items but what belongs to a user.
"""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import ItemTrendConfig

__all__ = ["ItemTrend", "TrendSpec", "newest_counts"]

Array = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

# So many more devices that met an item, and as many that were expected to.
_SMOOTHING = 2.0


@dataclasses.dataclass(frozen=True)
class TrendSpec:
    """The form of what one device sends: `[size] int32`, for each item 0 or 1, padding included.

    Attributes:
      num_items: the largest item id.
      config: how many interactions are looked at; its `positions` are a number.
    """

    num_items: int
    config: ItemTrendConfig

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

        >>> TrendSpec(9, ItemTrendConfig()).sum_bits(943)
        10
        """
        return max(1, math.ceil(math.log2(max(users, 1) + 1)))

    def encoded_bytes(self, users: int) -> int:
        """Bytes that one device sends in a secure sum of `users`.

        >>> TrendSpec(1682, ItemTrendConfig()).encoded_bytes(943)
        2104
        """
        return -(-self.size * self.sum_bits(users) // 8)

    def told(self, histories: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
        """What C users add.

        Args:
          histories: `[C, L] int32`, whole training histories, newest last, padded with 0 in front.
          recent: `[C] int32`, how many of the newest the cloud does not know.

        Returns:
          `[C, size] int32`.

        >>> spec = TrendSpec(4, ItemTrendConfig(positions=2))
        >>> histories, recent = np.array([[1, 2, 3, 4], [0, 1, 1, 2]]), np.array([3, 1])
        >>> spec.told(histories, recent).numpy().tolist()
        [[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]]
        """
        length = tf.shape(histories)[1]
        ages = tf.range(length - 1, -1, -1)
        # Not `==`, which compares objects where TFF traces.
        counted = (ages < tf.minimum(recent, self.positions)[:, None]) & (histories > 0)
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


@dataclasses.dataclass(frozen=True)
class ItemTrend:
    """How the newest interactions with each item compare with older ones.

    Attributes:
      newest: `[items + 1] float64`, users who met it lately.
      older: `[items + 1] float64`, interactions before.
    """

    newest: npt.NDArray[np.float64]
    older: npt.NDArray[np.float64]

    @classmethod
    def of_sum(cls, spec: TrendSpec, total: Counts, older: Counts) -> "ItemTrend":
        """The trend that a sum tells; what noise took below zero counts as nothing.

        Args:
          spec: the form of the sum.
          total: `[size] int64`.
          older: `[items + 1] int64`, interactions that the cloud knows.
        """
        newest = np.maximum(total, 0).astype(np.float64)
        newest[0] = 0.0
        return cls(newest, older.astype(np.float64))

    @property
    def attribute(self) -> Array:
        """`[items + 1] float32`, standardised over the items; 0 for padding.

        >>> trend = ItemTrend(np.array([0.0, 8, 2, 0]), np.array([0.0, 10, 10, 10]))
        >>> trend.attribute.round(2).tolist()
        [0.0, 1.29, -0.15, -1.14]
        """
        raw = self._logs(0.0)[1:]
        return np.concatenate([[0.0], (raw - raw.mean()) / self._scale]).astype(np.float32)

    @property
    def attribute_without_one(self) -> Array:
        """`[items + 1] float32`: what `attribute` would be of an item if one user had not met it.

        A model that learns from an interaction must not read that interaction in the trend.
        """
        everything, fewer = self._logs(0.0)[1:], self._logs(1.0)[1:]
        return np.concatenate([[0.0], (fewer - everything.mean()) / self._scale]).astype(np.float32)

    @property
    def _scale(self) -> float:
        return max(float(self._logs(0.0)[1:].std()), 1e-6)

    def _logs(self, fewer: float) -> npt.NDArray[np.float64]:
        share = self.newest.sum() / max(self.older.sum(), 1.0)
        met = np.maximum(self.newest - fewer, 0.0)
        logs: npt.NDArray[np.float64] = np.log(
            (met + _SMOOTHING) / (share * self.older + _SMOOTHING)
        )
        return logs


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
