"""Many users a few at a time, so that memory does not grow with them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["first_users", "in_chunks", "users_at_once", "users_from"]

# Bounds what is held for users at once, such as the dense [users, items] logits that queries are
# chosen from.
_USERS_AT_ONCE = 2048
_NUMBERS_AT_ONCE = 1 << 25


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
    count = len(rows[0])
    first = compute(*(array[:size] for array in rows))
    if count <= size:
        return first
    # Not put together from parts at the end, when all would be there twice.
    found = np.empty((count, *first.shape[1:]), first.dtype)
    found[:size] = first
    for start in range(size, count, size):
        found[start : start + size] = compute(*(array[start : start + size] for array in rows))
    return found


def users_at_once(numbers: int) -> int:
    """How many users are computed at once where each takes so many numbers.

    >>> users_at_once(1_682), users_at_once(200_000)
    (2048, 167)
    """
    return max(1, min(_USERS_AT_ONCE, _NUMBERS_AT_ONCE // max(numbers, 1)))


def first_users(users: int, *, size: int) -> tuple[int, ...]:
    """The first user of each part, where users are divided into parts; of no users one part.

    Args:
      users: how many there are.
      size: how many a part has, but for the last.

    >>> first_users(5, size=2), first_users(0, size=2)
    ((0, 2, 4), (0,))
    """
    return tuple(range(0, max(users, 1), size))


def users_from(first: int, *, users: int, size: int) -> npt.NDArray[np.int32]:
    """The users of the part that begins with `first`, `[k] int32`.

    Args:
      first: one of `first_users`.
      users: how many there are.
      size: how many a part has, but for the last.

    >>> users_from(4, users=5, size=2).tolist()
    [4]
    """
    return np.arange(first, min(first + size, users), dtype=np.int32)
