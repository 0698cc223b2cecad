"""Ranking metrics of one held-out item among candidates.

Ranks are 0-based, and a tie counts against the held-out item: a model that
gives every candidate the same score is a model that found nothing.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import ConfigError, DataError

__all__ = ["discounted_gains", "hit_rate", "hits", "mrr", "ndcg", "ranks", "reciprocal_ranks"]


def ranks(scores: npt.ArrayLike, *, positive: int = 0) -> npt.NDArray[np.int64]:
    """The 0-based place of the positive among each row's candidates.

    Args:
      scores: `[n, c] float`, a row per device, a column per candidate; any
        scale, higher is better. Infinite scores have their natural place.
      positive: the column of the held-out item.

    Returns:
      `[n] int64`: how many other candidates score at least as high.

    Raises:
      DataError: the scores are not a non-empty numeric matrix, or one is NaN.
      ConfigError: there is no column `positive`.

    >>> ranks([[0.9, 0.1, 0.5], [0.5, 0.5, 0.1]]).tolist()
    [0, 1]
    """
    matrix = np.asarray(scores)
    if matrix.ndim != 2 or matrix.size == 0 or matrix.dtype.kind not in "fiu":
        raise DataError(
            "scores: expected a non-empty numeric matrix [devices, candidates], received shape "
            f"{matrix.shape} of {matrix.dtype}. Pass one row per device, one column per candidate."
        )
    num_candidates = matrix.shape[1]
    if not 0 <= positive < num_candidates:
        raise ConfigError(
            f"positive: expected a column from 0 to {num_candidates - 1}, received {positive}. "
            "Pass the column that holds the held-out item."
        )
    not_a_number = np.isnan(matrix)
    if not_a_number.any():
        row, column = (int(index) for index in np.argwhere(not_a_number)[0])
        raise DataError(
            f"scores: expected numbers, received NaN in row {row}, column {column} "
            f"({int(not_a_number.any(axis=1).sum())} rows hold NaN). A NaN has no place in a "
            "ranking: look for a diverged model or an empty history before you evaluate."
        )
    at_least_as_high: npt.NDArray[np.bool_] = matrix >= matrix[:, positive, None]
    places: npt.NDArray[np.int64] = at_least_as_high.sum(axis=1, dtype=np.int64)
    return places - 1  # the positive itself was counted


def hits(ranks: npt.ArrayLike, k: int) -> npt.NDArray[np.float64]:
    """Per device `[n] float64`: 1 if the held-out item is among the first `k`, else 0.

    >>> hits([0, 1, 2], 2).tolist()
    [1.0, 1.0, 0.0]
    """
    return (_checked_ranks(ranks) < _checked_k(k)).astype(np.float64)


def discounted_gains(ranks: npt.ArrayLike, k: int) -> npt.NDArray[np.float64]:
    """Per device `[n] float64`: `1 / log2(rank + 2)` among the first `k`, else 0.

    With a single relevant item the ideal gain is 1, so this is each device's NDCG@k.

    >>> discounted_gains([0, 2, 9], 3).tolist()
    [1.0, 0.5, 0.0]
    """
    places = _checked_ranks(ranks)
    return np.where(places < _checked_k(k), 1.0 / np.log2(places + 2.0), 0.0)


def reciprocal_ranks(ranks: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Per device `[n] float64`: `1 / (rank + 1)`, not cut off.

    >>> reciprocal_ranks([0, 1, 3]).tolist()
    [1.0, 0.5, 0.25]
    """
    return 1.0 / (_checked_ranks(ranks) + 1.0)


def hit_rate(ranks: npt.ArrayLike, k: int) -> float:
    """HR@k: the share of devices whose held-out item is among the first `k`.

    >>> hit_rate([0, 1, 2, 9], 2)
    0.5
    """
    return float(hits(ranks, k).mean())


def ndcg(ranks: npt.ArrayLike, k: int) -> float:
    """NDCG@k with one relevant item per device; never above HR@k.

    >>> ndcg([0, 2], 10)
    0.75
    """
    return float(discounted_gains(ranks, k).mean())


def mrr(ranks: npt.ArrayLike) -> float:
    """Mean reciprocal rank over all candidates, not cut off.

    >>> mrr([0, 1])
    0.75
    """
    return float(reciprocal_ranks(ranks).mean())


def _checked_ranks(ranks: npt.ArrayLike) -> npt.NDArray[np.integer[Any]]:
    places = np.asarray(ranks)
    if places.ndim != 1 or places.size == 0 or places.dtype.kind not in "iu":
        raise DataError(
            "ranks: expected a non-empty integer vector [devices], received shape "
            f"{places.shape} of {places.dtype}. Compute it with `ranks(scores)`."
        )
    if places.min() < 0:
        row = int(np.argmin(places))
        raise DataError(
            f"ranks: expected 0-based places, received {int(places[row])} in row {row}. "
            "Compute them with `ranks(scores)`."
        )
    return places


def _checked_k(k: int) -> int:
    if k < 1:
        raise ConfigError(f"k: expected a list length of at least 1, received {k}. Usual: 10.")
    return k
