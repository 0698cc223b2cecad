"""Writes that a kill cannot tear, that name the path when they fail, and that can be private.

And reads that nothing can hold up.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = [
    "draft_of",
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

    When `write` fails, `path` stays as it was and the temporary file goes.

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
    try:
        with naming(path):
            # What a kill left may have other permissions.
            temporary.unlink(missing_ok=True)
            with open(temporary, "wb", opener=_private if private else None) as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            if durable:
                sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _PRIVATE_FILE)
