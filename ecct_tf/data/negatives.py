"""Training negatives that do not leak what is held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import complement_items
from ecct_tf.errors import DataError

__all__ = ["BulkNegatives", "is_scarce", "sample_distinct_negatives", "sample_negatives"]


# With so many items for each that is drawn, fewer than one in sixteen of a row is a repetition.
_AMPLE = 8
_CHUNK_ROWS = 4096


def sample_negatives(
    rng: np.random.Generator,
    *,
    positives: npt.NDArray[np.int32],
    num_items: int,
    size: int,
    rows: int | None = None,
) -> npt.NDArray[np.int32]:
    """Draws items outside `positives`, uniformly.

    Give the device's *training* items only. Its validation and test items may
    then be drawn as negatives, and must be: at training time nobody knows
    them. To exclude them would leak them, since an item that is never a
    negative is recognisable as a future positive. Published protocols that do
    so gain 16 points of HR@10 from it on MovieLens-100K.

    Where at least 8 times as many items are left as a row holds, each is
    drawn by itself, and a row seldom repeats one. In a smaller catalogue the
    items of a row are all different; where fewer are left than it holds, it
    has each of them equally often, or once more.

    Args:
      rng: the generator; the same state gives the same items.
      positives: `[p] int32`, items in 1..num_items, any order, may repeat.
      num_items: number of items, without padding.
      size: how many items a row holds.
      rows: how many rows; None is one, without an axis of its own.

    Returns:
      `[rows, size] int32` items in 1..num_items, or `[size] int32`.

    Raises:
      DataError: a positive is out of range, or they cover all items.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> sorted(sample_negatives(rng, positives=np.array([1, 3]), num_items=5, size=3).tolist())
      [2, 4, 5]
      >>> set(sample_negatives(rng, positives=np.array([1, 3]), num_items=3, size=9).tolist())
      {2}
    """
    known = np.unique(positives)
    if len(known) and (known[0] < 1 or known[-1] > num_items):
        raise DataError(
            f"positives must lie in 1..{num_items}, received {known[0]}..{known[-1]} (0 is "
            "padding: leave it out)."
        )
    remaining = num_items - len(known)
    if remaining < 1:
        raise DataError(
            f"positives cover all {num_items} items, so there is no negative to draw. Leave this "
            "device out or widen the catalogue."
        )
    count = 1 if rows is None else rows
    # Ranks in the complement need no rejection, however dense the positives.
    if is_scarce(remaining, size):
        ranks = _ranks(rng, np.full(count, remaining, np.int64), size).ravel()
    else:
        ranks = rng.integers(remaining, size=count * size)
    items = complement_items(known, ranks)
    return items if rows is None else items.reshape(rows, size)


def is_scarce(remaining: int, size: int) -> bool:
    """Whether so few items are left that rows of `size` must be drawn without repetition."""
    return remaining < _AMPLE * size


def _ranks(
    rng: np.random.Generator, remaining: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.int64]:
    """Ranks among the `remaining` items of each row, `[n, size]` for `[n]`, as rows draw them."""
    highs = np.repeat(remaining[:, None], size, axis=1)
    few = remaining < _AMPLE * size
    # The second draw of a row is among one item fewer, and so on, until none is left.
    highs[few] -= np.arange(size) % remaining[few, None]
    ranks = rng.integers(highs)
    for start in range(0, int(few.sum()), _CHUNK_ROWS):
        rows = np.flatnonzero(few)[start : start + _CHUNK_ROWS]
        ranks[rows] = _shuffled(ranks[rows], remaining[rows])
    return ranks


def _shuffled(
    places: npt.NDArray[np.int64], remaining: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The cards of each row's pack that lie at `places` when they are drawn.

    A card that was drawn goes behind those that are left; when all were, it goes on with the
    whole pack (Fisher and Yates).

    Args:
      places: `[n, size] int64`; draw j of a row is below `remaining - j % remaining`.
      remaining: `[n] int64`, how many cards each pack has.
    """
    rows, drawn = np.arange(len(places)), np.empty_like(places)
    packs = np.tile(np.arange(remaining.max()), (len(places), 1))
    for draw in range(places.shape[1]):
        last = remaining - 1 - draw % remaining
        drawn[:, draw] = packs[rows, places[:, draw]]
        packs[rows, places[:, draw]] = packs[rows, last]
        packs[rows, last] = drawn[:, draw]
    return drawn


def sample_distinct_negatives(
    rng: np.random.Generator, *, positives: npt.NDArray[np.int32], num_items: int, size: int
) -> npt.NDArray[np.int32]:
    """Draws different items outside `positives`, uniformly: what a positive is ranked against.

    Args:
      rng: the generator; the same state gives the same items.
      positives: `[p] int32`, items in 1..num_items, any order, may repeat.
      num_items: number of items, without padding.
      size: how many items to draw.

    Returns:
      `[size] int32` items in 1..num_items.

    Raises:
      DataError: there are fewer than `size` items outside `positives`.
    """
    known = np.unique(positives)
    remaining = num_items - len(known)
    if remaining < size:
        raise DataError(
            f"a history covers {len(known)} of {num_items} items, which leaves {remaining}, fewer "
            f"than the {size} negatives asked for. Lower the number of negatives."
        )
    return complement_items(known, rng.choice(remaining, size=size, replace=False))


class BulkNegatives:
    """Draws for rows of many histories at once what `sample_negatives` draws row by row.

    From the same generator come the same items, in a fraction of the time. Only the histories of
    users that are drawn for are looked at.

    Args:
      histories: per user `[n] int32`, items in 1..num_items, any order, may repeat.
      num_items: number of items, without padding.
    """

    def __init__(self, histories: Sequence[npt.NDArray[np.int32]], *, num_items: int) -> None:
        self._histories = histories
        self._num_items = num_items

    def draw(
        self, rng: np.random.Generator, *, users: npt.NDArray[np.int32], size: int
    ) -> npt.NDArray[np.int32]:
        """`[n, size] int32` items outside the histories of `users`, `[n] int32`.

        Raises:
          DataError: the history of one of them covers all items.
        """
        stride = self._num_items + 1
        once, place = np.unique(users, return_inverse=True)
        owners, items = self._distinct(once)
        counts = np.bincount(owners, minlength=len(once))
        starts = np.cumsum(counts) - counts
        # What `complement_items` searches, user by user.
        keys = owners * stride + items - (np.arange(len(items)) - starts[owners] + 1)
        remaining = self._num_items - counts[place]
        if (remaining < 1).any():
            user = int(users[np.argmin(remaining)])
            raise DataError(
                f"user {user}: positives cover all {self._num_items} items, so there is no "
                "negative to draw. Leave this device out or widen the catalogue."
            )
        ranks = _ranks(rng, remaining, size)
        sought = place[:, None] * stride + ranks
        shift = np.searchsorted(keys, sought, side="right") - starts[place][:, None]
        return (ranks + 1 + shift).astype(np.int32)

    def _distinct(
        self, users: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The different items of `users`, each ascending, behind whose of them each is."""
        histories = [self._histories[user] for user in users.tolist()]
        owners = np.repeat(np.arange(len(users)), [len(history) for history in histories])
        items = np.concatenate([np.zeros(0, np.int64), *histories])
        keys = np.unique(owners * (self._num_items + 1) + items)
        return keys // (self._num_items + 1), keys % (self._num_items + 1)
