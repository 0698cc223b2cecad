"""Item histories as a sparse matrix, and the checks all baselines share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse  # type: ignore[import-untyped, unused-ignore]

from ecct_tf.errors import ConfigError, DataError

__all__ = ["IntArray", "checked_candidates", "interaction_matrix"]

IntArray = npt.NDArray[np.integer[Any]]


def interaction_matrix(
    histories: Sequence[IntArray], *, num_items: int, decay: float = 1.0, first: int = 0
) -> sparse.csr_matrix:
    """Histories as rows over the items, weighted by recency.

    Args:
      histories: per device `[length] int`, items 1..num_items, oldest first;
        padding (0) is dropped. Lengths may differ, also be 0.
      num_items: the largest item id.
      decay: in (0, 1]. An item weighs `decay ** age`, where the newest interaction
        has age 0. An item that came up more than once counts once, at its newest,
        so that `decay=1` gives a matrix of zeros and ones.
      first: number of the first history, for messages.

    Returns:
      CSR `[devices, num_items + 1] float32`; column 0 is empty.
    """
    if num_items < 1:
        raise ConfigError(
            f"num_items: expected at least 1, received {num_items}. Pass the largest item id."
        )
    if not 0.0 < decay <= 1.0:
        raise ConfigError(
            f"decay: expected a value above 0 and at most 1, received {decay}. "
            "1 weights a whole history equally."
        )
    rows = [np.asarray(history) for history in histories]
    if not rows:
        raise DataError(
            "histories: expected at least one device, received none. "
            "Pass one (possibly empty) array of item ids per device."
        )
    for index, row in enumerate(rows):
        # An empty list becomes a float array; it has no item that could be wrong.
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise DataError(
                f"histories[{first + index}]: expected a vector of integer item ids, received "
                f"shape {row.shape} of {row.dtype}. Encode items as 1..{num_items} first."
            )
    items = np.concatenate([row.astype(np.int64) for row in rows])
    device = np.repeat(np.arange(len(rows)), [row.size for row in rows])
    outside = (items < 0) | (items > num_items)
    if outside.any():
        where = int(np.argmax(outside))
        raise DataError(
            f"histories[{first + int(device[where])}]: expected items from 1 to {num_items} (0 is "
            f"padding), received {int(items[where])}. Check num_items and the item encoding."
        )
    real = items > 0
    items, device = items[real], device[real]
    ends = np.cumsum(np.bincount(device, minlength=len(rows)))
    age = ends[device] - 1 - np.arange(items.size)
    # The first of each key in reversed order is an item's newest interaction.
    keys = (device * (num_items + 1) + items)[::-1]
    _, first = np.unique(keys, return_index=True)
    newest = items.size - 1 - first
    weights = np.power(decay, age[newest], dtype=np.float64).astype(np.float32)
    return sparse.csr_matrix(
        (weights, (device[newest], items[newest])), shape=(len(rows), num_items + 1)
    )


def checked_candidates(candidates: IntArray, *, num_items: int) -> IntArray:
    """The candidates `[k, c] int`, refused if one is not an item 1..num_items."""
    matrix = np.asarray(candidates)
    if matrix.ndim != 2 or matrix.dtype.kind not in "iu":
        raise DataError(
            "candidates: expected an integer matrix [devices, candidates], received shape "
            f"{matrix.shape} of {matrix.dtype}. Pass one row of item ids per device."
        )
    outside = (matrix < 1) | (matrix > num_items)
    if outside.any():
        row, column = (int(index) for index in np.argwhere(outside)[0])
        raise DataError(
            f"candidates[{row}, {column}]: expected an item from 1 to {num_items}, received "
            f"{int(matrix[row, column])}. Padding (0) cannot be ranked: give each row real items."
        )
    return matrix
