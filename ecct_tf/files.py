"""Writes that a kill cannot tear, that name the path when they fail, and that can be private.

And reads that nothing can hold up.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ecct_tf.owner_files import is_in_place

__all__ = [
    "draft_of",
    "leaving_no_folders",
    "naming",
    "open_plain",
    "private_folder",
    "read_plain_text",
    "sync_folder",
    "write_atomically",
    "write_bytes",
    "write_text",
]

_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


def open_plain(path: Path) -> IO[bytes]:
    """Opens a plain file to read its bytes.

    Raises:
      OSError: it cannot be opened, or is something else: a named pipe would be waited for
        without end, and a device has none.
    """
    # Without this flag the system waits until somebody writes into a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, not a file", str(path))


def read_plain_text(path: Path) -> str:
    """The UTF-8 text of a plain file.

    Raises:
      OSError: as `open_plain`.
      UnicodeDecodeError: it is no UTF-8.
    """
    with open_plain(path) as file:
        return file.read().decode("utf-8")


def draft_of(path: Path) -> Path:
    """Where `write_atomically` writes before the file takes its place; a kill may leave one."""
    return path.with_name(f".{path.name}.part")


def write_atomically(
    path: Path,
    write: Callable[[IO[bytes]], Any],
    *,
    private: bool = False,
    durable: bool = False,
) -> None:
    """Lets `write` fill a temporary file, which then takes the place of `path` at once.

    When `write` fails, `path` stays as it was and the temporary file goes. Of several that write
    one file at the same time each writes it whole, one after another.

    Args:
      path: the file; its folder is made when it is missing.
      write: fills it.
      private: lets only the owner read the file, and a folder that is made for it.
      durable: syncs the file's folder too, so that also a power failure leaves the new file.

    Raises:
      OSError: with the name of the file, also where the system gives none: on a full disk.
    """
    if private:
        private_folder(path.parent)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = draft_of(path)
    with naming(path), os.fdopen(_own_draft(temporary, private=private), "wb") as file:
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(path.parent)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Writes UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"), private=private)


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Writes bytes atomically."""
    write_atomically(path, lambda file: file.write(content), private=private)


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner may enter; one that is there stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)


@contextmanager
def leaving_no_folders(path: Path) -> Iterator[None]:
    """Removes the folders above `path` that an error leaves behind, if they were made meanwhile.

    Args:
      path: of what the body makes, and itself removes where it fails.
    """
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        yield
    except BaseException:
        # What holds something stays, and so does all above it.
        with suppress(OSError):
            for parent in missing:
                parent.rmdir()
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an error of the system, which names no file when a write fails, the name `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def sync_folder(path: Path) -> None:
    """Brings the names in a folder to the disk, as `fsync` brings a file's content."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _own_draft(draft: Path, *, private: bool) -> int:
    """A new file that is locked until it is closed, so that another writer waits for its end."""
    mode = _PRIVATE_FILE if private else 0o666
    while True:
        made = True
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            found, made = _left_draft(draft), False
            if found is None:
                continue
            descriptor = found
        try:
            _lock(descriptor)
            if is_in_place(descriptor, draft):
                if made:
                    return descriptor
                # A kill left it, and it may have other permissions: its writer has no lock.
                draft.unlink()
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _left_draft(draft: Path) -> int | None:
    """An existing draft, opened; None when it is gone, or was none that could be opened."""
    try:
        return os.open(draft, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError:
        _remove_other(draft)
        return None


def _remove_other(draft: Path) -> None:
    """Removes what is no file that can be written; a folder stays and is named."""
    folder = os.open(draft.parent, os.O_RDONLY)
    try:
        # Of several writers one removes it; to the others it may be somebody's draft by then.
        _lock(folder)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(draft).st_mode) or not os.access(draft, os.W_OK):
                draft.unlink()
    finally:
        os.close(folder)


def _lock(descriptor: int) -> None:
    """Waits for a lock; on a file system without locks there is none, as for any plain write."""
    # Unlike a job's or a run's, this lock spares writers of one file an error; who needs to be
    # alone holds one of `locks`.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
