"""What a cloud makes of sums over devices: means of items, as far as they can be told from noise.

For each item the cloud keeps an estimate of the mean that devices would send, and how precise it
is. A round's sum of an item, over how many were asked, is one more look at it, of known variance:
that of the noise, of single devices, and of the items that share its bucket. Looks are weighed by
their precision, those of earlier rounds less. What is told of an item is drawn towards the mean of
all items by as much as differences of items are smaller than what is not known of them (empirical
Bayes, as of James and Stein): with noise alone it is that mean, which says nothing of an item.

All of it is made of the sums and of the cloud's own questions; nothing further crosses.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.knowledge.item_sums import ItemSumSpec, Payload

__all__ = ["AskedSums", "ItemMeans", "Means", "variances"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

# Against division by zero alone.
_LITTLE = 1e-12
_LEAST_WITHIN = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class AskedSums:
    """The sum of one cohort's devices in a round, and what the cloud asked them.

    Attributes:
      spec: the form of the sum.
      total: `[size] int64`, with noise.
      users: `[n] int32`, who is in it.
      items: `[n, Q] int32`, what each was asked about, 0 for none.
      salt: the number that the devices hashed with.
      devices: how many there are.
    """

    spec: ItemSumSpec
    total: npt.NDArray[np.int64] = dataclasses.field(repr=False)
    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    salt: int
    devices: int


class Means(NamedTuple):
    """What is known of the means of all items in one payload; sums over rounds.

    Attributes:
      weighted: `[items + 1, k] float64`, looks times their precision.
      precision: `[items + 1] float64`.
      overall: `[k] float64`, of the mean of all items: looks times their weight.
      overall_weight: `[] float64`.
      moments: `[5] float64`, of the regression that `variances` solves.
    """

    weighted: Array
    precision: Array
    overall: Array
    overall_weight: Array
    moments: Array

    @classmethod
    def none(cls, num_items: int, width: int) -> "Means":
        """Nothing known."""
        return cls(
            np.zeros((num_items + 1, width)),
            np.zeros(num_items + 1),
            np.zeros(width),
            np.zeros(()),
            np.zeros(5),
        )

    def faded(self, share: float) -> "Means":
        """Looks of which `share` is left."""
        return Means(*(share * part for part in self))


@dataclasses.dataclass(frozen=True)
class ItemMeans:
    """The cloud's estimates of all payloads; a value, which `observed` makes anew.

    Attributes:
      means: by payload.
    """

    means: Mapping[str, Means]

    @classmethod
    def none(cls, num_items: int, embedding_dim: int) -> "ItemMeans":
        """No look yet."""
        return cls(
            {
                "embeddings": Means.none(num_items, embedding_dim),
                "logits": Means.none(num_items, 1),
            }
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "ItemMeans":
        """What `to_arrays` was given.

        Raises:
          KeyError: a part is missing.
        """
        names = ("embeddings", "logits")
        parts = Means._fields
        return cls({name: Means(*(arrays[f"{name}/{part}"] for part in parts)) for name in names})

    def to_arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """All of it by name, for a checkpoint."""
        return {
            f"{name}/{part}": np.asarray(value)
            for name, means in self.means.items()
            for part, value in means._asdict().items()
        }

    def faded(self, half_life: float) -> "ItemMeans":
        """One round later: what was known counts less."""
        share = 0.5 ** (1.0 / half_life)
        return ItemMeans({name: means.faded(share) for name, means in self.means.items()})

    def observed(self, sums: AskedSums) -> "ItemMeans":
        """With one more sum."""
        found = dict(self.means)
        for payload in sums.spec.payloads:
            found[payload.name] = _observed(found[payload.name], sums, payload)
        return ItemMeans(found)

    def told(self, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The mean of each item `[items + 1, k]`, and how much of it is its own, `[items + 1]`.

        Args:
          name: of the payload.

        Returns:
          Means, drawn towards the mean of all; shares from 0, where nothing but that is known, to
          1. Both `float32`.
        """
        means = self.means[name]
        between, _ = variances(means.moments)
        overall = means.overall / (means.overall_weight + _LITTLE)
        share = means.precision * between / (1.0 + means.precision * between)
        looks = means.weighted / (means.precision[:, None] + _LITTLE)
        drawn = overall + share[:, None] * (looks - overall)
        drawn[0] = 0.0
        return drawn.astype(np.float32), share.astype(np.float32)


def variances(moments: Array) -> tuple[float, float]:
    """How far means of items differ, and single devices of one item: two variances.

    By least squares: the square of a bucket's sum, less the variance of its noise, is expected to
    be the first variance times the squared numbers of devices asked about its items, and the
    second times their number. Neither is negative.

    Args:
      moments: `[5]`, sums of `a²`, `a b`, `b²`, `a y` and `b y`.

    Example:
      >>> a, b = np.array([1.0, 16.0]), np.array([1.0, 4.0])
      >>> y = 0.5 * a + 2.0 * b
      >>> variances(np.array([a @ a, a @ b, b @ b, a @ y, b @ y]))
      (0.5, 2.0)
      >>> variances(np.array([1.0, 0.0, 1.0, -3.0, -4.0]))
      (0.0, 0.0)
    """
    aa, ab, bb, ay, by = moments.tolist()
    determinant = aa * bb - ab * ab
    if determinant > 1e-9 * aa * bb:
        first = (bb * ay - ab * by) / determinant
        second = (aa * by - ab * ay) / determinant
        if first >= 0 and second >= 0:
            return first, second
    # One of them is none: whichever of the others explains more.
    alone = max(ay, 0.0) / (aa + _LITTLE), max(by, 0.0) / (bb + _LITTLE)
    explained = alone[0] * max(ay, 0.0), alone[1] * max(by, 0.0)
    return (alone[0], 0.0) if explained[0] > explained[1] else (0.0, alone[1])


def _observed(means: Means, sums: AskedSums, payload: Payload) -> Means:
    spec, width = sums.spec, payload.width
    asked = sums.items[sums.items > 0]
    items, counts = np.unique(asked.astype(np.int64), return_counts=True)
    if not len(items):
        return means
    buckets, signs = spec.places(items, np.int64(sums.salt))
    total = spec.decoded(sums.total, payload)

    def by_bucket(values: Array) -> Array:
        found = np.bincount(buckets, weights=values, minlength=spec.buckets)
        return found.astype(np.float64)

    times = counts.astype(np.float64)
    number, signed, squares = (by_bucket(each) for each in (times, signs * times, times**2))
    noise = payload.noise**2
    # What one answer's number can be at most, by the bound: a scale, and no guess from the data.
    most = payload.clip**2 * sums.devices / (len(asked) * width)
    # Of the sum of a bucket without any difference between items.
    scale = noise + most * np.maximum(number, _LITTLE)
    weight = signed / scale
    overall = means.overall + (weight[:, None] * total).sum(axis=0)
    # Before the first look it is nothing, as variable as one answer may be at most.
    begun = means.overall_weight if means.overall_weight else 1.0 / most
    overall_weight = begun + (weight * signed).sum()
    centre = overall / overall_weight
    rest = total - signed[:, None] * centre
    used = np.flatnonzero(number)
    excess = (rest[used] ** 2).mean(axis=1) - noise
    a, b, inverse = squares[used], number[used], scale[used] ** -2
    regression = [a * a, a * b, b * b, a * excess, b * excess]
    moments = means.moments + np.array([(inverse * part).sum() for part in regression])
    between, within = variances(moments)
    # Devices are never taken to agree wholly, which few sums may look like.
    within = max(within, _LEAST_WITHIN * most)
    alone = np.maximum(squares[buckets] - times**2, 0.0)
    variance = noise + within * number[buckets] + between * alone
    precision = times**2 / np.maximum(variance, _LITTLE)
    looks = centre + signs[:, None] * rest[buckets] / times[:, None]
    weighted = means.weighted.copy()
    weighted[items] += precision[:, None] * looks
    precisions = means.precision.copy()
    precisions[items] += precision
    return Means(weighted, precisions, overall, np.asarray(overall_weight), moments)
