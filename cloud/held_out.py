"""Labelled positions of the cloud's own view that stay out of all training, to judge it by."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.features import CloudPositions
from ecct_tf.data import BulkNegatives, CloudView

__all__ = ["HeldOut", "hold_out"]

Ids = npt.NDArray[np.int32]

_NEGATIVES = 99
# More positions judge finer than anybody needs, and more slowly.
_MOST = 2048


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Positions that are kept out of the cloud's training, each among negatives.

    Attributes:
      users: `[n] int32`, each once, ascending.
      states: `[n, s]`, the user tower's input before the position.
      items: `[n, 1 + 99] int32`; column 0 is what came next.
    """

    users: Ids
    states: npt.NDArray[Any]
    items: Ids


def hold_out(
    positions: CloudPositions, view: CloudView, *, share: float, seed: int
) -> tuple[CloudPositions, HeldOut]:
    """Divides labelled positions into those to train on and those to judge by.

    At most one of a user is held out, and none of a user who has only one.

    Args:
      positions: all of them.
      view: the cloud's view; negatives are outside a user's older history.
      share: of the positions, how many are held out at most; 2,048 in any case.
      seed: decides which.
    """
    rng = np.random.default_rng([seed, 0x47])
    counts = np.bincount(positions.users, minlength=view.num_users)
    order = rng.permutation(np.flatnonzero(counts[positions.users] > 1))
    users, first = np.unique(positions.users[order], return_index=True)
    size = min(int(share * len(positions.users)), len(users), _MOST)
    chosen = np.sort(rng.permutation(len(users))[:size])
    users, rows = users[chosen].astype(np.int32), order[first[chosen]]
    negatives = BulkNegatives(view.older.histories, num_items=view.num_items)
    drawn = negatives.draw(rng, users=users, size=_NEGATIVES)
    items = np.concatenate([positions.items[rows][:, None], drawn], axis=1)
    kept = np.ones(len(positions.users), bool)
    kept[rows] = False
    rest = dataclasses.replace(
        positions,
        users=positions.users[kept],
        seen_from=positions.seen_from[kept],
        items=positions.items[kept],
    )
    return rest, HeldOut(users, positions.states_before(rows), items)
