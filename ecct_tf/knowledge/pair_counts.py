"""Pair counts from the sum of what devices sent: the cloud's half of `increments`."""

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy import sparse  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from ecct_tf.errors import DataError
from ecct_tf.knowledge.increments import UNIT, IncrementSpec
from ecct_tf.knowledge.unmixed_counts import unmixed_counts

__all__ = ["PairCounts", "pair_counts"]

Ids = npt.NDArray[np.int64]

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

    Pairs that half of their buckets speak for, each with the pair's sign, are told apart by all
    buckets together (`unmixed_counts`). Where those are more than there are buckets, at most one
    bucket may speak against a pair, and those that buckets say most of are told apart. A count is
    at most what its items take part at all, and 0 where noise alone could make it.

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
    floor = max(0.5, _SIGMAS * spec.noise)
    items, firsts, seconds = total[spec.buckets :].reshape(3, -1)
    after = _counted(spec, total, (firsts, seconds), floor=floor)
    known = np.where(items < floor, 0.0, items / UNIT)
    known[0] = 0.0
    return PairCounts(known, after, max(int(spec.weights[0]), 1) / UNIT)


def _counted(
    spec: IncrementSpec, total: Ids, bounds: tuple[Ids, Ids], *, floor: float
) -> sparse.csr_matrix:
    rows = spec.config.rows
    pairs = _possible(spec, total, bounds, floor=floor, against=rows // 2)
    if len(pairs[0]) > spec.buckets:
        pairs = _possible(spec, total, bounds, floor=floor, against=min(1, rows - 1))
    first, second = pairs
    places = spec.places(first, second)
    counts = unmixed_counts(
        total[: spec.buckets].astype(np.float64),
        np.stack([place for place, _ in places]),
        np.stack([sign for _, sign in places]),
        bounds=np.minimum(bounds[0][first], bounds[1][second]).astype(np.float64),
    )
    # Devices count in whole units.
    whole = np.round(counts)
    whole[whole < floor] = 0.0
    kept = whole > 0
    shape = (spec.num_items + 1, spec.num_items + 1)
    return sparse.csr_matrix((whole[kept] / UNIT, (first[kept], second[kept])), shape=shape)


def _possible(
    spec: IncrementSpec, total: Ids, bounds: tuple[Ids, Ids], *, floor: float, against: int
) -> tuple[Ids, Ids]:
    """First and second items of pairs that no more buckets than `against` speak against.

    Of those one more than there are buckets at most, whose buckets say most.
    """
    firsts, seconds = (np.flatnonzero(bound >= floor) for bound in bounds)
    firsts, seconds = firsts[firsts > 0], seconds[seconds > 0]
    pairs, most = np.zeros((2, 0), np.int64), np.zeros(0, np.int64)
    for start in range(0, len(firsts), _SOURCES_AT_ONCE):
        first = firsts[start : start + _SOURCES_AT_ONCE, None]
        said = [total[place] * sign for place, sign in spec.places(first, seconds)]
        least = np.sort(np.stack(said), axis=0)[against]
        row, column = np.nonzero(least >= floor)
        found = np.stack([first[row, 0], seconds[column]])
        pairs = np.concatenate([pairs, found], axis=1)
        most = np.concatenate([most, least[row, column]])
        kept = np.sort(np.argsort(-most, kind="stable")[: spec.buckets + 1])
        pairs, most = pairs[:, kept], most[kept]
    return pairs[0], pairs[1]
