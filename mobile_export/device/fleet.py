"""Many devices over one loaded file."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mobile_export.device.device import Device
from mobile_export.device.given import whole_number
from mobile_export.device.model import DeviceModel
from mobile_export.device.moments import Context
from mobile_export.device.state import read_state
from mobile_export.device.times import InteractionTimes

__all__ = ["DeviceFleet"]


class DeviceFleet:
    """Many devices over one loaded file, their states in one folder.

    Args:
      folder: of the state files, `USER.state`.
      model: the file.
      clock: of all of them, seconds since 1970.
    """

    def __init__(
        self, folder: Path | str, model: DeviceModel, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = Path(folder)
        self.model = model
        self._clock = clock

    def __iter__(self) -> Iterator[Device]:
        """The devices in the order of their users, one at a time."""
        for user in self.users:
            yield self[user]

    def __getitem__(self, user: int) -> Device:
        """The device of `user`."""
        return Device(self._path(user), self.model, clock=self._clock)

    @property
    def users(self) -> list[int]:
        """Users that have a device."""
        names = [path.stem for path in self.folder.glob("*.state")]
        return sorted(int(name) for name in names if name.isdecimal())

    def add(
        self,
        user: int,
        *,
        history: npt.ArrayLike = (),
        profile: npt.ArrayLike | Mapping[str, Any] = (),
        num_older: int = 0,
        times: InteractionTimes = None,
        context: Context | None = None,
    ) -> Device:
        """Creates a device, as `Device.create` does."""
        return Device.create(
            self._path(user),
            self.model,
            user=user,
            history=history,
            profile=profile,
            num_older=num_older,
            times=times,
            context=context,
            clock=self._clock,
        )

    def move_to(self, model: DeviceModel) -> "DeviceFleet":
        """The same devices with a newer file, each adopted by it."""
        for user in self.users:
            if read_state(self._path(user)).model != model.file.sha256:
                Device.adopt(self._path(user), model, previous=self.model)
        return DeviceFleet(self.folder, model, clock=self._clock)

    def _path(self, user: int) -> Path:
        return self.folder / f"{whole_number(user, what='device: user')}.state"
