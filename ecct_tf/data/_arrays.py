"""Small array helpers shared by the data package."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["complement_items", "owned"]


def owned(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Returns a read-only copy of `values` that owns its memory.

    A slice keeps its whole parent reachable through `.base`. What crosses from
    the simulator to one side must not be such a window, hence always a copy.
    """
    copy: npt.NDArray[Any] = np.array(values, dtype=dtype, copy=True, order="C")
    copy.setflags(write=False)
    return copy


def complement_items(
    excluded: npt.NDArray[np.integer[Any]], ranks: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.int32]:
    """Maps ranks to items within 1..num_items without `excluded`.

    Args:
      excluded: `[e] int`, sorted and without repetition, items (from 1).
      ranks: `[n] int`, positions (from 0) among the items not excluded.

    Returns:
      `[n] int32` items. Rank r is item r + 1 + (excluded items before it).
    """
    remaining_before = excluded - np.arange(1, len(excluded) + 1)
    shift = np.searchsorted(remaining_before, ranks, side="right")
    return (ranks + 1 + shift).astype(np.int32)
