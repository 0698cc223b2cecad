"""The file of a device's state, replaced only by whoever knows what it holds.

Two processes that open one state would each write over what the other learned. Here the later one
is refused, so that no round is lost without a word.
"""

import os
import threading
from pathlib import Path

from ecct_tf.errors import DeviceError
from ecct_tf.files import draft_of, private_folder
from ecct_tf.locks import exclusive
from ecct_tf.wire.sealed import DIGEST_BYTES
from mobile_export.device.state import DeviceState, read_state, write_state

__all__ = ["StateFile"]

_LOCK = ".states.lock"


class StateFile:
    """One state file, as this opener last read or wrote it.

    Attributes:
      path: of the file.
      lock: of the opener's threads; a change of the state is read, made and written within it.

    Args:
      path: of the file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)  # a text is as good
        self.lock = threading.RLock()
        self._known = b""
        self._state: DeviceState | None = None
        self._removed = False

    @property
    def state(self) -> DeviceState:
        """As it was last read or written here.

        Raises:
          DeviceError: when it was removed: what is forgotten serves nobody from memory either.
        """
        if self._state is None:
            raise DeviceError(
                f"{self.path}: this device was forgotten; `Device.create` begins a new one"
            )
        return self._state

    def read(self) -> DeviceState:
        """Reads the state.

        Raises:
          DeviceError: when there is none, or it is damaged.
        """
        self._state = state = read_state(self.path)
        self._known = _digest(state)
        return state

    def create(self, state: DeviceState) -> None:
        """Writes the state of a new device.

        Raises:
          DeviceError: when there is a state already.
        """
        private_folder(self.path.parent)
        with exclusive(self.path.parent / _LOCK):
            if self.path.exists():
                raise DeviceError(
                    f"{self.path} holds a device already; open it, or remove the file first"
                )
            self._write(state)

    def replace(self, state: DeviceState) -> None:
        """Writes a changed state; a kill leaves the old one or the new one, whole.

        Raises:
          DeviceError: when another opener changed or removed the file since this one read it.
        """
        with self.lock, exclusive(self.path.parent / _LOCK):
            self._check_unchanged()
            self._write(state)

    def remove(self) -> None:
        """Removes the file, and what a kill left of a newer one; once more changes nothing.

        Raises:
          DeviceError: when another opener changed or removed the file since this one read it.
        """
        with self.lock, exclusive(self.path.parent / _LOCK):
            if self._removed:
                return
            self._check_unchanged()
            draft_of(self.path).unlink(missing_ok=True)
            self.path.unlink()
            self._state, self._removed = None, True

    def _check_unchanged(self) -> None:
        found = _last_bytes(self.path)
        if found != self._known:
            told = "removed" if found is None else "changed"
            raise DeviceError(
                f"{self.path}: another opener {told} this state since it was read here; what "
                "was done since then is not kept. Open the device again, and keep one opener"
            )

    def _write(self, state: DeviceState) -> None:
        write_state(self.path, state)
        self._known, self._state = _digest(state), state


def _digest(state: DeviceState) -> bytes:
    return state.as_bytes()[-DIGEST_BYTES:]


def _last_bytes(path: Path) -> bytes | None:
    """The SHA-256 that a state file ends with; None where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(-min(DIGEST_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return file.read()
    except FileNotFoundError:
        return None
