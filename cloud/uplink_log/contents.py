"""Byte strings that stand in one block, cut out only when they are asked for."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

__all__ = ["Contents", "chunks"]

_CHUNK = 512


class Contents(Sequence[bytes]):
    """A sequence of byte strings that says where they lie, and keeps no copies.

    Args:
      block: bytes, or what lends its bytes.
      starts: `[n] int64`, where each begins in the block.
      lengths: `[n] int64`, of each.
    """

    def __init__(
        self, block: Any, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> None:
        self._block = memoryview(block)
        self.starts = starts
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, row: int) -> bytes: ...

    @overload
    def __getitem__(self, row: slice) -> "Contents": ...

    def __getitem__(self, row: int | slice) -> "bytes | Contents":
        if isinstance(row, slice):
            return self.taken(row)
        start = int(self.starts[row])
        return bytes(self._block[start : start + int(self.lengths[row])])

    def taken(self, rows: Any) -> "Contents":
        """Those that a slice, a mask or an order of indices takes."""
        return Contents(self._block, self.starts[rows], self.lengths[rows])

    def table(self, rows: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.void]:
        """A copy of rows that all have the same length, as `[n]` of that many bytes."""
        # At each byte of the block one could begin: NumPy copies whole rows out of this view.
        places = max(0, self._block.nbytes - length + 1)
        anywhere: npt.NDArray[np.void] = np.ndarray(
            (places,), f"V{length}", self._block, strides=(1,)
        )
        return anywhere[self.starts[rows]]


def chunks(rows: int) -> Iterator[slice]:
    """Few enough rows at a time that what is made of them stays in the processor's cache."""
    return (slice(start, start + _CHUNK) for start in range(0, rows, _CHUNK))
