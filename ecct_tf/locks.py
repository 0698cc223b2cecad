"""Locks that end with the process that holds them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FileLock", "exclusive"]


class FileLock:
    """The kernel's lock on a file: given up by `release`, and by the end of the process.

    Args:
      path: the file; made when it is missing, and never read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Takes the lock; False when another holds it and `wait` is False."""
        # Not inheritable: a program that the holder starts must not keep the lock.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Gives the lock up; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextlib.contextmanager
def exclusive(path: Path, *, busy: Exception | None = None) -> Iterator[None]:
    """Holds the lock on `path`, whose folder is made when it is missing.

    Args:
      path: the lock's file.
      busy: raised when another process has the lock; None waits for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    if not lock.acquire(wait=busy is None) and busy is not None:
        raise busy
    try:
        yield
    finally:
        lock.release()
