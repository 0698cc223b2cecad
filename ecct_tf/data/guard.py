"""What a device judges its training by: its newest positions, which it does not train on.

Simulation and devices call the same functions. Nothing is drawn: which items a position is ranked
against follows from the history alone, so that a device judges alike whatever runs it. No
TensorFlow: a device imports it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecct_tf.config import SampleConfig
from ecct_tf.data._arrays import complement_items

__all__ = [
    "GUARD_NEGATIVES",
    "allowed_loss",
    "guard_candidates",
    "guard_places",
    "guard_positions",
    "keeps_training",
    "trained_counts",
    "trained_positions",
]

GUARD_NEGATIVES = 99
"""Items that a held-back position is ranked against."""


def guard_positions(length: int, *, num_older: int, samples: SampleConfig) -> npt.NDArray[np.int64]:
    """The newest positions of a history, which stay out of training: `[g] int64`.

    As many as `samples.guard_positions`, but never more than half of the positions that a device
    could train on. What it does not train on today it may tomorrow, when newer ones have come.

    Args:
      length: of the history.
      num_older: how many of its items the cloud knows; positions begin after them.
      samples: which positions a device trains on.

    >>> samples = SampleConfig(guard_positions=2)
    >>> guard_positions(10, num_older=5, samples=samples).tolist()
    [8, 9]
    >>> guard_positions(10, num_older=8, samples=samples).tolist()
    [9]
    >>> guard_positions(10, num_older=9, samples=samples).tolist()
    []
    """
    trained = trained_positions(length, num_older=num_older, samples=samples)
    return np.arange(trained.stop, length)


def trained_positions(length: int, *, num_older: int, samples: SampleConfig) -> range:
    """The positions of a history that a device trains on; those after them are held back.

    >>> trained_positions(9, num_older=7, samples=SampleConfig(max_positions=5, guard_positions=0))
    range(7, 9)
    >>> trained_positions(9, num_older=2, samples=SampleConfig(max_positions=5, guard_positions=2))
    range(4, 7)
    >>> trained_positions(0, num_older=0, samples=SampleConfig())
    range(0, 0)
    """
    first = min(max(num_older, length - samples.max_positions, 1), length)
    return range(first, length - min(samples.guard_positions, (length - first) // 2))


def trained_counts(
    lengths: npt.NDArray[np.int64], *, num_older: npt.NDArray[np.int64], samples: SampleConfig
) -> npt.NDArray[np.int64]:
    """`[n] int64`: how many positions `trained_positions` has for each of many histories.

    >>> samples = SampleConfig(max_positions=5, guard_positions=2)
    >>> trained_counts(np.array([9, 0]), num_older=np.array([2, 0]), samples=samples).tolist()
    [3, 0]
    """
    first = np.maximum(np.maximum(num_older, lengths - samples.max_positions), 1)
    left = lengths - np.minimum(first, lengths)
    found: npt.NDArray[np.int64] = left - np.minimum(samples.guard_positions, left // 2)
    return found


def guard_candidates(
    history: npt.NDArray[np.int32],
    positions: npt.NDArray[np.int64],
    *,
    num_items: int,
    pool: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.int32]:
    """Candidates of held-back positions: `[g, 1 + 99] int32`, the item of the position first.

    The others are outside the history and evenly spread over the catalog. Where it has fewer of
    them, some repeat; where it has none, there is nothing to judge by: `[0, 1 + 99]`.

    Args:
      history: `[n] int32`, the whole of it, items in 1..num_items.
      positions: `[g] int64`, where in it they are.
      num_items: number of items, without padding.
      pool: `[h] int32`, the items that stand for the catalog, ascending, each once; None for all.

    >>> guard_candidates(np.array([2, 3], np.int32), np.array([1]), num_items=200)[0, :4].tolist()
    [3, 4, 6, 8]
    """
    known = np.unique(history)
    others = None if pool is None else np.setdiff1d(pool, known)
    remaining = num_items - len(known) if others is None else len(others)
    if remaining < 1:
        return np.zeros((0, 1 + GUARD_NEGATIVES), np.int32)
    # The middles of as many stretches of the same length.
    places = (2 * np.arange(GUARD_NEGATIVES, dtype=np.int64) + 1) * remaining
    ranks = places // (2 * GUARD_NEGATIVES)
    chosen = complement_items(known, ranks) if others is None else others[ranks]
    rows = np.tile(chosen, (len(positions), 1))
    return np.concatenate([history[positions][:, None], rows], axis=1).astype(np.int32)


def keeps_training(start: npt.ArrayLike, trained: npt.ArrayLike, *, wanted: int) -> bool:
    """Whether a device keeps what training gave it, by the logits of its held-back positions.

    It does unless their items rank lower than at its start, all places added up; a tie counts
    against an item. If a history is too short to hold back as many as wanted, training had little
    to learn from, and must rank them higher. Without a position nothing speaks against it.

    Args:
      start: `[g, c] float`, of the weights that the device started with, column 0 of its items.
      trained: `[g, c] float`, of its weights now.
      wanted: `samples.guard_positions`, how many a device with a longer history holds back.

    >>> keeps_training([[0.2, 0.1, 0.3]], [[0.5, 0.1, 0.4]], wanted=2)
    True
    >>> keeps_training([[0.2, 0.1, 0.3]], [[0.5, 0.1, 0.6]], wanted=2)
    False
    >>> keeps_training([[0.2, 0.1, 0.3]], [[0.5, 0.1, 0.6]], wanted=1)
    True
    >>> keeps_training(np.zeros((0, 3)), np.zeros((0, 3)), wanted=2)
    True
    """
    lost = guard_places(trained).sum() - guard_places(start).sum()
    return bool(lost < allowed_loss(len(np.asarray(trained)), wanted=wanted))


def allowed_loss(positions: npt.ArrayLike, *, wanted: int) -> npt.NDArray[np.int64]:
    """The places below which training may cost a device's held-back items, all added up.

    Args:
      positions: `[...] int`, how many each device holds back.
      wanted: `samples.guard_positions`.

    >>> allowed_loss([0, 1, 2], wanted=2).tolist()
    [1, 0, 1]
    """
    held = np.asarray(positions)
    return np.where((held > 0) & (held < wanted), 0, 1)


def guard_places(logits: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The 0-based place of each position's item among its candidates: `[g] int64`.

    >>> guard_places([[0.5, 0.5, 0.1], [0.5, 0.2, 0.1]]).tolist()
    [1, 0]
    """
    scores = np.asarray(logits)
    # What is no number outranks nothing.
    places: npt.NDArray[np.int64] = (~(scores[:, 1:] < scores[:, :1])).sum(axis=1, dtype=np.int64)
    return places
