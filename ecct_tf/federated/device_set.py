"""The devices of a cohort, prepared when they first take part.

What is known of all of them at any time is small: who they are, and how much each has. Their
samples and features are many times that, so they are made for the devices that are asked for, and
the newest are kept up to a bound: cost follows the participants, not the population.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from ecct_tf.budget import PREPARED_BYTES
from ecct_tf.data import DeviceGroups, DeviceView
from ecct_tf.data.device_groups import GroupFacts
from ecct_tf.errors import DataError
from ecct_tf.federated.devices import DeviceData, Preparation

__all__ = ["DeviceOutlines", "DeviceSet", "DevicesOnDemand", "prepare_devices"]


class DeviceOutlines(NamedTuple):
    """What is known of the devices of a cohort without preparing them.

    Attributes:
      users: `[U] int32`, those of all devices, device by device.
      owners: `[U] int64`, index of the device of each.
      profiles: `[U, columns] int32`.
      samples: `[devices] int64`, samples of each device.
    """

    users: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int64]
    profiles: npt.NDArray[np.int32]
    samples: npt.NDArray[np.int64]


class DevicesOnDemand(Sequence[DeviceData]):
    """Devices that are prepared when they are asked for, the newest kept up to a bound.

    A device that is prepared again is the same, bit for bit.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[DeviceView]],
        preparation: Preparation,
        *,
        kept_bytes: int = PREPARED_BYTES,
    ) -> None:
        """Takes the users of each device.

        Args:
          groups: the users of each device.
          preparation: of the devices.
          kept_bytes: how much of the prepared devices stays.
        """
        self._groups = groups
        self._preparation = preparation
        self._kept_bytes = kept_bytes
        # The longest unused first.
        self._kept: dict[int, DeviceData] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int) -> DeviceData: ...

    @overload
    def __getitem__(self, index: slice) -> list[DeviceData]: ...

    def __getitem__(self, index: int | slice) -> DeviceData | list[DeviceData]:
        if isinstance(index, slice):
            return self.of(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"device {index} of {len(self)}")
        return self.of([index % len(self)])[0]

    def of(self, members: Sequence[int]) -> list[DeviceData]:
        """The devices of these numbers, in their order.

        Raises:
          DataError: one has no user, or more than 255.
        """
        missing = [member for member in dict.fromkeys(members) if member not in self._kept]
        if missing:
            made = self._preparation.of([self._group(member) for member in missing])
            self._bytes += sum(map(_size, made))
            self._kept.update(zip(missing, made, strict=True))
        found = [self._kept[member] for member in members]
        for member in dict.fromkeys(members):
            self._kept[member] = self._kept.pop(member)
        while self._bytes > self._kept_bytes:
            self._bytes -= _size(self._kept.pop(next(iter(self._kept))))
        return found

    def _group(self, member: int) -> Sequence[DeviceView]:
        group = self._groups[member]
        if not 0 < len(group) < 256:
            raise DataError(f"device {member}: expected 1 to 255 users, got {len(group)}")
        return group

    @functools.cached_property
    def outlines(self) -> DeviceOutlines:
        """What is known without preparing them.

        Raises:
          DataError: a device has no user, or more than 255.
        """
        if isinstance(self._groups, DeviceGroups):
            return self._outlines_of(self._groups.facts)
        users, owners, profiles, samples = [], [], [], []
        for number in range(len(self)):
            group = self._group(number)
            users += [view.user for view in group]
            owners += [number] * len(group)
            profiles += [self._preparation.profile(view) for view in group]
            samples.append(self._preparation.num_samples(group))
        return DeviceOutlines(
            np.array(users, np.int32),
            np.array(owners, np.int64),
            np.stack(profiles),
            np.array(samples, np.int64),
        )

    def _outlines_of(self, facts: GroupFacts) -> DeviceOutlines:
        """The same without a view of each user."""
        for number in np.flatnonzero((facts.sizes < 1) | (facts.sizes > 255))[:1].tolist():
            self._group(number)  # Says what is wrong.
        owners = np.repeat(np.arange(len(facts.sizes)), facts.sizes)
        samples = self._preparation.sample_counts(facts.lengths, num_older=facts.older)
        return DeviceOutlines(
            facts.users,
            owners,
            self._preparation.profiles(facts.columns, facts.users),
            np.add.reduceat(samples, np.cumsum(facts.sizes) - facts.sizes),
        )


@dataclasses.dataclass(frozen=True)
class DeviceSet:
    """The devices of one cohort in a fixed order.

    Attributes:
      devices: their data; the index is the device's number in the cohort.
    """

    devices: Sequence[DeviceData]

    def __len__(self) -> int:
        return len(self.devices)

    def of(self, members: Sequence[int]) -> list[DeviceData]:
        """The devices of these numbers, in their order, prepared together."""
        if isinstance(self.devices, DevicesOnDemand):
            return self.devices.of(members)
        return [self.devices[member] for member in members]

    @functools.cached_property
    def outlines(self) -> DeviceOutlines:
        """What is known of all devices without preparing them."""
        if isinstance(self.devices, DevicesOnDemand):
            return self.devices.outlines
        sizes = [len(device.users) for device in self.devices]
        return DeviceOutlines(
            np.concatenate([device.users for device in self.devices]),
            np.repeat(np.arange(len(sizes)), sizes),
            np.concatenate([device.profile for device in self.devices]),
            np.array([int(device.samples) for device in self.devices], np.int64),
        )


def prepare_devices(groups: Sequence[Sequence[DeviceView]], **options: Any) -> DeviceSet:
    """The devices of `groups`, prepared at once.

    Args:
      groups: the users of each device.
      **options: of `Preparation`.

    Raises:
      DataError: when a device has no user, or more than 255.
    """
    devices = DevicesOnDemand(groups, Preparation(**options))
    return DeviceSet(tuple(devices.of(range(len(groups)))))


def _size(device: DeviceData) -> int:
    return sum(int(np.asarray(array).nbytes) for array in device)
