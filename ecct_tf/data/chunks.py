"""Many users a few at a time, by how much they have, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["chunks_of"]

_ENTRIES_AT_ONCE = 1 << 20


def chunks_of(ends: npt.NDArray[np.int64], size: int = _ENTRIES_AT_ONCE) -> Iterator[slice]:
    """Cuts users, or rows of another kind, into runs of at most `size` entries, or of one row.

    Args:
      ends: `[n]`, entries of each row and of those before it.
      size: entries.

    >>> list(chunks_of(np.array([2, 3, 9, 10]), size=4))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + size, side="right")), start + 1)
        yield slice(start, stop)
        start = stop
