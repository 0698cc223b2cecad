"""The users of every device, as views that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from ecct_tf.data.dataset import Dataset
from ecct_tf.data.schema import Side
from ecct_tf.data.split import Split
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.data.views import DeviceView, device_view

__all__ = ["DeviceGroups", "GroupFacts"]


class GroupFacts(NamedTuple):
    """What is known of the users of devices, device by device.

    Attributes:
      users: `[U] int32`.
      sizes: `[devices] int64`, how many users each device has.
      lengths: `[U] int64`, interactions that each user can train on.
      older: `[U] int64`, how many of them the cloud knows too.
      columns: the private columns of all users of the data set, by whose numbers they are.
    """

    users: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    older: npt.NDArray[np.int64]
    columns: tuple[EncodedColumn, ...]


class DeviceGroups(Sequence[tuple[DeviceView, ...]]):
    """What each device holds: one view for each of its users.

    A view is a copy of its user's interactions. A million of them would take several times the
    memory of the data, so that none is kept here.
    """

    def __init__(self, dataset: Dataset, split: Split, users: Sequence[npt.ArrayLike]) -> None:
        """Takes the users.

        Args:
          dataset: everything.
          split: what of it is for training.
          users: `[n] int` of each device.
        """
        self._dataset = dataset
        self._split = split
        self._users = np.concatenate([np.zeros(0, np.int64), *map(np.asarray, users)])
        self._ends = np.cumsum([len(np.asarray(own)) for own in users], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> tuple[DeviceView, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> DeviceGroups: ...

    def __getitem__(self, index: int | slice) -> tuple[DeviceView, ...] | DeviceGroups:
        if isinstance(index, slice):
            return self.subset(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"device {index} of {len(self)}")
        users = self.users_of(index % len(self))
        return tuple(device_view(self._dataset, self._split, int(user)) for user in users)

    def subset(self, members: Sequence[int]) -> DeviceGroups:
        """The devices of these numbers, in their order."""
        users = [self.users_of(member) for member in members]
        return DeviceGroups(self._dataset, self._split, users)

    def users_of(self, index: int) -> npt.NDArray[np.int64]:
        """`[n] int64`: the users of a device, without their views."""
        start = 0 if index == 0 else int(self._ends[index - 1])
        found: npt.NDArray[np.int64] = self._users[start : self._ends[index]]
        return found

    def device_of(self, user: int) -> int:
        """The number of the device that `user` is on.

        Raises:
          KeyError: on none.
        """
        places = np.flatnonzero(self._users == user)
        if not len(places):
            raise KeyError(user)
        return int(np.searchsorted(self._ends, places[0], side="right"))

    @property
    def facts(self) -> GroupFacts:
        """What is known of all devices, without a view of any.

        Raises:
          DataError: a user is excluded from the split.
        """
        users, split = self._users.astype(np.int32), self._split
        sizes = np.diff(self._ends, prepend=0)
        lengths = split.train_counts[users]
        for user in users[lengths == 0][:1].tolist():
            device_view(self._dataset, split, user)  # Says what is wrong.
        columns = [c for c in self._dataset.user_columns if c.column.side is Side.FEDERATED]
        return GroupFacts(users, sizes, lengths, split.older_counts[users], tuple(columns))

    @property
    def identity(self) -> Hashable:
        """Equal where views are: the same data, and the same users on the same devices."""
        return id(self._dataset), id(self._split), self._users.tobytes(), self._ends.tobytes()
