"""Training negatives that do not leak what is held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import complement_items, complement_keys
from ecct_tf.errors import DataError

__all__ = ["BulkNegatives", "sample_distinct_negatives", "sample_negatives"]


def sample_negatives(
    rng: np.random.Generator, *, positives: npt.NDArray[np.int32], num_items: int, size: int
) -> npt.NDArray[np.int32]:
    """Draws items outside `positives`, uniformly and with replacement.

    Give the device's *training* items only. Its validation and test items may
    then be drawn as negatives, and must be: at training time nobody knows
    them. To exclude them would leak them, since an item that is never a
    negative is recognisable as a future positive. Published protocols that do
    so gain 16 points of HR@10 from it on MovieLens-100K.

    Args:
      rng: the generator; the same state gives the same items.
      positives: `[p] int32`, items in 1..num_items, any order, may repeat.
      num_items: number of items, without padding.
      size: how many items to draw.

    Returns:
      `[size] int32` items in 1..num_items.

    Example:
      >>> rng = np.random.default_rng(0)
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
    # Ranks in the complement need no rejection, however dense the positives.
    return complement_items(known, rng.integers(remaining, size=size))


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
    """Draws for rows of many histories at once what `sample_negatives` draws one by one.

    From the same generator come the same items, in a fraction of the time.

    Args:
      histories: per user `[n] int32`, items in 1..num_items, any order, may repeat.
      num_items: number of items, without padding.
    """

    def __init__(self, histories: Sequence[npt.NDArray[np.int32]], *, num_items: int) -> None:
        known = [np.unique(history) for history in histories]
        self._num_items = num_items
        self._counts = np.array([len(items) for items in known], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])
        self._keys = complement_keys(known, stride=num_items + 1)

    def draw(
        self, rng: np.random.Generator, *, users: npt.NDArray[np.int32], size: int
    ) -> npt.NDArray[np.int32]:
        """`[n, size] int32` items outside the histories of `users`, `[n] int32`.

        Raises:
          DataError: the history of one of them covers all items.
        """
        remaining = self._num_items - self._counts[users]
        if (remaining < 1).any():
            user = int(users[np.argmin(remaining)])
            raise DataError(
                f"user {user}: positives cover all {self._num_items} items, so there is no "
                "negative to draw. Leave this device out or widen the catalogue."
            )
        ranks = rng.integers(remaining[:, None], size=(len(users), size))
        keys = users.astype(np.int64)[:, None] * (self._num_items + 1) + ranks
        shift = np.searchsorted(self._keys, keys, side="right") - self._starts[users][:, None]
        return (ranks + 1 + shift).astype(np.int32)
