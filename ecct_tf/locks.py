"""Locks that end with the process that holds them.

They are the kernel's (`flock`). On a file system that has none a file with the owner's name takes
their place, and a warning says so.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ecct_tf.owner_files import OwnerFile, is_in_place

__all__ = ["FileLock", "exclusive", "held", "new_folder", "passing"]

_log = logging.getLogger(__name__)

# What the system says where it has no locks, or none for this file system.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_PAUSE_SECONDS = 0.1


class FileLock:
    """The kernel's lock on a file: given up by `release`, and by the end of the process.

    Args:
      path: the file; made when it is missing, and never read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._owner: OwnerFile | None = None

    def acquire(self, *, wait: bool, shared: bool = False) -> bool:
        """Takes the lock; False when another holds it and `wait` is False.

        Args:
          wait: for its end.
          shared: with all others that share it; on a file system without locks one has it alone.

        Raises:
          StorageError: the file system has no locks, and who holds the file in their place
            cannot be known to run.
        """
        descriptor = self._open(shared=shared)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _NO_LOCKS:
                error.filename = error.filename or str(self._path)
                raise
            return self._own(error, wait=wait)
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
        if self._owner is not None:
            self._owner.release()
            self._owner = None

    def is_in_place(self) -> bool:
        """Whether the lock that is held is that of the file at the path, not of a removed one."""
        if self._owner is not None:
            return self._owner.is_own()
        return self._descriptor is not None and is_in_place(self._descriptor, self._path)

    def moved_to(self, path: Path) -> None:
        """Notes that the folder of the file was renamed; the lock is held as before."""
        self._path = path
        if self._owner is not None:
            self._owner.moved_to(_owner_of(path))

    def _open(self, *, shared: bool) -> int:
        # Not inheritable: a program that the holder starts must not keep the lock.
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if not shared or error.errno not in (errno.EACCES, errno.EROFS):
                raise
            try:
                return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise error from None

    def _own(self, error: OSError, *, wait: bool) -> bool:
        owner = OwnerFile(_owner_of(self._path))
        _log.warning(
            "%s: the file system has no locks (%s); a file %s.owner takes their place",
            self._path, error.strerror, self._path.name,
        )  # fmt: skip
        if not owner.acquire(wait=wait):
            return False
        self._owner = owner
        return True


def _owner_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")


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


@contextlib.contextmanager
def passing(path: Path) -> Iterator[None]:
    """Holds the lock on `path`, waiting for it, and leaves no file behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire(wait=True)
    while not lock.is_in_place():
        # It was that of a file which its holder has removed by now.
        lock.release()
        lock.acquire(wait=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def new_folder(
    path: Path, fill: Callable[[Path], None], *, lock_name: str, taken: Exception
) -> Iterator[None]:
    """Makes the folder `path`, whole and locked from its birth to the end of the body.

    Of several processes that make it at the same time one does. What a kill left of an attempt is
    replaced.

    Args:
      path: the folder; none may be there, or an empty one.
      fill: writes what it holds at its birth, into the folder that it is given.
      lock_name: of the lock's file in it.
      taken: raised when another process makes it, or has made it.
    """
    draft = path.with_name(f".{path.name}.part")
    draft.mkdir(parents=True, exist_ok=True)
    lock = FileLock(draft / lock_name)
    try:
        # What moves away with another's folder, or is held by it.
        mine = lock.acquire(wait=False) and lock.is_in_place()
    except FileNotFoundError:
        mine = False
    if not mine:
        lock.release()
        raise taken
    try:
        try:
            for left in draft.iterdir():
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left)
                elif not left.name.startswith(lock_name):
                    left.unlink()
            fill(draft)
            draft.rename(path)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise taken from error
            raise
        lock.moved_to(path / lock_name)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def held(path: Path, *, shared: bool, wait_seconds: float, busy: Exception) -> Iterator[None]:
    """Holds the lock on `path`, in a folder that is there; a kill frees it.

    Args:
      path: the lock's file.
      shared: with all others that share it.
      wait_seconds: how long to wait for those whose lock does not go with it.
      busy: raised when they still have it then.
    """
    lock = FileLock(path)
    deadline = time.monotonic() + wait_seconds
    told = False
    while not lock.acquire(wait=False, shared=shared):
        if time.monotonic() >= deadline:
            raise busy
        if not told:
            _log.info("waiting at most %.0f s for the lock %s", wait_seconds, path)
            told = True
        time.sleep(_PAUSE_SECONDS)
    try:
        yield
    finally:
        lock.release()
