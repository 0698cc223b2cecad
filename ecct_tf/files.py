"""Writes that a kill cannot tear, and reads that nothing can hold up."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

__all__ = ["open_plain", "read_plain_text", "write_atomically", "write_bytes", "write_text"]


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


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Lets `write` fill a temporary file, which then takes the place of `path` at once.

    When `write` fails, `path` stays as it was and the temporary file goes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes atomically."""
    write_atomically(path, lambda file: file.write(content))
