"""The best items of each user by a product of vectors, out of catalogs too large for one matrix.

What `users @ items.T + bias` ranks highest is found in blocks of items: of each block only what
beats the worst of the best so far is kept. Memory is that of a block, and no array has a number
for each user and item. The answer is exact, in float32.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["IN_ONE_PIECE", "BestProducts"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

IN_ONE_PIECE = 1 << 14
"""Catalogs of up to so many items are scored whole."""

_USERS_AT_ONCE = 256
# The first block is small: what it finds spares most of the others from a closer look.
_FIRST = 2048
_AT_ONCE = 8192


class BestProducts:
    """Finds the items of the largest `u · v + b`.

    Args:
      vectors: `[items, d] float32`, `v` of the items 1, 2, ….
      biases: `[items] float32`, `b` of them; -inf for an item that is never found.

    Example:
      >>> best = BestProducts(np.array([[0.0], [2.0], [1.0]]), np.array([0.5, 0.0, 0.0]))
      >>> best.of(np.array([[1.0], [-1.0]]), closed=[[], [1]], count=2).tolist()
      [[2, 3], [3, 2]]
    """

    def __init__(self, vectors: Array, biases: Array) -> None:
        # A product with what is infinite is not always a number.
        self._never = np.flatnonzero(np.isneginf(biases))
        parts = [vectors.T, np.where(np.isneginf(biases), 0.0, biases)[None, :]]
        self._items = np.concatenate(parts).astype(np.float32)

    def of(self, users: Array, *, closed: Sequence[npt.ArrayLike], count: int) -> Ids:
        """The best items of users, `[n, count] int32`, the best first, 0 where there are fewer.

        Of equal ones the smaller number comes first.

        Args:
          users: `[n, d] float32`, `u` of each.
          closed: of each user, items that do not count, `[k]`.
          count: how many.
        """
        found = np.zeros((len(users), count), np.int32)
        for start in range(0, len(users), _USERS_AT_ONCE):
            some = slice(start, start + _USERS_AT_ONCE)
            ones = np.ones((len(users[some]), 1), np.float32)
            queries = np.concatenate([users[some], ones], axis=1, dtype=np.float32)
            found[some] = self._best(queries, _Closed(closed[some]), count)
        return found

    def _best(self, queries: Array, closed: "_Closed", count: int) -> Ids:
        number = self._items.shape[1]
        best = _Best(len(queries), count)
        start, end = 0, min(max(_FIRST, 2 * count), number)
        block = np.empty(len(queries) * max(end, min(_AT_ONCE, number)), np.float32)
        while start < number:
            width = end - start
            scores = block[: len(queries) * width].reshape(len(queries), width)
            np.matmul(queries, self._items[:, start:end], out=scores)
            first, last = np.searchsorted(self._never, [start, end])
            scores[:, self._never[first:last] - start] = -np.inf
            closed.leave_out(scores, start)
            best.take(scores, start)
            start, end = end, min(end + _AT_ONCE, number)
        return best.items


class _Closed:
    """Items that do not count, of several users, by number of the item."""

    def __init__(self, items: Sequence[npt.ArrayLike]) -> None:
        each = [np.asarray(some, np.int32) for some in items]
        joined = np.concatenate([np.zeros(0, np.int32), *each])
        order = np.argsort(joined, kind="stable")
        self._items = joined[order]
        self._rows = np.repeat(np.arange(len(each)), [len(some) for some in each])[order]

    def leave_out(self, scores: Array, start: int) -> None:
        """Sets theirs to -inf in `scores` `[n, w]`, of the items `start + 1`, …."""
        first, last = np.searchsorted(self._items, [start + 1, start + scores.shape[1] + 1])
        scores[self._rows[first:last], self._items[first:last] - start - 1] = -np.inf


class _Best:
    """The best of each user so far, the best first."""

    def __init__(self, users: int, count: int) -> None:
        self.items: Ids = np.zeros((users, count), np.int32)
        self._scores = np.full((users, count), -np.inf, np.float32)

    def take(self, scores: Array, start: int) -> None:
        """Takes the better ones out of `scores` `[n, w]`, of the items `start + 1`, …."""
        count = self.items.shape[1]
        worst = self._scores[:, -1:]
        if start == 0 and scores.shape[1] > count:
            # Ties are let in here, and later ones have larger numbers.
            worst = np.partition(scores, scores.shape[1] - count, axis=1)[:, [-count]]
            worst = np.nextafter(worst, np.float32(-np.inf))
        # Several times as fast as `np.nonzero` of two dimensions.
        rows, places = np.divmod(np.flatnonzero(scores > worst), scores.shape[1])
        if not len(rows):
            return
        counts = np.bincount(rows, minlength=len(scores))
        columns = count + np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
        width = count + int(counts.max())
        merged = np.full((len(scores), width), -np.inf, np.float32)
        items = np.zeros((len(scores), width), np.int32)
        merged[:, :count], items[:, :count] = self._scores, self.items
        merged[rows, columns] = scores[rows, places]
        items[rows, columns] = start + 1 + places
        # Stable, so that of equal ones the smaller number stays in front.
        order = np.argsort(-merged, axis=1, kind="stable")[:, :count]
        self._scores = np.take_along_axis(merged, order, axis=1)
        self.items = np.take_along_axis(items, order, axis=1)
