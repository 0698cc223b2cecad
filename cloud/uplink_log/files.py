"""The files of a log: where they lie, in which order they are read, which were read."""

import dataclasses
import datetime
import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cloud.uplink_log.listing import LeftOut, entries, warn_of
from ecct_tf.errors import DataError

__all__ = [
    "ConsumedFile",
    "LogFile",
    "LogPosition",
    "RunningDigest",
    "list_log",
    "log_files",
    "partition",
]


@dataclasses.dataclass(frozen=True, order=True)
class LogFile:
    """A file of the log; files are sorted and read by name.

    Attributes:
      name: relative to the log's folder, e.g. `date=2026-11-25/….tfrecord`.
      size_bytes: its length.
    """

    name: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class ConsumedFile:
    """A file that was read to its end, as a version's manifest lists it.

    Attributes:
      name: relative to the log's folder.
      size_bytes: its length.
      sha256: of its bytes, in hexadecimal digits.
    """

    name: str
    size_bytes: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class LogPosition:
    """Where to go on: in this file, at this byte (of a Parquet file: at this row)."""

    file: str
    offset: int


def partition(created_at_seconds: int) -> str:
    """The folder of a day, in UTC.

    >>> partition(86_400)
    'date=1970-01-02'
    """
    moment = datetime.datetime.fromtimestamp(created_at_seconds, datetime.UTC)
    return f"date={moment:%Y-%m-%d}"


def log_files(folder: Path, *, consumed: Sequence[ConsumedFile] = ()) -> tuple[LogFile, ...]:
    """The files of a log that were not read yet, in the order in which they are read.

    Files appear whole, by a rename, and never change. A later file may sort before an
    earlier one, so a job lists once what it will read and keeps the list. A warning names what
    lies in the folder and is not read.

    Args:
      folder: of the log.
      consumed: files that the last version's manifest lists; they are left out.

    Raises:
      DataError: when the folder is missing, or a consumed file has another length now.
    """
    files, left_out = list_log(folder, consumed=consumed)
    warn_of(folder, left_out)
    return files


def list_log(
    folder: Path, *, consumed: Sequence[ConsumedFile] = ()
) -> tuple[tuple[LogFile, ...], tuple[LeftOut, ...]]:
    """The files as `log_files` returns them, and what is left out; it warns of nothing.

    Raises:
      DataError: as `log_files`.
    """
    if not folder.is_dir():
        raise DataError(
            f"uplink log: expected a folder at {folder}, found none; a writer makes it with its "
            "first uplink"
        )
    known = {file.name: file for file in consumed}
    new = []
    files, left_out = entries(folder)
    for file in files:
        before = known.get(file.name)
        if before is None:
            new.append(LogFile(file.name, file.size_bytes))
        elif before.size_bytes != file.size_bytes:
            raise DataError(
                f"uplink log: {folder / file.name} had {before.size_bytes} bytes when an earlier "
                f"version read it and has {file.size_bytes} now; files of the log must never "
                "change. Restore it, and append new records as a separate file."
            )
    return tuple(sorted(new)), tuple(left_out)


class RunningDigest:
    """The SHA-256 of a file while it is read in blocks that may overlap.

    It is computed in a thread beside the reading, which it would slow down by a fifth.
    """

    def __init__(self, path: Path, *, offset: int) -> None:
        self._digest = hashlib.sha256()
        self._done = 0
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._waiting: Future[None] | None = None
        with path.open("rb") as file:
            while self._done < offset:
                block = file.read(min(1 << 20, offset - self._done))
                if not block:
                    break
                self.update(self._done, block)

    def update(self, offset: int, block: bytes) -> None:
        """Takes the bytes of the file from `offset` on."""
        self._wait()
        fresh = memoryview(block)[self._done - offset :]
        self._waiting = self._thread.submit(self._digest.update, fresh)
        self._done += len(fresh)

    def hexdigest(self) -> str:
        """Of all that was taken."""
        self._wait()
        self._thread.shutdown()
        return self._digest.hexdigest()

    def _wait(self) -> None:
        if self._waiting is not None:
            self._waiting.result()
