"""Counts of pairs that share buckets of a sketch, told apart by all rows together.

A bucket is the sum of few pairs' counts, each with a sign, and a pair is in one bucket of each
row: a linear system. Where it has no more unknowns than numbers, the counts that fit it best, none
of them below 0 and none above its bound, are nearly always the true ones, although half of all
pairs share a bucket with another (nonnegative sparse recovery; Bruckstein, Elad and Zibulevsky
2008).
"""

import numpy as np
import numpy.typing as npt
from scipy import sparse  # type: ignore[import-untyped, unused-ignore]  # it ships no types

__all__ = ["unmixed_counts"]

Array = npt.NDArray[np.float64]

_STEPS = 200
_POWER_STEPS = 20


def unmixed_counts(
    totals: Array,
    places: npt.NDArray[np.int64],
    signs: npt.NDArray[np.int64],
    *,
    bounds: Array,
) -> Array:
    """The counts in [0, bound] whose buckets come nearest to `totals`: `[n] float64`.

    By accelerated projected gradients (Beck and Teboulle 2009), from 0, in a fixed number of steps.

    Args:
      totals: `[buckets]`, the sums.
      places: `[rows, n]`, in which bucket of each row a pair is counted.
      signs: `[rows, n]`, with which sign, 1 or -1.
      bounds: `[n]`, the largest that each may be.

    >>> places = np.array([[0, 0, 1], [2, 3, 3]])  # Two pairs in one bucket of either row.
    >>> signs, counts = np.ones((2, 3), np.int64), np.array([2.0, 1.0, 0.0])
    >>> totals = np.bincount(places.ravel(), np.tile(counts, 2))
    >>> unmixed_counts(totals, places, signs, bounds=np.full(3, 9.0)).round(3).tolist()
    [2.0, 1.0, 0.0]
    """
    rows, size = places.shape
    if not size:
        return np.zeros(0)
    owners = np.tile(np.arange(size), rows)
    values = signs.ravel().astype(np.float64)
    mixing = sparse.csr_matrix((values, (places.ravel(), owners)), shape=(len(totals), size))
    back = mixing.T.tocsr()
    curvature = _largest_eigenvalue(mixing, back)
    found, ahead, momentum = np.zeros(size), np.zeros(size), 1.0
    for _ in range(_STEPS):
        slope = back @ (mixing @ ahead - totals)
        newer = np.clip(ahead - slope / curvature, 0.0, bounds)
        faster = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = newer + (momentum - 1.0) / faster * (newer - found)
        found, momentum = newer, faster
    return found


def _largest_eigenvalue(mixing: sparse.csr_matrix, back: sparse.csr_matrix) -> float:
    """Of `back @ mixing`, from above as far as steps need it."""
    vector = np.random.default_rng(0).standard_normal(mixing.shape[1])
    norm = 1.0
    for _ in range(_POWER_STEPS):
        vector = back @ (mixing @ vector)
        norm = float(np.linalg.norm(vector))
        vector /= norm
    return 1.1 * norm
