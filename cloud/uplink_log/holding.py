"""Keeps a log as it is while somebody reads it, by a lock that ends with its process.

Any number may read at once. Who joins files of the log, or takes users out of it, has it alone, and
looks for what versions and notes refer to only then. Writers need neither: they add files under
names of their own.
"""

import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

from ecct_tf.errors import StorageError
from ecct_tf.locks import held

__all__ = ["changing_log", "reading_log"]

_log = logging.getLogger(__name__)

_LOCK = ".files.lock"
READ_WAIT_SECONDS, CHANGE_WAIT_SECONDS = 600.0, 60.0


@contextlib.contextmanager
def reading_log(folder: Path | None) -> Iterator[None]:
    """Keeps the files of a log in their place; waits at most ten minutes for who changes them.

    In a folder that may not be written, and that has no lock yet, none is held; a warning says so.

    Args:
      folder: of the log; nothing happens where there is none.

    Raises:
      StorageError: another process has been changing the log all that time.
    """
    if folder is None or not folder.is_dir():
        yield
        return
    path = folder / _LOCK
    busy = StorageError(
        f"{path}: expected to read the log within {READ_WAIT_SECONDS:.0f} s, `ecct cloud log "
        "compact` or `ecct cloud erase` is at work in it; wait for its end, and give the same "
        "command again"
    )
    lock = held(path, shared=True, wait_seconds=READ_WAIT_SECONDS, busy=busy)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock)
        except PermissionError as error:
            _no_lock(path, error)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            _no_lock(path, error)
        yield


def changing_log(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Keeps readers and other changes away; waits at most a minute for them.

    Entering it raises `StorageError` when a job or a command reads the log all that time.

    Args:
      folder: of the log, which is there.
    """
    path = folder / _LOCK
    busy = StorageError(
        f"{path}: expected nobody to read the log, a job or another command does so since more "
        f"than {CHANGE_WAIT_SECONDS:.0f} s; wait for its end, or end it, and give the same command "
        "again"
    )
    return held(path, shared=False, wait_seconds=CHANGE_WAIT_SECONDS, busy=busy)


def _no_lock(path: Path, error: OSError) -> None:
    _log.warning(
        "%s: the log is read without a lock (%s); do not run `ecct cloud log compact` meanwhile",
        path, error.strerror,
    )  # fmt: skip
