"""Leave-one-out split, and what is recent within the training part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import owned
from ecct_tf.data.dataset import Dataset
from ecct_tf.errors import ConfigError, DataError

__all__ = ["MIN_INTERACTIONS", "Split", "leave_one_out"]

# One older, one recent, one validation and one test interaction.
MIN_INTERACTIONS = 4


@dataclass(frozen=True, eq=False)
class Split:
    """Every user's interactions in time order, with the borders of the parts.

    A user's row reads `older | recent | validation | test`; `older` and
    `recent` together are the training part. Users with fewer than 4
    interactions are excluded: their parts are empty, only `touched` knows
    them, and asking for their validation or test item is an error.

    Attributes:
      items: `[n] int32`, sorted by (user, timestamp, file order).
      timestamps: `[n] int64`, seconds, in the same order.
      offsets: `[num_users + 1] int64`; user u has `offsets[u]:offsets[u + 1]`.
      recent_counts: `[num_users] int32`, size of the recent part.
      num_items: number of items, without padding.
      users: `[k] int32`, the users that are not excluded, ascending.
    """

    items: npt.NDArray[np.int32]
    timestamps: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    recent_counts: npt.NDArray[np.int32]
    num_items: int
    users: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        for field, dtype in (
            ("items", np.int32),
            ("timestamps", np.int64),
            ("offsets", np.int64),
            ("recent_counts", np.int32),
            ("users", np.int32),
        ):
            object.__setattr__(self, field, owned(getattr(self, field), dtype))
        if len(self.offsets) != len(self.recent_counts) + 1:
            raise DataError(
                f"Split: offsets must have one entry more than recent_counts, received "
                f"{len(self.offsets)} and {len(self.recent_counts)}."
            )
        included = np.diff(self.offsets) >= MIN_INTERACTIONS
        if not np.array_equal(np.flatnonzero(included), self.users):
            raise DataError(
                f"Split: users must be exactly those with at least {MIN_INTERACTIONS} interactions."
            )

    @property
    def num_users(self) -> int:
        """Number of users, excluded ones included."""
        return len(self.recent_counts)

    @property
    def excluded_users(self) -> int:
        """How many users have too few interactions to take part."""
        return self.num_users - len(self.users)

    def includes(self, user: int) -> bool:
        """Whether `user` takes part in the split."""
        start, end = self._bounds(user)
        return end - start >= MIN_INTERACTIONS

    def train(self, user: int) -> npt.NDArray[np.int32]:
        """`[t] int32`: the training part, oldest first."""
        start, end = self._bounds(user)
        return self.items[start : end - 2] if self.includes(user) else self.items[:0]

    def older(self, user: int) -> npt.NDArray[np.int32]:
        """`[o] int32`: the training interactions that the cloud may know."""
        train = self.train(user)
        return train[: len(train) - int(self.recent_counts[user])]

    def recent(self, user: int) -> npt.NDArray[np.int32]:
        """`[r] int32`: the training interactions that only the device knows."""
        train = self.train(user)
        return train[len(train) - int(self.recent_counts[user]) :]

    def validation(self, user: int) -> int:
        """The item of the second to last interaction."""
        return int(self.items[self._end_of_included(user) - 2])

    def test(self, user: int) -> int:
        """The item of the last interaction."""
        return int(self.items[self._end_of_included(user) - 1])

    def touched(self, user: int) -> npt.NDArray[np.int32]:
        """`[m] int32`: all items of the user, in every part, oldest first."""
        start, end = self._bounds(user)
        return self.items[start:end]

    def history(self, user: int, part: Literal["validation", "test"]) -> npt.NDArray[np.int32]:
        """`[h] int32`: all that came before the interaction tested in `part`."""
        if part not in ("validation", "test"):
            raise ConfigError(f"part must be 'validation' or 'test', received {part!r}.")
        end = self._end_of_included(user)
        return self.items[self.offsets[user] : end - (2 if part == "validation" else 1)]

    def _bounds(self, user: int) -> tuple[int, int]:
        if not 0 <= user < self.num_users:
            raise DataError(f"user must be in 0..{self.num_users - 1}, received {user}.")
        return int(self.offsets[user]), int(self.offsets[user + 1])

    def _end_of_included(self, user: int) -> int:
        start, end = self._bounds(user)
        if end - start < MIN_INTERACTIONS:
            raise DataError(
                f"user {user} has {end - start} interactions and is excluded from the split, "
                f"which needs {MIN_INTERACTIONS}. Iterate over split.users instead."
            )
        return end


def leave_one_out(dataset: Dataset, *, recent_fraction: float = 0.2) -> Split:
    """Splits by time per user: last is test, second to last validation.

    Args:
      dataset: the interactions; ties in time keep their file order.
      recent_fraction: the newest `ceil(recent_fraction * len(train))` of each
        user's training part is recent (on the device only): at least one, and
        at least one older remains. 0 means that nothing is recent.
    """
    if not _is_number(recent_fraction) or not 0.0 <= recent_fraction < 1.0:
        raise ConfigError(f"recent_fraction must be in [0, 1), received {recent_fraction!r}.")
    # lexsort is stable: what ties in (user, timestamp) stays in file order.
    order = np.lexsort([dataset.timestamps, dataset.users.astype(np.int64)])
    counts = np.bincount(dataset.users, minlength=dataset.num_users)
    included = counts >= MIN_INTERACTIONS
    train = counts - 2
    recent = np.zeros(dataset.num_users, np.int64)
    if recent_fraction > 0:
        # The small term undoes binary rounding: 0.07 * 100 is a hair above 7.
        wanted = np.ceil(recent_fraction * train - 1e-9).astype(np.int64)
        recent = np.where(included, np.clip(wanted, 1, np.maximum(train - 1, 1)), 0)
    return Split(
        items=dataset.items[order],
        timestamps=dataset.timestamps[order],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        recent_counts=recent.astype(np.int32),
        num_items=dataset.num_items,
        users=np.flatnonzero(included).astype(np.int32),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
