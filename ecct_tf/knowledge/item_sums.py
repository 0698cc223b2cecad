"""What devices say of items, as sums that hold nobody's row: the device's half.

A device answers the cloud's questions as ever, and puts its answers into vectors with a place for
each item: what it says of the item, and zeros elsewhere. Only the sum of the vectors of many
devices leaves them, of small integers, so that it can be computed where nobody sees a summand.
What a device adds is bounded in norm, so that noise on the sum bounds what it tells of a device.

Which devices take part, and about which items each was asked, is the cloud's own doing: it is not
sent. Larger catalogs are hashed (a count sketch of one row, Charikar, Chen and Farach-Colton 2002),
anew in each round, so that items which share a bucket do not go on doing so.

`ecct_tf.knowledge.item_means` reads the sums.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import ItemSumConfig
from ecct_tf.fixed_order import sum_halves
from ecct_tf.knowledge.noise import noise_seed

__all__ = ["ItemSumSpec", "Payload"]

_PRIME = 2**31 - 1
# Multipliers and shifts of the hash of a round, and of what makes another of it each round.
_HASH = np.random.default_rng(0x17E5).integers(1, _PRIME, (2, 2, 3)).tolist()
_LARGEST_ANSWER = 2.0**26


class Payload(NamedTuple):
    """One of the sums.

    Attributes:
      name: `embeddings` or `logits`.
      width: numbers of an item.
      clip: the largest norm of what a device adds.
      start: its first number in the vector.
      unit: what 1 in the vector stands for.
      noise: standard deviation of the noise on each number of the sum, as `clip` is measured.
    """

    name: str
    width: int
    clip: float
    start: int
    unit: float
    noise: float


@dataclasses.dataclass(frozen=True)
class ItemSumSpec:
    """The form of the sums of a round.

    Attributes:
      num_items: the largest item id.
      embedding_dim: d_e.
      config: bounds and noise.
      with_logits: whether logits cross (stage 2).
    """

    num_items: int
    embedding_dim: int
    config: ItemSumConfig
    with_logits: bool = True

    @property
    def dense(self) -> bool:
        """Whether every item has a bucket of its own."""
        return self.num_items < self.config.width

    @property
    def buckets(self) -> int:
        """Places of a payload.

        >>> ItemSumSpec(9, 2, ItemSumConfig(width=16)).buckets
        10
        >>> ItemSumSpec(99, 2, ItemSumConfig(width=16)).buckets
        16
        """
        return self.num_items + 1 if self.dense else self.config.width

    @property
    def largest(self) -> int:
        """The largest number that a device sends; the least is its negative."""
        return int(2 ** (self.config.bits - 1)) - 1

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """The sums, in the order of the vector."""
        config, found, start = self.config, list[Payload](), 0
        forms = [("logits", 1, config.clip_logits)] if self.with_logits else []
        if config.embeddings:
            forms.insert(0, ("embeddings", self.embedding_dim, config.clip_embeddings))
        for name, width, clip in forms:
            noise = config.noise_multiplier * clip
            found.append(Payload(name, width, clip, start, clip / self.largest, noise))
            start += self.buckets * width
        return tuple(found)

    @property
    def size(self) -> int:
        """Numbers that a device sends, all payloads together."""
        return self.buckets * sum(payload.width for payload in self.payloads)

    def sum_bits(self, devices: int) -> int:
        """Bits of one number of the sum of `devices`: a masked summand is as wide."""
        return self.config.bits + math.ceil(math.log2(max(devices, 1)))

    def encoded_bytes(self, devices: int) -> int:
        """Bytes that one device sends in a secure sum of `devices`.

        >>> spec = ItemSumSpec(9, 2, ItemSumConfig(bits=8, embeddings=True))
        >>> spec.size, spec.encoded_bytes(1), spec.encoded_bytes(200)
        (30, 30, 60)
        """
        return -(-self.size * self.sum_bits(devices) // 8)

    def places(self, items: Any, round_number: Any) -> tuple[Any, Any]:
        """The bucket of each item in a round, and the sign with which it is added there.

        Args:
          items: int64 of any shape, TensorFlow's or NumPy's.
          round_number: int64.

        Returns:
          The buckets and 1 or -1, both int64 of that shape.
        """
        if self.dense:
            return items, items * 0 + 1
        hashes = []
        for numbers in _HASH:
            factor, shift = (
                (a * ((round_number * b + c) % _PRIME)) % _PRIME for a, b, c in numbers
            )
            hashes.append((factor * items + shift) % _PRIME)
        return hashes[0] % self.config.width, 1 - 2 * (hashes[1] % 2)

    def contribution(
        self,
        *,
        users: tf.Tensor,
        items: tf.Tensor,
        embeddings: tf.Tensor,
        logits: tf.Tensor,
        expected: tf.Tensor,
        round_number: tf.Tensor,
    ) -> tf.Tensor:
        """What C devices of U users each add to the sum.

        Of a logit it is how far it lies above what the cloud told, less the mean of that over the
        user's answers, which changes no ranking and would take up the bound.

        Args:
          users: `[C, U] int32`, -1 for none.
          items: `[C, U, Q] int32`, 0 for none.
          embeddings: `[C, U, Q, d_e] float32`.
          logits: `[C, U, Q] float32`, `z_e`.
          expected: `[C, U, Q] float32`, `z_c` as the device received it.
          round_number: `[] int32`, rounds done.

        Returns:
          `[size + 1] int64`: their vectors moved up so that no number is negative, since a secure
          sum is one of such, and the number of devices, by which `total` moves them back.
        """
        devices = tf.shape(users, tf.int64)[0]
        real = tf.cast((users >= 0)[..., None] & (items > 0), tf.float32)
        said = {
            "embeddings": embeddings * real[..., None],
            "logits": tf.expand_dims(_centred(logits - expected, real), -1),
        }
        places, signs = self.places(tf.cast(items, tf.int64), tf.cast(round_number, tf.int64))
        own = tf.reshape(tf.range(devices), [-1, 1, 1]) * self.buckets + places
        parts = []
        for payload in self.payloads:
            units = tf.clip_by_value(
                said[payload.name] / payload.unit, -_LARGEST_ANSWER, _LARGEST_ANSWER
            )
            # Integers from here on, so that sums are the same in any order.
            added = tf.math.unsorted_segment_sum(
                tf.reshape(tf.cast(units, tf.int64) * signs[..., None], [-1, payload.width]),
                tf.reshape(own, [-1]),
                devices * self.buckets,
            )
            vectors = tf.reshape(added, [devices, self.buckets * payload.width])
            parts.append(tf.reduce_sum(self._bounded(vectors), axis=0))
        moved = tf.concat(parts, axis=0) + self.largest * devices
        return tf.concat([moved, devices[None]], axis=0)

    def _bounded(self, vectors: tf.Tensor) -> tf.Tensor:
        """Rows of at most the norm that the bound has in units; rounded towards zero."""
        exact = tf.cast(vectors, tf.float64)
        norms = tf.sqrt(tf.reduce_sum(exact**2, axis=1, keepdims=True))
        bound = float(self.largest)
        return tf.cast(exact * (bound / tf.maximum(norms, bound)), tf.int64)

    def total(self, moved: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """The sum of the devices' vectors, `[size] int64`, with noise on it.

        Args:
          moved: `[size + 1] int64`, the sum of what `contribution` yields.
          seed: `[2] int64`, of the noise; None without.
        """
        total: tf.Tensor = moved[:-1] - self.largest * moved[-1]
        if seed is None or not self.config.noise_multiplier:
            return total
        drawn = tf.random.stateless_normal([self.size], seed, dtype=tf.float64, alg="philox")
        # All payloads have the same bound in their own units.
        deviation = self.config.noise_multiplier * self.largest
        return total + tf.cast(tf.round(deviation * drawn), tf.int64)

    def seed(
        self, stream: tuple[int, int], *, round_number: tf.Tensor | int, cohort: int
    ) -> tf.Tensor | None:
        """`[2] int64`, of the noise of a round of one cohort of devices; None without noise."""
        if not self.config.noise_multiplier:
            return None
        of_round = noise_seed(stream, round_number=round_number, with_logits=self.with_logits)
        folded: tf.Tensor = tf.random.experimental.stateless_fold_in(
            of_round, tf.constant(cohort, tf.int64), alg="philox"
        )
        return folded

    def decoded(self, total: npt.NDArray[np.int64], payload: Payload) -> npt.NDArray[np.float64]:
        """`[buckets, width] float64`: the sum of a payload."""
        end = payload.start + self.buckets * payload.width
        found: npt.NDArray[np.float64] = payload.unit * total[payload.start : end]
        return found.reshape(self.buckets, payload.width)


def _centred(values: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """`[..., Q]` without the mean over what is real, in a fixed order; 0 elsewhere."""
    count = tf.maximum(sum_halves(real, axis=-1, keepdims=True), 1.0)
    return (values - sum_halves(values * real, axis=-1, keepdims=True) / count) * real
