"""Which items' rows each device holds, where no device holds the whole table.

The cloud chooses them by its own view. An item that a device touches without having its row is
unknown to it: it is neither trained on nor part of a history, and the device never asks for it,
since asking would name it. No TensorFlow.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import owned
from ecct_tf.data.candidates import Candidates
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.split import Split, time_order

__all__ = ["HeldItems", "held_dataset", "placed_candidates"]

Ids = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, eq=False)
class HeldItems:
    """The items whose rows devices hold.

    Attributes:
      shared: `[b] int32`, of all devices, ascending, each once.
      own: `[users, k] int32`, of each user's own beside them, ascending; 0 where there are fewer.

    Example:
      >>> held = HeldItems(np.array([2, 5]), np.array([[0, 3], [1, 2]]))
      >>> held.of(0).tolist(), held.of(1).tolist()
      ([2, 3, 5], [1, 2, 5])
    """

    shared: Ids
    own: Ids

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", owned(self.shared, np.int32))
        object.__setattr__(self, "own", owned(self.own, np.int32))

    def of(self, user: int) -> Ids:
        """`[h] int32`: the items whose rows the device of `user` holds, ascending, each once."""
        own = self.own[user]
        return np.union1d(self.shared, own[own > 0]).astype(np.int32)

    @property
    def own_counts(self) -> npt.NDArray[np.int64]:
        """`[users] int64`: rows of each user beside the shared ones."""
        real = (self.own > 0) & ~np.isin(self.own, self.shared)
        return real.sum(axis=1, dtype=np.int64)

    def missing(self, candidates: Candidates) -> npt.NDArray[np.int64]:
        """`[k] int64`: candidates of each row that the user's device has no row of."""
        rows = zip(candidates.users.tolist(), candidates.items, strict=True)
        found = [int((~np.isin(items, self.of(user))).sum()) for user, items in rows]
        return np.array(found, np.int64)


def held_dataset(dataset: Dataset, split: Split, held: HeldItems) -> tuple[Dataset, Split]:
    """Data and split as devices can use them: without recent interactions of unknown items.

    What is older the cloud knows, and it sent the rows of the newest of it. What is tested was
    among the candidates of a request, which come with their rows.

    Args:
      dataset: everything.
      split: of it.
      held: rows that devices hold.
    """
    kept = np.ones(len(split.items), np.bool_)
    for user in split.users.tolist():
        start = int(split.offsets[user])
        end = start + len(split.train(user))
        first = end - int(split.recent_counts[user])
        kept[first:end] = np.isin(split.items[first:end], held.of(user))
    owner = np.repeat(np.arange(split.num_users), np.diff(split.offsets))
    counts = np.bincount(owner[kept], minlength=split.num_users)
    gone = np.diff(split.offsets) - counts
    rows = np.sort(time_order(dataset)[kept])
    thin = dataclasses.replace(dataset, **dataset.interactions_at(rows), source=None)
    cut = dataclasses.replace(
        split,
        items=split.items[kept],
        timestamps=split.timestamps[kept],
        context=split.context[kept],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        recent_counts=(split.recent_counts - gone).astype(np.int32),
        min_training=1,
    )
    return thin, cut


def placed_candidates(candidates: Candidates, whole: Split, split: Split) -> Candidates:
    """Candidates of `whole`, with their positions in the thinner `split`.

    Nothing that is tested, and nothing after it, may be missing there.
    """
    if split is whole:
        return candidates
    gone = (np.diff(whole.offsets) - np.diff(split.offsets))[candidates.users]
    return dataclasses.replace(candidates, positions=candidates.positions - gone)
