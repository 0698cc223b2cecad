"""What a device trains on: its newer positions, each with negatives, in a fixed order.

The simulation's devices and those that run an exported file draw here, so that the same
history gives the same samples. No TensorFlow: a device imports it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import SampleConfig
from ecct_tf.data.guard import trained_positions
from ecct_tf.data.negatives import sample_negatives

__all__ = [
    "LocalSamples",
    "batch_rows",
    "draw_samples",
    "histories_before",
    "pad_history",
    "position_weights",
    "sample_order",
]

_DRAW = 0xDE7
_ORDER = 0x0DD


class LocalSamples(NamedTuple):
    """The positions of one user.

    Attributes:
      histories: `[p, L] int32`, what came before each position, newest last.
      candidates: `[p, 1 + negatives] int32`, the item of the position first.
      positions: `[p] int64`, where in the history they are.
    """

    histories: npt.NDArray[np.int32]
    candidates: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int64]


def draw_samples(
    history: npt.NDArray[np.int32],
    *,
    num_older: int,
    num_items: int,
    history_length: int,
    samples: SampleConfig,
    seed: int,
    user: int,
    round_number: int | None = None,
    pool: npt.NDArray[np.int32] | None = None,
) -> LocalSamples:
    """Draws a user's samples; the newest positions, by which a device judges, are left out.

    Args:
      history: `[n] int32`, the user's training items, oldest first.
      num_older: how many of them the cloud knows; positions begin after them.
      num_items: items that there are.
      history_length: L.
      samples: which samples to draw.
      seed: of the run; what is drawn depends on it and on the user alone.
      user: the user's id.
      round_number: draws negatives anew for this round; None draws the same in every round.
      pool: `[h] int32`, the items that negatives are drawn from, ascending, each once; None for
        all.

    Raises:
      DataError: nothing is left to draw.
    """
    rng = np.random.default_rng(_seed(seed, _DRAW, user, round_number))
    trained = trained_positions(len(history), num_older=num_older, samples=samples)
    positions = np.arange(trained.start, trained.stop)
    histories = histories_before(history, positions, history_length)
    candidates = np.zeros((len(positions), 1 + samples.negatives), np.int32)
    candidates[:, 0] = history[positions]
    draw = functools.partial(sample_negatives, rng, size=samples.negatives, rows=len(positions))
    if pool is None:
        candidates[:, 1:] = draw(positives=history, num_items=num_items)
    else:
        known = 1 + np.flatnonzero(np.isin(pool, history)).astype(np.int32)
        candidates[:, 1:] = pool[draw(positives=known, num_items=len(pool)) - 1]
    return LocalSamples(histories, candidates, positions)


def sample_order(
    samples: int, *, seed: int, user: int, round_number: int | None = None, group_size: int = 1
) -> npt.NDArray[np.int64]:
    """A shuffle of a device's samples: batches then mix positives and negatives of positions.

    Args:
      samples: how many.
      seed: of the run.
      user: the first user on the device.
      round_number: as for `draw_samples`.
      group_size: samples that stay together, in their order: all of a position, for a loss that
        reads them so; 1 shuffles each by itself.

    >>> sample_order(6, seed=0, user=0, group_size=3).tolist()
    [3, 4, 5, 0, 1, 2]
    """
    rng = np.random.default_rng(_seed(seed, _ORDER, user, round_number))
    groups = rng.permutation(samples // group_size)
    order: npt.NDArray[np.int64] = (groups[:, None] * group_size + np.arange(group_size)).reshape(
        -1
    )
    return order


def position_weights(
    positions: npt.NDArray[np.int64], *, half_life: int
) -> npt.NDArray[np.float32]:
    """How much each of a user's positions weighs in the loss: `[p] float32`, the newest 1.

    One division of float32, which every runtime rounds alike.

    Args:
      positions: `[p] int64`, oldest first, as `draw_samples` gives them.
      half_life: h, newer positions behind which one weighs half; 0 weighs all alike.

    >>> position_weights(np.array([4, 5, 6, 7]), half_life=1).tolist()
    [0.25, 0.3333333432674408, 0.5, 1.0]
    >>> position_weights(np.array([4, 5]), half_life=0).tolist()
    [1.0, 1.0]
    """
    if not half_life:
        return np.ones(len(positions), np.float32)
    newer = len(positions) - 1 - np.arange(len(positions))
    return np.float32(half_life) / (half_life + newer).astype(np.float32)


def batch_rows(batch_size: int, *, group_size: int) -> int:
    """Rows of a batch of at most `batch_size`, in whole groups of samples, at least one.

    >>> batch_rows(32, group_size=1), batch_rows(32, group_size=10), batch_rows(4, group_size=10)
    (32, 30, 10)
    """
    return max(1, batch_size // group_size) * group_size


def pad_history(history: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.int32]:
    """The newest `length` items of `history`, padded with 0 at the front: `[length] int32`."""
    padded = np.zeros(length, np.int32)
    newest = history[-length:]
    if len(newest):
        padded[-len(newest) :] = newest
    return padded


def histories_before(
    history: npt.NDArray[np.int32], positions: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.int32]:
    """What `pad_history` gives of the history before each of `positions`: `[p, length] int32`.

    >>> histories_before(np.array([5, 6, 7], np.int32), np.array([1, 3]), 2).tolist()
    [[0, 5], [6, 7]]
    """
    padded = np.concatenate([np.zeros(length, np.int32), history])
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)
    before: npt.NDArray[np.int32] = windows[positions]
    return before


def _seed(seed: int, purpose: int, user: int, round_number: int | None) -> list[int]:
    # From 1: a seed sequence takes a trailing 0 for none.
    return [seed, purpose, user, *([] if round_number is None else [round_number + 1])]
