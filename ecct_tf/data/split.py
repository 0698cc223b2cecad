"""The parts of every user's interactions, and the leave-one-out split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import owned
from ecct_tf.data.dataset import Dataset
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.plain_text import shown

__all__ = [
    "MIN_TRAINING",
    "PARTS",
    "Part",
    "Split",
    "leave_one_out",
    "recent_counts",
    "time_order",
    "undivided",
]

Part = Literal["validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

# One older and one recent interaction: with fewer a user cannot train.
MIN_TRAINING = 2


@dataclass(frozen=True, eq=False)
class Split:
    """Every user's interactions in time order, with the borders of the parts.

    A user's row reads `older | recent | validation | test`; `older` and
    `recent` together are the training part. Leave-one-out holds out exactly
    one validation and one test interaction of every user; the temporal split
    any number of either, so a user may train and have nothing held out.

    Users with fewer than `min_training` training interactions are excluded: their
    parts are empty, and only `touched` and `before` know them.

    Attributes:
      items: `[n] int32`, sorted by (user, timestamp, file order).
      timestamps: `[n] int64`, seconds, in the same order.
      offsets: `[num_users + 1] int64`; user u has `offsets[u]:offsets[u + 1]`.
      recent_counts: `[num_users] int32`, size of the recent part.
      validation_counts: `[num_users] int32`, size of the validation part.
      test_counts: `[num_users] int32`, size of the test part.
      num_items: number of items, without padding.
      users: `[k] int32`, the users that are not excluded, ascending.
      cuts: the temporal split's last training second and last validation
        second; None for leave-one-out, which has no cut common to all.
      context: `[n, C + M] int32`, codes of the private context columns, then of those of grades,
        weights and targets, in the same order as `items`.
      heavy_users: `[h] int32`, users that are excluded because they touched more of
        the catalog than was allowed.
      min_training: training interactions that every included user has at least.
    """

    items: npt.NDArray[np.int32]
    timestamps: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    recent_counts: npt.NDArray[np.int32]
    validation_counts: npt.NDArray[np.int32]
    test_counts: npt.NDArray[np.int32]
    num_items: int
    users: npt.NDArray[np.int32]
    cuts: tuple[int, int] | None = None
    heavy_users: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    context: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    min_training: int = MIN_TRAINING

    def __post_init__(self) -> None:
        for name, dtype in (
            ("items", np.int32),
            ("timestamps", np.int64),
            ("offsets", np.int64),
            ("recent_counts", np.int32),
            ("validation_counts", np.int32),
            ("test_counts", np.int32),
            ("users", np.int32),
            ("heavy_users", np.int32),
            ("context", np.int32),
        ):
            object.__setattr__(self, name, owned(getattr(self, name), dtype))
        if not self.context.size:
            object.__setattr__(self, "context", np.zeros((len(self.items), 0), np.int32))
        if len(self.context) != len(self.items):
            raise DataError(
                f"Split: expected a row of context for each of {len(self.items)} interactions, "
                f"received {len(self.context)}."
            )
        counts = (self.recent_counts, self.validation_counts, self.test_counts)
        lengths = [len(self.offsets) - 1, *map(len, counts)]
        if len(set(lengths)) != 1:
            raise DataError(
                "Split: offsets must have one entry more than recent_counts, validation_counts "
                f"and test_counts, received {lengths[0] + 1} and {lengths[1:]}."
            )
        included = np.zeros(self.num_users, np.bool_)
        included[self.users] = True
        if not np.array_equal(np.flatnonzero(included), self.users):
            raise DataError("Split: users must be distinct and ascending.")
        if any(count[~included].any() or (count < 0).any() for count in counts):
            raise DataError("Split: counts must not be negative, and 0 for excluded users.")
        if (self.train_counts[included] < self.min_training).any() or (self.older_counts < 0).any():
            raise DataError(
                f"Split: every user of users must have {self.min_training} training interactions "
                "or more, and no fewer than recent ones."
            )

    @property
    def num_users(self) -> int:
        """Number of users, excluded ones included."""
        return len(self.recent_counts)

    @property
    def excluded_users(self) -> int:
        """How many users have too few interactions to take part."""
        return self.num_users - len(self.users) - len(self.heavy_users)

    @property
    def train_counts(self) -> npt.NDArray[np.int64]:
        """`[num_users] int64`: size of the training part, 0 for excluded users."""
        counts = np.zeros(self.num_users, np.int64)
        held_out = self.validation_counts + self.test_counts
        counts[self.users] = (np.diff(self.offsets) - held_out)[self.users]
        return counts

    @property
    def older_counts(self) -> npt.NDArray[np.int64]:
        """`[num_users] int64`: size of the part that the cloud may know."""
        return self.train_counts - self.recent_counts

    def includes(self, user: int) -> bool:
        """Whether `user` takes part in the split."""
        self._bounds(user)
        # Of the array's own type, since all of it would be converted to another.
        place = int(np.searchsorted(self.users, np.int32(user)))
        return place < len(self.users) and int(self.users[place]) == user

    def train_rows(self, user: int) -> slice:
        """Where the training part is among all interactions; empty for an excluded user."""
        start, end = self._bounds(user)
        if not self.includes(user):
            return slice(start, start)
        return slice(start, end - int(self.validation_counts[user] + self.test_counts[user]))

    def train(self, user: int) -> npt.NDArray[np.int32]:
        """`[t] int32`: the training part, oldest first."""
        return self.items[self.train_rows(user)]

    def train_times(self, user: int) -> npt.NDArray[np.int64]:
        """`[t] int64`: when each interaction of the training part was, seconds."""
        return self.timestamps[self.train_rows(user)]

    def train_context(self, user: int) -> npt.NDArray[np.int32]:
        """`[t, C] int32`: the context of each interaction of the training part."""
        return self.context[self.train_rows(user)]

    def older(self, user: int) -> npt.NDArray[np.int32]:
        """`[o] int32`: the training interactions that the cloud may know."""
        train = self.train(user)
        return train[: len(train) - int(self.recent_counts[user])]

    def recent(self, user: int) -> npt.NDArray[np.int32]:
        """`[r] int32`: the training interactions that only the device knows."""
        train = self.train(user)
        return train[len(train) - int(self.recent_counts[user]) :]

    def positions(self, user: int, part: Part) -> range:
        """Where `part` stands in the user's own sequence; empty if nothing is held out."""
        if part not in PARTS:
            raise ConfigError(f"part must be one of {list(PARTS)}, received {part!r}.")
        start, end = self._bounds(user)
        if not self.includes(user):
            raise DataError(
                f"user {user} has {end - start} interactions, too few to train on and be tested, "
                "and is excluded from the split. Iterate over split.users instead."
            )
        test = end - start - int(self.test_counts[user])
        if part == "test":
            return range(test, end - start)
        return range(test - int(self.validation_counts[user]), test)

    def validation(self, user: int) -> int:
        """The item of the one validation interaction, as leave-one-out has it."""
        return self._only(user, "validation")

    def test(self, user: int) -> int:
        """The item of the one test interaction, as leave-one-out has it."""
        return self._only(user, "test")

    def touched(self, user: int) -> npt.NDArray[np.int32]:
        """`[m] int32`: all items of the user, in every part, oldest first."""
        start, end = self._bounds(user)
        return self.items[start:end]

    def before(self, user: int, position: int) -> npt.NDArray[np.int32]:
        """`[position] int32`: all that came before the user's interaction at `position`."""
        start, end = self._bounds(user)
        if not 0 <= position <= end - start:
            raise DataError(
                f"position must be in 0..{end - start} for user {user}, received {position}."
            )
        return self.items[start : start + position]

    def times_before(self, user: int, position: int) -> npt.NDArray[np.int64]:
        """`[position] int64`: when each of `before` was, seconds."""
        start, _ = self._bounds(user)
        return self.timestamps[start : start + len(self.before(user, position))]

    def time_of(self, user: int, position: int) -> int:
        """Second of the user's interaction at `position`."""
        start, end = self._bounds(user)
        if not 0 <= position < end - start:
            raise DataError(
                f"position must be in 0..{end - start - 1} for user {user}, received {position}."
            )
        return int(self.timestamps[start + position])

    def context_of(self, user: int, position: int) -> npt.NDArray[np.int32]:
        """`[C] int32`: the context of the user's interaction at `position`."""
        self.time_of(user, position)
        start, _ = self._bounds(user)
        return self.context[start + position]

    def history(self, user: int, part: Part) -> npt.NDArray[np.int32]:
        """`[h] int32`: all that came before the first interaction of `part`."""
        return self.before(user, self.positions(user, part).start)

    def _bounds(self, user: int) -> tuple[int, int]:
        if not 0 <= user < self.num_users:
            raise DataError(f"user must be in 0..{self.num_users - 1}, received {user}.")
        return int(self.offsets[user]), int(self.offsets[user + 1])

    def _only(self, user: int, part: Part) -> int:
        positions = self.positions(user, part)
        if len(positions) != 1:
            raise DataError(
                f"user {user} has {len(positions)} {part} interactions, not exactly one. Iterate "
                f"over split.positions({user}, {part!r})."
            )
        return int(self.touched(user)[positions.start])


def leave_one_out(dataset: Dataset, *, recent_fraction: float = 0.2) -> Split:
    """Splits by time per user: last is test, second to last validation.

    Users with fewer than 4 interactions (one older, one recent, one
    validation, one test) are excluded.

    Args:
      dataset: the interactions; ties in time keep their file order.
      recent_fraction: the newest `ceil(recent_fraction * len(train))` of each
        user's training part is recent (on the device only): at least one, and
        at least one older remains. With 0 nothing is recent, with 1 everything.

    Raises:
      ConfigError: `recent_fraction` is no number in [0, 1].

    Example:
      >>> from ecct_tf.data import SyntheticConfig, synthetic_dataset
      >>> split = leave_one_out(synthetic_dataset(SyntheticConfig(users=8)))
      >>> split.test(3) == split.touched(3)[-1], split.validation(3) == split.touched(3)[-2]
      (True, True)
    """
    order = time_order(dataset)
    counts = np.bincount(dataset.users, minlength=dataset.num_users)
    held_out = (counts - 2 >= MIN_TRAINING).astype(np.int32)
    return Split(
        items=dataset.items[order],
        timestamps=dataset.timestamps[order],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        recent_counts=recent_counts(counts - 2, recent_fraction),
        validation_counts=held_out,
        test_counts=held_out,
        num_items=dataset.num_items,
        users=np.flatnonzero(held_out).astype(np.int32),
    )


def undivided(dataset: Dataset) -> Split:
    """The split of data that holds nothing but what the cloud knows: all of it is older.

    Users with fewer than 2 interactions are excluded.
    """
    order = time_order(dataset)
    counts = np.bincount(dataset.users, minlength=dataset.num_users)
    nothing = np.zeros(dataset.num_users, np.int32)
    return Split(
        items=dataset.items[order],
        timestamps=dataset.timestamps[order],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        recent_counts=nothing,
        validation_counts=nothing,
        test_counts=nothing,
        num_items=dataset.num_items,
        users=np.flatnonzero(counts >= MIN_TRAINING).astype(np.int32),
    )


def time_order(dataset: Dataset) -> npt.NDArray[np.int64]:
    """`[n] int64`: the interactions' order by (user, timestamp, file order)."""
    # lexsort is stable: what ties in (user, timestamp) stays in file order.
    return np.lexsort([dataset.timestamps, dataset.users.astype(np.int64)])


def recent_counts(train: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.int32]:
    """`[num_users] int32`: how many of each user's `train` interactions are recent.

    Args:
      train: `[num_users] int64`, training interactions; too few count as none.
      fraction: the recent share, as `leave_one_out` takes it.

    Raises:
      ConfigError: it is no number in [0, 1].
    """
    if not _is_number(fraction) or not 0.0 <= fraction <= 1.0:
        raise ConfigError(f"recent_fraction must be in [0, 1], received {shown(fraction)}.")
    if fraction == 0:
        return np.zeros(len(train), np.int32)
    # The small term undoes binary rounding: 0.07 * 100 is a hair above 7.
    wanted = np.ceil(fraction * train - 1e-9).astype(np.int64)
    most = train if fraction == 1 else train - 1
    recent = np.clip(wanted, 1, np.maximum(most, 1))
    return np.where(train >= MIN_TRAINING, recent, 0).astype(np.int32)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
