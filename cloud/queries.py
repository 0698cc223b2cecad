"""Which items a device is asked about."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data import CloudView, sample_negatives

__all__ = ["Guesses", "choose_queries", "guesses_of_logits", "queries_of"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

Guesses = Callable[[Ids, Sequence[Ids], int], Iterable[npt.NDArray[Any]]]
"""`(users [n], known, count) -> items`: the best guesses for each user without what is known of the
user, in any order, at most `count`; 0 for none."""


def choose_queries(
    rng: np.random.Generator,
    *,
    logits: npt.NDArray[np.float32],
    known: Ids,
    size: int,
    top_share: float,
) -> Ids:
    """Best guesses and uniform ones out of the catalog, without what the cloud knows.

    Args:
      rng: draws.
      logits: `[items] float32`, `z_c` of items 1, 2, ….
      known: `[n] int32`, what the cloud knows of the history; may be empty.
      size: Q.
      top_share: share of them drawn from the best guesses, of which there are four times as
        many.

    Returns:
      `[Q] int32`; the uniform ones may repeat.
    """
    tops = round(size * top_share)
    best = _best(logits, known, _pool(tops))
    return _drawn(rng, best, known=known, num_items=len(logits), size=size, tops=tops)


def guesses_of_logits(logits: Callable[[Ids], Array]) -> Guesses:
    """The best guesses by what a cloud thinks of all items.

    Args:
      logits: `(users [n]) -> [n, items]`, `z_c` of items 1, 2, ….
    """

    def guesses(users: Ids, known: Sequence[Ids], count: int) -> Iterable[npt.NDArray[Any]]:
        rows = zip(logits(users), known, strict=True)
        return [_best(row, own, count) for row, own in rows]

    return guesses


def queries_of(
    users: Ids,
    *,
    guesses: Guesses,
    view: CloudView,
    size: int,
    top_share: float,
    seed: tuple[int, ...],
) -> Ids:
    """The queries of several users, each drawn by itself, so that it does not matter who is asked.

    Args:
      users: `[n] int32`.
      guesses: the best guesses for them.
      view: what the cloud knows of their histories.
      size: Q.
      top_share: as in `choose_queries`.
      seed: to which each user's number is added.

    Returns:
      `[n, Q] int32`.
    """
    tops = round(size * top_share)
    known = [view.older.of(user) for user in users.tolist()]
    chosen = np.empty((len(users), size), np.int32)
    rows = zip(users.tolist(), known, guesses(users, known, _pool(tops)), strict=True)
    for row, (user, own, best) in enumerate(rows):
        chosen[row] = _drawn(
            np.random.default_rng([*seed, user]),
            best[best > 0],
            known=own,
            num_items=view.num_items,
            size=size,
            tops=tops,
        )
    return chosen


def _pool(tops: int) -> int:
    """Of how many best guesses `tops` are drawn."""
    return max(4 * tops, 1)


def _best(logits: Array, known: Ids, count: int) -> npt.NDArray[Any]:
    """The items of the `count` largest of `logits` `[items]`, in any order, without `known`."""
    count = min(count, len(logits))
    open_logits = logits.copy()
    open_logits[known - 1] = -np.inf
    best = np.argpartition(-open_logits, count - 1)[:count]
    # In a small catalog they may reach into what is known.
    return 1 + best[np.isfinite(open_logits[best])]


def _drawn(
    rng: np.random.Generator,
    best: npt.NDArray[Any],
    *,
    known: Ids,
    num_items: int,
    size: int,
    tops: int,
) -> Ids:
    """`[size] int32`: `tops` of the items `best`, or all of them, and uniform ones."""
    own_tops = min(tops, len(best))
    chosen = rng.choice(best, own_tops, replace=False)
    uniform = sample_negatives(rng, positives=known, num_items=num_items, size=size - own_tops)
    return np.concatenate([chosen, uniform]).astype(np.int32)
