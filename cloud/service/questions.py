"""The questions that devices were asked, as the published files of downlinks have them.

They resolve answers by place (`ecct_tf.wire.places`). Files of earlier publications stay in the
folder, so late answers find the questions of their round there. Where a file is gone or a user is
not in it, nothing is guessed: the sender is asked for the same answer with its items.
"""

import logging
import mmap
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError
from ecct_tf.wire import DownlinkFile, PlacedRecord, UplinkRecord
from ecct_tf.wire.downlink import asked_in

__all__ = ["Questions"]

_log = logging.getLogger(__name__)

# Open at a time: mapped, not read into memory.
_MOST_FILES = 64


class Questions:
    """The downlinks of a publication folder, current and earlier ones. Threads may share it.

    Attributes:
      resolved: answers by place that became records with items since the start.
      unresolved: answers by place that did not.

    Args:
      folder: that `ecct cloud publish` writes.
    """

    def __init__(self, folder: Path) -> None:
        self.resolved = self.unresolved = 0
        self._folder = folder
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[int, int, int, int] | None] = {}
        self._files: OrderedDict[str, DownlinkFile | None] = OrderedDict()

    def resolve(self, record: PlacedRecord) -> UplinkRecord:
        """The record with the items of its downlink.

        Raises:
          CodecError: the downlink is no longer there, has no questions for the user, or others.
        """
        with self._lock:
            try:
                found = self._resolve(record)
            except CodecError:
                self.unresolved += 1
                raise
            self.resolved += 1
            return found

    def _resolve(self, record: PlacedRecord) -> UplinkRecord:
        asked = self._rows(record, "downlinks", key=record.user)
        # Users that the version did not know were asked as a segment.
        asked = asked or self._rows(record, "segments", key=None)
        refusal: CodecError | None = None
        for questions in asked:
            try:
                return record.answering(questions)
            except CodecError as error:
                refusal = error
        raise refusal or CodecError(
            f"answer by place: the downlinks of round {record.round_number} and version "
            f"{record.cloud_version} are not in the publication any more; send the items too"
        )

    def _rows(
        self, record: PlacedRecord, kind: str, *, key: int | None
    ) -> list[npt.NDArray[np.int32]]:
        """Questions of `key`, or of all keys, in the files of the record's round and version."""
        rows = []
        for path in sorted(self._folder.glob(f"{kind}-{record.cloud_version:06d}-*.ecdn")):
            asked = self._asked_in(path)
            if asked is None or asked[:2] != (record.round_number, record.cloud_version):
                continue
            # Downlinks of many users are in several files.
            if key is not None and not asked[2] <= key <= asked[3]:
                continue
            file = self._file(path)
            if file is None:
                continue
            places = range(len(file.keys))
            if key is not None:
                place = int(np.searchsorted(file.keys, key))
                places = range(place, place + (place < len(file.keys) and file.keys[place] == key))
            rows += [file.records["queries"][place] for place in places]
        return rows

    def _asked_in(self, path: Path) -> tuple[int, int, int, int] | None:
        # A name has the hash of the content in it, so what it is for never changes.
        if path.name not in self._asked:
            try:
                with path.open("rb") as file:
                    self._asked[path.name] = asked_in(file)
            except OSError:
                return None
        return self._asked[path.name]

    def _file(self, path: Path) -> DownlinkFile | None:
        if path.name not in self._files:
            self._files[path.name] = _opened(path)
            while len(self._files) > _MOST_FILES:
                self._files.popitem(last=False)
        self._files.move_to_end(path.name)
        return self._files[path.name]


def _opened(path: Path) -> DownlinkFile | None:
    try:
        with path.open("rb") as file:
            # It stays mapped for as long as its records are referred to.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return DownlinkFile.from_bytes(memoryview(content))
    except (OSError, ValueError, CodecError) as error:
        _log.warning("%s: answers by place to it cannot be resolved: %s", path, error)
        return None
