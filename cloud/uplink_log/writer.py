"""Appends uplinks to a log, one new file at a time."""

import re
import uuid
from collections.abc import Iterable
from pathlib import Path

from cloud.uplink_log.files import partition
from cloud.uplink_log.framing import frame
from ecct_tf.errors import DataError
from ecct_tf.files import private_folder, sync_folder, write_atomically
from ecct_tf.wire import UplinkRecord

__all__ = ["UplinkLogWriter"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class UplinkLogWriter:
    """Writes records as TFRecord files under `date=YYYY-MM-DD/`, by the day they were made.

    Each call makes new files, which appear whole or not at all. Any number of writers may
    write into one folder at once; none of them ever touches another's file. Only their owner may
    read the files, and enter the folders that are made for them.

    Args:
      folder: of the log; it is made with the first record.
      records_per_file: at most this many in a file.
    """

    def __init__(self, folder: Path, *, records_per_file: int = 50_000) -> None:
        if records_per_file < 1:
            raise DataError(f"expected at least 1 record a file, got {records_per_file}")
        self._folder = folder
        self._records_per_file = records_per_file

    def append(
        self, records: Iterable[UplinkRecord], *, name: str | None = None
    ) -> tuple[Path, ...]:
        """Appends records and returns the files that hold them.

        Args:
          records: in the order in which they shall be read.
          name: of the files, without suffix, for a writer that repeats itself after a
            failure and must not append twice: files of that name are replaced. By default
            a name that no other file has.

        Raises:
          DataError: when `name` is no plain file name.
        """
        if name is not None and not _NAME.fullmatch(name):
            raise DataError(
                f"uplink log: expected a file name of letters, digits, '_', '.' and '-', "
                f"got {name!r}"
            )
        by_day: dict[str, list[UplinkRecord]] = {}
        written = []
        for record in records:
            day = partition(record.created_at_seconds)
            waiting = by_day.setdefault(day, [])
            waiting.append(record)
            if name is None and len(waiting) == self._records_per_file:
                written.append(self._write(day, by_day.pop(day), name=None))
        for day, waiting in sorted(by_day.items()):
            parts = range(0, len(waiting), self._records_per_file)
            for number, start in enumerate(parts):
                part = waiting[start : start + self._records_per_file]
                full = name if name is None or len(parts) == 1 else f"{name}-{number:05d}"
                written.append(self._write(day, part, name=full))
        return tuple(written)

    def _write(self, day: str, records: list[UplinkRecord], *, name: str | None) -> Path:
        # By time, so that the order of names is the order of arrival; then unique.
        own = name or f"{records[0].created_at_seconds:011d}-{uuid.uuid4().hex}"
        path = self._folder / day / f"{own}.tfrecord"
        private_folder(self._folder)
        if not path.parent.exists():
            # A power failure must not take the day's folder with what was confirmed in it.
            private_folder(path.parent)
            sync_folder(self._folder)
        write_atomically(
            path,
            lambda file: file.writelines(frame(record.to_bytes()) for record in records),
            private=True,
            durable=True,
        )
        return path
