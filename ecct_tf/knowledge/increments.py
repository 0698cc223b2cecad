"""What devices tell the cloud of items that go together: a sum that has no rows.

A device looks at its newest interactions, which the cloud never sees, and counts which items came
shortly before them. The counts go into a count sketch (Charikar, Chen and Farach-Colton 2002): a
pair is added, with a sign of its own, to one bucket in each of a few hash rows, so that what
crosses does not grow with the pairs that there could be. How often each item takes part is sent
exactly. All numbers are small integers: they can be summed where nobody sees a summand, and their
sum has the same bits in any order.

This module is the device's half; `ecct_tf.knowledge.pair_counts` reads the sum.
"""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import IncrementConfig

__all__ = [
    "UNIT",
    "IncrementSpec",
    "device_increments",
    "padded_histories",
]

# What a pair counts, so that the shares by which distance lessens it are integers too.
UNIT = 16
# "Soon after" reaches this far, as in the cloud's own block.
_WINDOW = 8

_PRIME = 2**31 - 1
_HASHES = 0x1C4E
_MARGINS = 3


@dataclasses.dataclass(frozen=True)
class IncrementSpec:
    """The form of what one device sends: `[size] int32`.

    First the buckets, row by row; then, by item, padding included: how often it was new to a
    device, what it weighs as first and as second of "soon after".

    Attributes:
      num_items: the largest item id.
      config: how pairs are counted; its `positions` are a number.
      sequence_decay: "j came d steps after i" weighs `sequence_decay**d`.
    """

    num_items: int
    config: IncrementConfig
    sequence_decay: float

    @property
    def positions(self) -> int:
        """Newest interactions of a user that are counted."""
        return self.config.positions or 0

    @property
    def buckets(self) -> int:
        """Buckets of all rows."""
        return self.config.rows * self.config.width

    @property
    def size(self) -> int:
        """Numbers that a device sends."""
        return self.buckets + _MARGINS * (self.num_items + 1)

    @property
    def largest(self) -> int:
        """The largest of these numbers; the least is its negative."""
        return int(2 ** (self.config.bits - 1)) - 1

    @property
    def least(self) -> int:
        """The least of the numbers that a user adds."""
        return -self.largest

    @property
    def clip(self) -> float:
        """The largest Euclidean norm of what a device sends, in its own units."""
        return UNIT * self.config.clip_norm

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on each number of the sum, in their units."""
        return self.config.noise_multiplier * self.clip

    @property
    def weights(self) -> npt.NDArray[np.int32]:
        """`[distances] int32`: what "soon after" counts at distances 1, 2, … while it counts."""
        steps = np.arange(1, _WINDOW + 1)
        weights = np.round(UNIT * self.sequence_decay**steps).astype(np.int32)
        found: npt.NDArray[np.int32] = weights[: max(1, np.count_nonzero(weights))]
        return found

    def sum_bits(self, users: int) -> int:
        """Bits of one number of the sum of `users`: a masked summand is as wide.

        >>> IncrementSpec(9, IncrementConfig(bits=8), 0.5).sum_bits(200)
        16
        """
        return self.config.bits + math.ceil(math.log2(max(users, 1)))

    def encoded_bytes(self, users: int) -> int:
        """Bytes that one device sends in a secure sum of `users`.

        >>> spec = IncrementSpec(9, IncrementConfig(rows=1, width=2, bits=8), 0.5)
        >>> spec.size, spec.encoded_bytes(1), spec.encoded_bytes(200)
        (32, 32, 64)
        """
        return -(-self.size * self.sum_bits(users) // 8)

    def told(self, histories: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
        """`device_increments` of this form."""
        return device_increments(self, histories, recent)

    def places(self, first: tf.Tensor, second: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Where "second soon after first" is counted, and with which sign, in each row.

        Args:
          first: int64, of any shape; NumPy arrays serve, too.
          second: likewise.

        Returns:
          For each row the index in the vector and 1 or -1, both int64 of that shape.
        """
        drawn = np.random.default_rng(_HASHES).integers(1, _PRIME, (self.config.rows, 2, 3))
        found = []
        for row, numbers in enumerate(drawn.tolist()):
            bucket, sign = ((a * first + b * second + c) % _PRIME for a, b, c in numbers)
            found.append((bucket % self.config.width + row * self.config.width, 1 - 2 * (sign % 2)))
        return found


def padded_histories(
    histories: list[npt.NDArray[np.int32]],
) -> npt.NDArray[np.int32]:
    """Histories of one length, `[C, L] int32`, padded with 0 at the front."""
    length = max([1, *map(len, histories)])
    padded = np.zeros((len(histories), length), np.int32)
    for row, history in zip(padded, histories, strict=True):
        if len(history):
            row[-len(history) :] = history
    return padded


def device_increments(spec: IncrementSpec, histories: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
    """What C devices send.

    Args:
      spec: the form.
      histories: `[C, L] int32`, whole training histories, newest last, padded with 0 in front.
      recent: `[C] int32`, how many of the newest the cloud does not know.

    Returns:
      `[C, size] int32`, each row of at most `spec.clip` in norm, no number beyond `spec.largest`.
    """
    count, reach = spec.positions, len(spec.weights)
    rows = tf.shape(histories)[0]
    padded = tf.pad(tf.cast(histories, tf.int64), [[0, 0], [count + reach, 0]])
    newest = padded[:, -count:]
    ages = tf.range(count - 1, -1, -1)
    counted = (ages < recent[:, None]) & (newest > 0)
    lags = [padded[:, -count - lag : -lag] for lag in range(1, reach + 1)]
    before = tf.stack(lags, axis=-1)  # [C, count, reach]
    own = tf.broadcast_to(newest[..., None], tf.shape(before))
    weights = spec.weights * tf.cast(counted[..., None] & (before > 0), tf.int32)

    length = tf.shape(padded)[1]
    earlier = tf.range(length) < length - 1 - ages[:, None]
    # Not `==`, which compares objects where TFF traces.
    same = tf.equal(padded[:, None, :], newest[:, :, None])
    met = tf.reduce_any(same & earlier, axis=-1)
    new = UNIT * tf.cast(counted & ~met, tf.int32)

    items = spec.num_items + 1
    parts = [
        *((place, weights * tf.cast(sign, tf.int32)) for place, sign in spec.places(before, own)),
        (spec.buckets + newest, new),
        (spec.buckets + items + before, weights),
        (spec.buckets + 2 * items + own, weights),
    ]
    places = tf.concat([tf.reshape(index, [rows, -1]) for index, _ in parts], axis=1)
    numbers = tf.concat([tf.reshape(weight, [rows, -1]) for _, weight in parts], axis=1)
    whole = tf.range(rows, dtype=tf.int64)[:, None] * spec.size + places
    added = tf.math.unsorted_segment_sum(
        tf.reshape(numbers, [-1]), tf.reshape(whole, [-1]), rows * spec.size
    )
    return _clipped(spec, tf.reshape(added, [rows, spec.size]))


def _clipped(spec: IncrementSpec, increments: tf.Tensor) -> tf.Tensor:
    """Rounding towards zero keeps the norm below its bound."""
    exact = tf.cast(increments, tf.float64)
    norm = tf.sqrt(tf.reduce_sum(exact**2, axis=1, keepdims=True))
    scaled = tf.cast(exact * (spec.clip / tf.maximum(norm, spec.clip)), tf.int32)
    return tf.clip_by_value(scaled, -spec.largest, spec.largest)
