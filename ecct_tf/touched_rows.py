"""Rows of a large array of which most were never written: those are all alike, and kept once.

What a device or a user has in a run is such an array: a million rows, of which a round writes a
thousand. Memory, copies and checkpoints then follow the rows that were written.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LongerRows", "Rows", "TouchedRows", "parts_of", "touched_of", "with_rows"]

Array = npt.NDArray[Any]

_BLOCK_BYTES = 1 << 22
_UNTOUCHED = -1


class TouchedRows:
    """`[n, ...]`: the rows that were written, and one that stands for each of the others.

    A value: `with_rows` gives another, and this one stays as it is. Values that come from each
    other share what they have in common.

    Args:
      default: `[...]`, every row that was not written.
      length: n.

    Example:
      >>> before = TouchedRows(np.zeros(2), length=1_000_000)
      >>> after = before.with_rows(np.array([3]), np.ones((1, 2)))
      >>> before[3].tolist(), after[[2, 3]].tolist(), after.touched.tolist()
      ([0.0, 0.0], [[0.0, 0.0], [1.0, 1.0]], [3])
    """

    def __init__(self, default: npt.ArrayLike, *, length: int) -> None:
        self._default = np.array(default)
        self._default.flags.writeable = False
        self._places = np.full(length, _UNTOUCHED, np.int32)
        self._written = _Blocks(self._default)
        self._count = 0

    @property
    def default(self) -> Array:
        """`[...]`: the row that stands for those that were not written."""
        return self._default

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the rows' numbers."""
        return self._default.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """`n, ...`, as of the whole array."""
        return (len(self._places), *self._default.shape)

    @property
    def touched(self) -> npt.NDArray[np.int64]:
        """`[t] int64`: the rows that were written, ascending."""
        return np.flatnonzero(self._places != _UNTOUCHED)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, rows: Any) -> Array:
        """The row of a number, or those of a slice, of numbers or of a mask, as an array."""
        places = self._places[rows]
        if np.ndim(places):
            return self._written.of(places)
        return self._written.of(np.array([places]))[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All rows."""
        del copy  # There is none to share.
        found = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)

    def in_parts(self) -> Iterator[Array]:
        """All rows in their order, some at a time."""
        step = self._written.size
        for start in range(0, len(self), step):
            yield self[start : start + step]

    def with_rows(self, rows: npt.NDArray[Any], values: npt.ArrayLike) -> "TouchedRows":
        """Others, in which `rows` `[k] int`, no row twice, are `values`, `[k, ...]` or `[...]`."""
        given = np.broadcast_to(np.asarray(values, self.dtype), (len(rows), *self._default.shape))
        found = object.__new__(TouchedRows)
        found._default = self._default
        found._places = self._places.copy()
        found._count = self._count + int((self._places[rows] == _UNTOUCHED).sum())
        found._written = self._written
        first = found._written.add(given)
        found._places[rows] = np.arange(first, first + len(rows))
        # What later values wrote anew is in the way of nobody but those who keep this one.
        if found._written.count > 2 * found._count + found._written.size:
            return TouchedRows.stored(
                found._default, rows=found.touched, values=found[found.touched], length=len(found)
            )
        return found

    @classmethod
    def stored(
        cls,
        default: npt.ArrayLike,
        *,
        rows: npt.NDArray[Any],
        values: npt.ArrayLike,
        length: int,
    ) -> "TouchedRows":
        """What `default`, `touched` and the values of those rows say."""
        return cls(default, length=length).with_rows(rows, values)


class LongerRows:
    """`[n, ...]`: the rows of a shorter array, which is not copied, then one row again and again.

    Args:
      rows: `[m, ...]`.
      default: `[...]`, each row after them.
      length: n, at least m.

    Example:
      >>> longer = LongerRows(np.array([3, 4]), -1, length=4)
      >>> longer[np.array([1, 3])].tolist(), longer.shape
      ([4, -1], (4,))
    """

    def __init__(self, rows: "Rows", default: npt.ArrayLike, *, length: int) -> None:
        self._rows = rows
        self._default = np.broadcast_to(np.asarray(default, rows.dtype), rows.shape[1:])
        self.shape: tuple[int, ...] = (length, *rows.shape[1:])
        self.dtype: np.dtype[Any] = rows.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        """The row of a number, or those of a slice, of numbers or of a mask, as an array."""
        places = np.arange(len(self))[rows] if not isinstance(rows, np.ndarray) else rows
        if places.dtype == np.bool_:
            places = np.flatnonzero(places)
        if not np.ndim(places):
            return self[np.array([places])][0]
        found = np.empty((len(places), *self.shape[1:]), self.dtype)
        known = (places < len(self._rows)) & (places >= 0)
        found[known] = self._rows[places[known]]
        found[~known] = self._default
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All rows."""
        del copy  # There is none to share.
        found = np.concatenate([*self.in_parts()])
        return found if dtype is None else found.astype(dtype, copy=False)

    def in_parts(self) -> Iterator[Array]:
        """All rows in their order, some at a time."""
        yield from parts_of(self._rows)
        step = max(1, _BLOCK_BYTES // max(self._default.nbytes, 1))
        for start in range(len(self._rows), len(self), step):
            count = min(step, len(self) - start)
            yield np.broadcast_to(self._default, (count, *self.shape[1:]))


Rows = Array | TouchedRows | LongerRows


def touched_of(array: npt.NDArray[Any], default: Any) -> TouchedRows:
    """`array` `[n]` by what differs from `default`, NaN being equal to itself.

    >>> np.asarray(touched_of(np.array([-1, 4, -1]), -1)).tolist()
    [-1, 4, -1]
    """
    like = np.asarray(default, array.dtype)
    other = ~np.isnan(array) if array.dtype.kind == "f" and np.isnan(like) else array != like
    rows = np.flatnonzero(other)
    return TouchedRows.stored(like, rows=rows, values=array[rows], length=len(array))


def with_rows(array: Rows, rows: npt.NDArray[Any], values: npt.ArrayLike) -> Rows:
    """A copy of `array`, `[n, ...]`, in which `rows` are `values`."""
    if isinstance(array, TouchedRows):
        return array.with_rows(rows, values)
    copied = np.array(array)
    copied[rows] = values
    return copied


def parts_of(array: Rows) -> Iterator[Array]:
    """The rows of `array` in their order, as plain arrays, without all of them at once."""
    if isinstance(array, TouchedRows | LongerRows):
        yield from array.in_parts()
    else:
        yield array


class _Blocks:
    """Rows that are added and never changed, in blocks that are never moved."""

    def __init__(self, default: Array) -> None:
        self._default = default
        self.size = max(1, _BLOCK_BYTES // max(default.nbytes, 1))
        self.count = 0
        self._blocks: list[Array] = []

    def add(self, values: Array) -> int:
        """Adds rows; the place of the first."""
        first, done = self.count, 0
        while done < len(values):
            index, offset = divmod(self.count, self.size)
            if index == len(self._blocks):
                # Pages that nothing is written to take no memory.
                shape = (self.size, *self._default.shape)
                self._blocks.append(np.empty(shape, self._default.dtype))
            taken = min(self.size - offset, len(values) - done)
            self._blocks[index][offset : offset + taken] = values[done : done + taken]
            self.count += taken
            done += taken
        return first

    def of(self, places: npt.NDArray[np.int32]) -> Array:
        """The rows at `places` `[k]`, and the default where they are negative: `[k, ...]`."""
        found = np.empty((len(places), *self._default.shape), self._default.dtype)
        found[places < 0] = self._default
        blocks = places // self.size
        for index in np.unique(blocks[places >= 0]):
            here = blocks == index
            found[here] = self._blocks[index][places[here] - index * self.size]
        return found
