"""The user tower's inputs, each made when it is asked for: most users of a round are others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["UserStates"]

Array = npt.NDArray[np.float32]

# Room for 170,000 states of the usual width.
_KEPT_BYTES = 1 << 27
_MADE_AT_ONCE = 4096


class UserStates:
    """`[n, s] float32`, of which the rows that were made last stay, up to a bound.

    A row that is made again is the same, bit for bit.

    Args:
      make: gives the rows of some numbers, `[k] int64`: `[k, s] float32`.
      length: n.
      kept_bytes: how much of them stays; None for 128 MiB.

    Example:
      >>> states = UserStates(lambda rows: np.float32(rows)[:, None] / 2, length=1_000_000)
      >>> states.shape, states[np.array([7, 3])].tolist()
      ((1000000, 1), [[3.5], [1.5]])
    """

    def __init__(
        self,
        make: Callable[[npt.NDArray[np.int64]], Array],
        *,
        length: int,
        kept_bytes: int | None = None,
    ) -> None:
        self._make = make
        width = make(np.arange(min(length, 1))).shape[1]
        self.shape = (length, width)
        self.dtype = np.dtype(np.float32)
        most = _KEPT_BYTES if kept_bytes is None else kept_bytes
        size = max(1, min(length, most // max(1, 4 * width)))
        # Pages that nothing is written to take no memory.
        self._kept = np.empty((size, width), np.float32)
        self._place = np.full(length, -1, np.int32)
        self._owner = np.full(size, -1, np.int64)
        self._next = 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> Array:
        """The rows of a slice, or of numbers `[k] int`: `[k, s]`."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        once, places = np.unique(rows, return_inverse=True)
        found = np.empty((len(once), self.shape[1]), np.float32)
        there = self._place[once] >= 0
        found[there] = self._kept[self._place[once[there]]]
        missing = np.flatnonzero(~there)
        for start in range(0, len(missing), _MADE_AT_ONCE):
            some = missing[start : start + _MADE_AT_ONCE]
            found[some] = self._make(once[some].astype(np.int64))
        self._keep(once[missing], found, missing)
        return found[places]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All of them."""
        del copy  # There is none to share.
        found = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)

    def _keep(self, rows: npt.NDArray[Any], found: Array, places: npt.NDArray[np.int64]) -> None:
        """Keeps `found[places]` of `rows`, as many as there is room for, for the oldest."""
        size = len(self._owner)
        rows, places = rows[:size], places[:size]
        slots = (self._next + np.arange(len(rows))) % size
        former = self._owner[slots]
        self._place[former[former >= 0]] = -1
        self._kept[slots] = found[places]
        self._owner[slots] = rows
        self._place[rows] = slots
        self._next = (self._next + len(rows)) % size
