"""Locks for file systems that have none: a file that names the process that holds it.

The file is made exclusively, so that of two processes one gets it. Unlike the kernel's lock it
stays when its owner is killed. An owner of this machine that no longer runs is replaced, by one
process only; whether one of another machine runs cannot be known, and an error names it.
"""

import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from ecct_tf.errors import StorageError

__all__ = ["OwnerFile", "is_in_place"]

_WAIT_SECONDS = 60.0
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


class OwnerFile:
    """An exclusive file with its owner.

    Args:
      path: the file; there is none while nobody holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""

    def acquire(self, *, wait: bool) -> bool:
        """Makes the file; False when a process of this machine holds it and `wait` is False.

        Raises:
          StorageError: a process of another machine holds it, nobody gives it up within a
            minute, or its owner cannot be read; the message says when it may be removed.
        """
        begun = time.monotonic()
        while not self._make():
            waited = time.monotonic() - begun
            owner = self._read(self._path)
            if owner is not None and _is_gone(owner):
                self._replace(owner)
            elif owner is not None and _is_here(owner) and not wait:
                return False
            elif owner is not None and not wait:
                raise self._held(owner)
            if waited > (_WAIT_SECONDS if wait and owner else _PATIENCE_SECONDS):
                raise self._held(owner)
            time.sleep(_PAUSE_SECONDS)
        return True

    def release(self) -> None:
        """Removes the file, if it is still one's own."""
        if self.is_own():
            self._path.unlink(missing_ok=True)
        self._token = ""

    def is_own(self) -> bool:
        """Whether the file is there and one's own."""
        owner = self._read(self._path) if self._token else None
        return owner is not None and owner["token"] == self._token

    def moved_to(self, path: Path) -> None:
        """Notes that the file's folder was renamed."""
        self._path = path

    def _make(self) -> bool:
        token = secrets.token_hex(8)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(
                {
                    "host": socket.gethostname(),
                    "boot": _boot(),
                    "pid": os.getpid(),
                    "started": _started(os.getpid()),
                    "token": token,
                },
                file,
            )
        self._token = token
        return True

    def _read(self, path: Path) -> dict[str, Any] | None:
        """The owner; None while it is being written, or when there is none any more."""
        try:
            owner: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            int(owner["pid"]), owner["host"], owner["boot"], owner["started"], owner["token"]
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
        return owner

    def _replace(self, owner: dict[str, Any]) -> None:
        """Removes the file of an owner that is gone, unless another process is at it."""
        # One name for each owner that is gone: who makes it may remove the file, and nobody else.
        name = self._path.with_name(f"{self._path.name}.{owner['token']}")
        try:
            os.link(self._path, name)
        except (FileExistsError, FileNotFoundError):
            return
        except OSError as error:
            raise self._held(owner) from error
        try:
            found = self._read(name)
            if found is not None and found["token"] == owner["token"]:
                self._path.unlink(missing_ok=True)
        finally:
            name.unlink(missing_ok=True)

    def _held(self, owner: dict[str, Any] | None) -> StorageError:
        by = "nobody that can be read"
        if owner is not None:
            by = f"process {owner['pid']} on {owner['host']}"
        return StorageError(
            f"{self._path}: held by {by}. The file system has no locks (flock), so this file stays "
            f"when its owner is killed. If that process no longer runs, remove {self._path}* and "
            "give the command again; or use a file system with locks."
        )


def is_in_place(descriptor: int, path: Path) -> bool:
    """Whether `path` is the open file, and not another that took its place."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _is_here(owner: dict[str, Any]) -> bool:
    return bool(owner["host"] == socket.gethostname())


def _is_gone(owner: dict[str, Any]) -> bool:
    """Whether the owner ran on this machine and does not run any more."""
    if not _is_here(owner):
        return False
    if owner["boot"] != _boot():
        return True
    return bool(_started(int(owner["pid"])) != owner["started"])


def _boot() -> str:
    """Names this start of the machine, where the system tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
