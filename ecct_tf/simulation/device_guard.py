"""The held-back positions of simulated devices, by which they judge their training."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import SampleConfig
from ecct_tf.data import Candidates, Split
from ecct_tf.data.guard import (
    GUARD_NEGATIVES,
    allowed_loss,
    guard_candidates,
    guard_places,
    guard_positions,
)
from ecct_tf.data.held_items import HeldItems

__all__ = ["HeldBack", "held_back", "kept_training"]

Array = npt.NDArray[np.float32]


class HeldBack(NamedTuple):
    """Held-back positions at evaluated requests.

    Attributes:
      candidates: a row for each position, its item among others.
      requests: `[g] int64`, of which request each is.
    """

    candidates: Candidates
    requests: npt.NDArray[np.int64]


def held_back(
    requests: Candidates,
    rows: npt.NDArray[np.int64],
    *,
    split: Split,
    samples: SampleConfig,
    held: HeldItems | None = None,
) -> HeldBack:
    """The newest positions of each request's history, which no device has trained on.

    Args:
      requests: a row for each request; its items are not looked at.
      rows: `[r] int64`, the requests that count.
      split: for the histories: at a request a device holds all that came before it.
      samples: what devices train on.
      held: the items whose rows devices hold; None for all.
    """
    users, places = requests.users[rows], requests.positions[rows]
    positions = [np.zeros(0, np.int64)]
    items = [np.zeros((0, 1 + GUARD_NEGATIVES), np.int32)]
    older = split.older_counts
    for user, place in zip(users.tolist(), places.tolist(), strict=True):
        history = split.before(user, place)
        newest = guard_positions(len(history), num_older=int(older[user]), samples=samples)
        pool = None if held is None else held.of(user)
        found = guard_candidates(history, newest, num_items=split.num_items, pool=pool)
        positions.append(newest[: len(found)])
        items.append(found)
    owners = np.repeat(np.arange(len(rows)), [len(found) for found in positions[1:]])
    candidates = Candidates(users[owners], np.concatenate(positions), np.concatenate(items))
    return HeldBack(candidates, owners)


def kept_training(
    start: Array, trained: Array, *, requests: npt.NDArray[np.int64], count: int, wanted: int
) -> npt.NDArray[np.bool_]:
    """`keeps_training` of many devices at once: `[count] bool`.

    Args:
      start: `[g, c] float32`, logits of all held-back positions with the starting weights.
      trained: the same with the trained ones.
      requests: `[g] int64`, in 0..count - 1, whose each position is.
      count: how many requests there are; those without a position keep what they have.
      wanted: `samples.guard_positions`.

    >>> start = np.array([[0.5, 0.4], [0.5, 0.4], [0.5, 0.4]], np.float32)
    >>> trained = np.array([[0.5, 0.6], [0.5, 0.4], [0.5, 0.3]], np.float32)
    >>> kept_training(start, trained, requests=np.array([0, 0, 1]), count=3, wanted=1).tolist()
    [False, True, True]
    """
    lost = guard_places(trained) - guard_places(start)
    sums = np.bincount(requests, weights=lost, minlength=count)
    positions = np.bincount(requests, minlength=count)
    kept: npt.NDArray[np.bool_] = sums < allowed_loss(positions, wanted=wanted)
    return kept
