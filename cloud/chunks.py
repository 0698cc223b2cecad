"""Many users a few at a time, so that memory does not grow with them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["in_chunks"]

# Bounds what is held for users at once, such as the dense [users, items] logits that queries are
# chosen from.
_USERS_AT_ONCE = 2048


def in_chunks(
    compute: Callable[..., npt.NDArray[Any]],
    *rows: npt.NDArray[Any],
    size: int = _USERS_AT_ONCE,
) -> npt.NDArray[Any]:
    """What `compute` makes of arrays with one row a user, computed for `size` users at once.

    Args:
      compute: takes as many arrays, of fewer rows, and gives one row for each of theirs.
      *rows: `[n, ...]` each.
      size: the most users at once.

    >>> in_chunks(lambda a, b: a + b[:, 0], np.arange(3), np.ones((3, 2)), size=2).tolist()
    [1.0, 2.0, 3.0]
    """
    parts = [
        compute(*(array[start : start + size] for array in rows))
        for start in range(0, max(len(rows[0]), 1), size)
    ]
    return np.concatenate(parts)
