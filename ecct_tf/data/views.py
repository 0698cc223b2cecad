"""The two sides: what the cloud holds, and what one device holds.

Everything downstream is written against these types. The cloud's code gets a
`CloudView` and can reach nothing recent, nothing federated and nothing held
out, because no such array is inside; the same holds for a `DeviceView` and
other devices. Arrays are copies: none is a window on a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import owned
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.schema import Side
from ecct_tf.data.split import Split
from ecct_tf.data.tables import CentralizedTable, FederatedTable
from ecct_tf.errors import DataError, PrivacyError

__all__ = [
    "CloudView",
    "DeviceView",
    "OlderInteractions",
    "cloud_view",
    "device_view",
    "joined_of",
    "sizes_of",
]


@dataclass(frozen=True, eq=False)
class OlderInteractions:
    """The interactions that the cloud may know, user by user, oldest first.

    Attributes:
      items: `[m] int32`.
      offsets: `[num_users + 1] int64`; user u has `offsets[u]:offsets[u + 1]`.
      timestamps: `[m] int64`, seconds.
    """

    items: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", owned(self.items, np.int32))
        object.__setattr__(self, "offsets", owned(self.offsets, np.int64))
        object.__setattr__(self, "timestamps", owned(self.timestamps, np.int64))
        end = int(self.offsets[-1]) if len(self.offsets) else -1
        if not len(self.items) == len(self.timestamps) == end:
            raise DataError(
                f"OlderInteractions: items, timestamps and the last offset must agree, received "
                f"{len(self.items)}, {len(self.timestamps)} and {end}."
            )

    def of(self, user: int) -> npt.NDArray[np.int32]:
        """`[o] int32`: the older items of `user`; empty if excluded."""
        if not 0 <= user < len(self.offsets) - 1:
            raise DataError(f"user must be in 0..{len(self.offsets) - 2}, received {user}.")
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    @property
    def histories(self) -> Sequence[npt.NDArray[np.int32]]:
        """`of` each user, made when it is asked for."""
        return _Histories(self)

    def without_newest(self, counts: npt.ArrayLike) -> Sequence[npt.NDArray[np.int32]]:
        """`of` each user without its newest `counts` `[num_users]`, made when it is asked for."""
        return _Histories(self, self.offsets[1:] - np.asarray(counts, np.int64))

    def times_of(self, user: int) -> npt.NDArray[np.int64]:
        """`[o] int64`: when the older items of `user` were, seconds."""
        self.of(user)
        return self.timestamps[self.offsets[user] : self.offsets[user + 1]]


class _Histories(Sequence[npt.NDArray[np.int32]]):
    """The older items of each user, up to `ends` `[num_users] int64`."""

    def __init__(self, older: OlderInteractions, ends: npt.NDArray[np.int64] | None = None) -> None:
        self._older = older
        self._ends = older.offsets[1:] if ends is None else ends

    def __len__(self) -> int:
        return len(self._older.offsets) - 1

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """`[num_users] int64`: how long each is."""
        sizes: npt.NDArray[np.int64] = np.maximum(self._ends - self._older.offsets[:-1], 0)
        return sizes

    def joined(self, users: slice) -> npt.NDArray[np.int32]:
        """`[m] int32`: those of `users`, which are neighbours, one after the other."""
        start, stop, _ = users.indices(len(self))
        offsets = self._older.offsets[start : stop + 1]
        items = self._older.items[offsets[0] : offsets[-1]]
        if (self._ends[start:stop] == offsets[1:]).all():
            return items
        sizes, own = np.diff(offsets), self.sizes[start:stop]
        place = np.arange(len(items)) - np.repeat(offsets[:-1] - offsets[0], sizes)
        return items[place < np.repeat(own, sizes)]

    @overload
    def __getitem__(self, user: int) -> npt.NDArray[np.int32]: ...

    @overload
    def __getitem__(self, user: slice) -> list[npt.NDArray[np.int32]]: ...

    def __getitem__(self, user: int | slice) -> npt.NDArray[np.int32] | list[npt.NDArray[np.int32]]:
        if isinstance(user, slice):
            return [self[each] for each in range(*user.indices(len(self)))]
        if not 0 <= user < len(self):
            raise IndexError(user)
        return self._older.items[self._older.offsets[user] : self._ends[user]]


def sizes_of(histories: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """`[n] int64`: how long each of `histories` is.

    >>> sizes_of([np.array([3, 4]), np.array([], np.int32)]).tolist()
    [2, 0]
    """
    if isinstance(histories, _Histories):
        return histories.sizes
    return np.array([len(history) for history in histories], np.int64)


def joined_of(
    histories: Sequence[npt.NDArray[Any]], users: slice = slice(None)
) -> npt.NDArray[np.int32]:
    """`[m] int32`: the histories of `users`, which are neighbours, one after the other.

    >>> joined_of([np.array([3, 4]), np.array([5])]).tolist()
    [3, 4, 5]
    """
    if isinstance(histories, _Histories):
        return histories.joined(users)
    nothing = np.zeros(0, np.int32)
    return np.concatenate([nothing, *histories[users]]).astype(np.int32, copy=False)


@dataclass(frozen=True, eq=False)
class CloudView:
    """All that the cloud knows of the data.

    Attributes:
      num_users: number of users.
      num_items: number of items, without padding.
      older: the older part of each user's training interactions.
      items: the centralized item columns, `num_items + 1` rows.
      users: the centralized user columns, `num_users` rows; often none.
    """

    num_users: int
    num_items: int
    older: OlderInteractions
    items: CentralizedTable
    users: CentralizedTable

    def __post_init__(self) -> None:
        _check_type("CloudView.older", self.older, OlderInteractions)
        _check_type("CloudView.items", self.items, CentralizedTable)
        _check_type("CloudView.users", self.users, CentralizedTable)
        if self.items.schema != self.users.schema:
            # Tables that disagree on a tag could smuggle a column.
            raise PrivacyError("CloudView: items and users must come from one and the same schema.")
        for label, table, name, rows in (
            ("items", self.items, "item", self.num_items + 1),
            ("users", self.users, "user", self.num_users),
        ):
            for column in table.columns:
                if column.column.table != name or column.num_rows != rows:
                    raise DataError(
                        f"CloudView.{label}: expected {name} columns of {rows} rows, received "
                        f"{column.column.table} column {column.column.name!r} of "
                        f"{column.num_rows} rows."
                    )
        if len(self.older.offsets) != self.num_users + 1:
            raise DataError(
                f"CloudView.older: expected {self.num_users} users, received "
                f"{len(self.older.offsets) - 1}."
            )

    @property
    def item_counts(self) -> npt.NDArray[np.int64]:
        """`[items + 1] int64`: older interactions with each item."""
        counts: npt.NDArray[np.int64] = np.bincount(self.older.items, minlength=self.num_items + 1)
        return counts


@dataclass(frozen=True, eq=False)
class DeviceView:
    """All that one device knows of the data.

    Attributes:
      user: the user on the device.
      history: `[n] int32`, the whole training part, oldest first.
      num_older: how many of `history` the cloud knows too.
      profile: the user's federated columns, one row.
      times: `[n] int64`, seconds, when each of `history` happened.
      context: `[n, C + M] int32`, codes of the private context columns of each, then of those of
        grades and weights.
    """

    user: int
    history: npt.NDArray[np.int32]
    num_older: int
    profile: FederatedTable
    times: npt.NDArray[np.int64]
    context: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))

    def __post_init__(self) -> None:
        if not self.context.size:
            object.__setattr__(self, "context", np.zeros((len(self.history), 0), np.int32))
        object.__setattr__(self, "context", owned(self.context, np.int32))
        object.__setattr__(self, "history", owned(self.history, np.int32))
        object.__setattr__(self, "times", owned(self.times, np.int64))
        _check_type("DeviceView.profile", self.profile, FederatedTable)
        if self.profile.columns and self.profile.num_rows != 1:
            raise PrivacyError(
                f"DeviceView.profile: expected the one row of user {self.user}, received "
                f"{self.profile.num_rows} rows."
            )
        if len(self.times) != len(self.history):
            raise DataError(
                f"DeviceView.times: expected one for each of {len(self.history)} interactions, "
                f"received {len(self.times)}."
            )
        if len(self.context) != len(self.history):
            raise DataError(
                f"DeviceView.context: expected a row for each of {len(self.history)} interactions, "
                f"received {len(self.context)}."
            )
        if not 0 <= self.num_older <= len(self.history):
            raise DataError(
                f"DeviceView.num_older must be in 0..{len(self.history)}, received "
                f"{self.num_older}."
            )

    @property
    def recent(self) -> npt.NDArray[np.int32]:
        """`[r] int32`: the newest training items, which the cloud never sees."""
        return self.history[self.num_older :]


def cloud_view(dataset: Dataset, split: Split) -> CloudView:
    """Returns the cloud's side of the data."""
    _check_split(dataset, split)
    counts = split.older_counts
    sizes = np.diff(split.offsets)
    position = np.arange(len(split.items)) - np.repeat(split.offsets[:-1], sizes)
    older = position < np.repeat(counts, sizes)
    schema = dataset.schema
    return CloudView(
        num_users=dataset.num_users,
        num_items=dataset.num_items,
        older=OlderInteractions(
            items=split.items[older],
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            timestamps=split.timestamps[older],
        ),
        items=CentralizedTable(
            schema,
            tuple(c.copy() for c in dataset.item_columns if c.column.side is Side.CENTRALIZED),
        ),
        users=CentralizedTable(
            schema,
            tuple(c.copy() for c in dataset.user_columns if c.column.side is Side.CENTRALIZED),
        ),
    )


def device_view(dataset: Dataset, split: Split, user: int) -> DeviceView:
    """Returns the side of the device that belongs to `user`."""
    _check_split(dataset, split)
    rows = split.train_rows(user)
    # Whoever is included has something to train on.
    if rows.start == rows.stop:
        raise DataError(
            f"user {user} has too few interactions and is excluded from the split. Iterate over "
            "split.users instead."
        )
    profile = tuple(
        c.take(user, user + 1) for c in dataset.user_columns if c.column.side is Side.FEDERATED
    )
    return DeviceView(
        user=int(user),
        history=split.items[rows],
        num_older=rows.stop - rows.start - int(split.recent_counts[user]),
        profile=FederatedTable(dataset.schema, profile),
        times=split.timestamps[rows],
        context=split.context[rows],
    )


def _check_split(dataset: Dataset, split: Split) -> None:
    if (split.num_users, split.num_items, len(split.items)) != (
        dataset.num_users,
        dataset.num_items,
        dataset.num_interactions,
    ):
        raise DataError(
            f"the split does not belong to dataset {dataset.name!r}: it has {split.num_users} "
            f"users, {split.num_items} items and {len(split.items)} interactions, the dataset "
            f"{dataset.num_users}, {dataset.num_items} and {dataset.num_interactions}."
        )


def _check_type(where: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise PrivacyError(
            f"{where} must be a {expected.__name__}, received {type(value).__name__}. Build the "
            "view with cloud_view or device_view."
        )
