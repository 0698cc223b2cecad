"""Pair counts from the sum of what devices sent: the cloud's half of `increments`."""

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy import sparse  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from ecct_tf.errors import DataError
from ecct_tf.knowledge.increments import UNIT, IncrementSpec

__all__ = ["PairCounts", "pair_counts"]

_SOURCES_AT_ONCE = 256
# A count must exceed what noise reaches in one of a thousand buckets.
_SIGMAS = 3.0


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """What all devices together added to what the cloud knows.

    Attributes:
      items: `[items + 1] float64`, on how many devices each item was new.
      after: `[items + 1, items + 1]`, how often the column came soon after the row, weighted.
      step: the weight of the very next item.
    """

    items: npt.NDArray[np.float64]
    after: sparse.csr_matrix
    step: float


def pair_counts(spec: IncrementSpec, total: npt.NDArray[np.int64]) -> PairCounts:
    """Reads the sum.

    A pair's count is the least that its buckets say, each with the pair's sign: what other pairs
    left in them seldom has the right sign in all rows. It is at most what its items take part at
    all, and 0 where noise alone could make it.

    Args:
      spec: the form of the sum.
      total: `[size] int64`.

    Raises:
      DataError: when the sum has another form.
    """
    if total.shape != (spec.size,):
        raise DataError(
            f"item increments: expected a sum of {spec.size} numbers, got shape {total.shape}"
        )
    counts = total.astype(np.float32) / UNIT
    items, firsts, seconds = counts[spec.buckets :].reshape(3, -1)
    ids = np.arange(spec.num_items + 1)
    floor = np.float32(max(0.5, _SIGMAS * spec.noise) / UNIT)
    parts = []
    for start in range(0, len(ids), _SOURCES_AT_ONCE):
        first = ids[start : start + _SOURCES_AT_ONCE, None]
        least = np.minimum(firsts[first], seconds[ids])
        for place, sign in spec.places(first, ids):
            least = np.minimum(least, counts[place] * sign)
        least[(least < floor) | (first == 0)] = 0.0
        least[:, 0] = 0.0
        parts.append(sparse.csr_matrix(least))
    known = np.where(items < floor, 0.0, items).astype(np.float64)
    known[0] = 0.0
    return PairCounts(known, sparse.vstack(parts).tocsr(), max(int(spec.weights[0]), 1) / UNIT)
