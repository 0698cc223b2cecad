"""Ranking over the whole catalog: places, lists, and what both say of a recommender.

A held-out item stands among all items that its user had not touched before, not among a sample
of them. The scores come in blocks of items, so that no `[users, items]` matrix is ever held:
a `CatalogRanker` keeps for each row the place so far and the best `k` others.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import ConfigError, DataError
from ecct_tf.evaluation import ranking

__all__ = ["CatalogMetrics", "CatalogRanker", "CatalogRanking", "catalog_metrics"]

Ints = npt.NDArray[np.integer[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class CatalogRanking:
    """Where held-out items stand in the catalog, and what stands before them.

    Attributes:
      places: `[rows] int64`, the 0-based rank of each held-out item.
      top: `[rows, k] int32`, the recommended items, the best first; 0 where there are fewer than
        `k` candidates. The held-out item is in its row exactly if its place is below `k`.
    """

    places: npt.NDArray[np.int64]
    top: npt.NDArray[np.int32]

    @classmethod
    def joined(cls, parts: "list[CatalogRanking]") -> "CatalogRanking":
        """The rows of all `parts`, in their order."""
        return cls(
            np.concatenate([part.places for part in parts]),
            np.concatenate([part.top for part in parts]),
        )


class CatalogRanker:
    """Ranks one held-out item per row among items that come block by block.

    Ties count against the held-out item, as in `ranking.ranks`: it stands behind all that score
    as high. Other items with equal scores keep the order in which they come.

    Args:
      positives: `[rows] int`, the held-out item of each row, from 1.
      k: length of the lists.

    Example:
      >>> ranker = CatalogRanker(np.array([3]), k=2)
      >>> ranker.add([[0.5, 0.9, 0.5]], items=np.array([1, 2]), allowed=[[True, True]])
      >>> ranker.add([[0.5, 0.7]], items=np.array([4]), allowed=[[False]])
      >>> found = ranker.ranking()
      >>> found.places.tolist(), found.top.tolist()
      ([2], [[1, 2]])
    """

    def __init__(self, positives: Ints, *, k: int) -> None:
        if k < 1:
            raise ConfigError(f"k: expected a list length of at least 1, received {k}. Usual: 10.")
        self._positives = np.asarray(positives, np.int32)
        self._places = np.zeros(len(self._positives), np.int64)
        self._scores = np.full((len(self._positives), k), -np.inf)
        self._items = np.zeros((len(self._positives), k), np.int32)

    def add(self, scores: npt.ArrayLike, *, items: Ints, allowed: npt.ArrayLike) -> None:
        """Takes the scores of one block of items.

        Args:
          scores: `[rows, 1 + b] float`, finite; column 0 is the held-out item's own, in every
            block.
          items: `[b] int`, from 1; each item of the catalog comes in one block.
          allowed: `[rows, b] bool`, whether a row ranks that item: false for what its user had
            touched, and for the held-out item itself.

        Raises:
          DataError: the shapes do not fit each other, or a score is not finite.
        """
        matrix, mask, block = np.asarray(scores), np.asarray(allowed), np.asarray(items, np.int32)
        rows = len(self._positives)
        if matrix.shape != (rows, 1 + len(block)) or mask.shape != (rows, len(block)):
            raise DataError(
                f"scores: expected shape {(rows, 1 + len(block))} and allowed {(rows, len(block))} "
                f"for {rows} rows and {len(block)} items, received {matrix.shape} and "
                f"{mask.shape}. Put the held-out item's score into column 0."
            )
        wrong = ~np.isfinite(matrix)
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            raise DataError(
                f"scores: expected finite numbers, received {matrix[row, column]} in row {row}, "
                f"column {column}. Look for a diverged model."
            )
        others = np.where(mask, matrix[:, 1:], -np.inf)
        self._places += ranking.ranks(np.concatenate([matrix[:, :1], others], axis=1))
        joined = np.concatenate([self._scores, others], axis=1)
        names = np.concatenate([self._items, np.where(mask, block, 0)], axis=1)
        # Stable: of equal scores the earlier stays first.
        order = np.argsort(-joined, axis=1, kind="stable")[:, : self._scores.shape[1]]
        self._scores = np.take_along_axis(joined, order, axis=1)
        self._items = np.take_along_axis(names, order, axis=1).astype(np.int32)

    def ranking(self) -> CatalogRanking:
        """Places and lists over all blocks so far."""
        slot, place = np.arange(self._items.shape[1]), self._places[:, None]
        # Every other item before the held-out one scores at least as high: it fits in at its place.
        behind = np.concatenate([self._items[:, :1], self._items[:, :-1]], axis=1)
        top = np.where(slot < place, self._items, behind)
        top = np.where(slot == place, self._positives[:, None], top)
        return CatalogRanking(self._places.copy(), top.astype(np.int32))


@dataclasses.dataclass(frozen=True)
class CatalogMetrics:
    """What a model reached on one set of held-out interactions, over the whole catalog.

    Attributes:
      hr: HR@k, the share of held-out interactions whose item is among the first `k`.
      recall: Recall@k, the share of a user's held-out items that are in their lists, averaged
        over users; HR@k where each user has one.
      ndcg: NDCG@k.
      mrr: mean reciprocal rank, not cut off.
      coverage: share of the catalog that is in at least one list of `k`.
      novelty: mean self-information of the listed items in bits, `-log2` of the share of users
        who met an item in training; an item that nobody met counts as met by one.
      k: list length.
      num_items: size of the catalog.
    """

    hr: float
    recall: float
    ndcg: float
    mrr: float
    coverage: float
    novelty: float
    k: int
    num_items: int


def catalog_metrics(
    found: CatalogRanking,
    *,
    users: npt.ArrayLike,
    item_users: npt.ArrayLike,
    num_users: int,
) -> CatalogMetrics:
    """All metrics of a ranking over the whole catalog.

    Args:
      found: from `CatalogRanker`.
      users: `[rows] int`, whose interaction a row is.
      item_users: `[num_items + 1] int`, how many users met each item in training; entry 0 is
        padding.
      num_users: how many users have training interactions.

    Raises:
      DataError: `users` or `num_users` do not fit.

    >>> found = CatalogRanking(np.array([0, 2]), np.array([[1, 2], [1, 3]], np.int32))
    >>> counts = [0, 4, 2, 1, 0]
    >>> metrics = catalog_metrics(found, users=[7, 8], item_users=counts, num_users=4)
    >>> metrics.hr, metrics.coverage, metrics.novelty
    (0.5, 0.75, 0.75)
    """
    owners, counts = np.asarray(users), np.asarray(item_users, np.int64)
    k, num_items = found.top.shape[1], len(counts) - 1
    if owners.shape != found.places.shape:
        raise DataError(
            f"users: expected one user per row, shape {found.places.shape}, received shape "
            f"{owners.shape}. Pass `candidates.users`."
        )
    if num_users < max(1, int(counts.max())):
        raise DataError(
            f"num_users: expected at least the {int(counts.max())} users of the best-known item, "
            f"received {num_users}. Count each user once per item."
        )
    listed = found.top[found.top > 0]
    hits = ranking.hits(found.places, k)
    _, owner = np.unique(owners, return_inverse=True)
    information = -np.log2(np.maximum(counts, 1) / num_users)
    return CatalogMetrics(
        hr=float(hits.mean()),
        recall=float((np.bincount(owner, weights=hits) / np.bincount(owner)).mean()),
        ndcg=ranking.ndcg(found.places, k),
        mrr=ranking.mrr(found.places),
        coverage=len(np.unique(listed)) / num_items,
        novelty=float(information[listed].mean()),
        k=k,
        num_items=num_items,
    )
