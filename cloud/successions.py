"""How often an item comes soon after another, band of items by band.

Of a large catalog the pairs that came up are many times the catalog. They are counted for some
users at a time and added up for some items at a time, so that never more than all of them are in
memory once.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ecct_tf.data.chunks import chunks_of
from ecct_tf.data.views import joined_of, sizes_of

__all__ = ["bands_of", "positive_information", "successions"]

_CONTEXT_SMOOTHING = 0.75
_WINDOW = 8
_ITEMS_IN_BAND = 1 << 14


def bands_of(num_items: int) -> list[slice]:
    """Rows of the matrices that `successions` gives: items that are neighbours by number."""
    starts = range(0, num_items + 1, _ITEMS_IN_BAND)
    return [slice(start, min(start + _ITEMS_IN_BAND, num_items + 1)) for start in starts]


def successions(
    histories: Sequence[npt.NDArray[np.int32]], *, num_items: int, decay: float
) -> list[sparse.csr_matrix]:
    """`[rows, items + 1]` of each band: how often the column follows the row within a window.

    Args:
      histories: per user `[n] int32`, items 1..num_items, oldest first.
      num_items: the largest item id.
      decay: d steps later counts `decay**d`.
    """
    sizes, bands = sizes_of(histories), bands_of(num_items)
    found: list[list[sparse.csr_matrix]] = [[] for _ in bands]
    for users in chunks_of(np.cumsum(sizes)):
        counts = _successions_of(
            joined_of(histories, users), sizes[users], size=num_items + 1, decay=decay
        )
        for parts, rows in zip(found, bands, strict=True):
            parts.append(counts[rows] if len(bands) > 1 else counts)
    return [_added_up(parts, rows, num_items) for parts, rows in zip(found, bands, strict=True)]


def _added_up(parts: list[sparse.csr_matrix], rows: slice, num_items: int) -> sparse.csr_matrix:
    """The sum, from the first to the last: in another order it would be rounded otherwise."""
    if not parts:
        return sparse.csr_matrix((rows.stop - rows.start, num_items + 1))
    total = parts.pop(0)
    while parts:
        total = (total + parts.pop(0)).tocsr()
    return total


def _successions_of(
    items: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64], *, size: int, decay: float
) -> sparse.csr_matrix:
    """`[size, size]` of some histories, `items` one after the other, whose `sizes` these are."""
    owners = np.repeat(np.arange(len(sizes)), sizes)
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(items))
    distances = np.arange(1, _WINDOW + 1)
    followed = left[:, None] > distances
    firsts, steps = np.nonzero(followed)
    # User by user and step by step: what is added in this order is rounded in it.
    order = np.argsort(owners[firsts] * _WINDOW + steps, kind="stable")
    firsts, steps = firsts[order], steps[order]
    weights = np.array([decay**distance for distance in distances.tolist()])[steps]
    pairs = items[firsts], items[firsts + 1 + steps]
    return sparse.coo_matrix((weights, pairs), shape=(size, size)).tocsr()


def positive_information(bands: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    """Positive pointwise mutual information of all bands, as one matrix; takes `bands` apart.

    Args:
      bands: from `successions`; the list is empty afterwards.
    """
    columns = bands[0].shape[1]
    context = np.zeros(columns)
    for band in bands:
        # One after the other, as the sum of a whole matrix is taken.
        np.add.at(context, band.indices, band.data)
    context **= _CONTEXT_SMOOTHING
    context = np.maximum(context / max(context.sum(), 1e-9), 1e-12)
    ends, rows = [np.zeros(1, np.int64)], 0
    indices = np.empty(sum(band.nnz for band in bands), np.int32)
    data = np.empty(len(indices))
    begin = 0
    while bands:
        band = bands.pop(0)
        total = np.maximum(np.asarray(band.sum(axis=1)).ravel(), 1e-9)
        sizes = np.diff(band.indptr)
        pmi = np.log(band.data / (np.repeat(total, sizes) * context[band.indices]))
        kept = pmi > 0.0
        before = np.concatenate([[0], np.cumsum(kept)])
        end = begin + int(before[-1])
        indices[begin:end], data[begin:end] = band.indices[kept], pmi[kept]
        ends.append(begin + before[np.cumsum(sizes)])
        begin, rows = end, rows + band.shape[0]
    return sparse.csr_matrix(
        (data[:begin], indices[:begin], np.concatenate(ends)), shape=(rows, columns)
    )
