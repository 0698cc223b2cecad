"""What a service confirmed and served, and whether log and files bear it out."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from cloud.uplink_log import log_files
from cloud.uplink_log.framing import MAX_CONTENT_BYTES, read_frames
from ecct_tf.errors import CodecError
from ecct_tf.wire import (
    DownlinkFile,
    PlacedRecord,
    Publication,
    UplinkRecord,
    split_records,
)
from ecct_tf.wire.compressed import decompressed

__all__ = ["Evidence", "log_records"]

_MOST_BYTES = 1 << 30


def log_records(folder: Path) -> list[UplinkRecord]:
    """All records of a log, in the order of reading.

    Raises:
      CodecError: one is damaged.
    """
    found = []
    for file in log_files(folder) if folder.is_dir() else ():
        frames = read_frames((folder / file.name).read_bytes(), final=True)
        if frames.damages:
            raise CodecError(f"{folder / file.name}: {frames.damages}")
        found += [UplinkRecord.from_bytes(content) for content in frames.contents]
    return found


class Evidence:
    """What went through the proxy. Threads may share it.

    Attributes:
      confirmed: records that the service said it has, by user and round, each by place: it need
        not have come with its items.
      taken: how many it said that it took now; less than there are where an answer was lost.
      counts: of what happened.
      problems: what must not be.

    Args:
      public: the publication that is served.
      models: the exported files that are served.
    """

    def __init__(self, public: Path, models: Path) -> None:
        self.confirmed: dict[tuple[int, int], bytes] = {}
        self.taken = 0
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._public = public
        self._models = models
        self._lock = threading.Lock()

    def count(self, what: str) -> None:
        """Notes that something happened."""
        with self._lock:
            self.counts[what] += 1

    def confirm(self, body: bytes, receipt: bytes) -> None:
        """Notes a request with answers that the service took."""
        with self._lock:
            self.taken += int(json.loads(receipt)["taken"])
            for content in split_records(body, most_bytes=MAX_CONTENT_BYTES):
                record = _placed(content)
                answer = self.confirmed.setdefault(record.key, record.to_bytes())
                if answer != record.to_bytes():
                    self.problems.append(f"two unlike answers of {record.key} were confirmed")

    def serve(self, path: str, headers: Mapping[str, str], content: bytes) -> None:
        """Compares what was served, whole or a part, with what it must be."""
        problem = self._torn(path, headers, content)
        with self._lock:
            self.counts["served"] += 1
            self.counts["served compressed"] += headers.get("content-encoding") == "gzip"
            if problem:
                self.problems.append(f"{path}: {problem}")

    def verdict(self, log: Path) -> list[str]:
        """What must not be, the log's own faults included; empty where all is well."""
        found = list(self.problems)
        try:
            records = log_records(log)
        except CodecError as error:
            return [*found, str(error)]
        times = Counter(record.key for record in records)
        found += [f"{key} is in the log {count} times" for key, count in times.items() if count > 1]
        held = {record.key: PlacedRecord.of(record).to_bytes() for record in records}
        for key, content in self.confirmed.items():
            if key not in held:
                found.append(f"{key} was confirmed and is not in the log")
            elif held[key] != content:
                found.append(f"{key} in the log is not what was confirmed")
        if self.taken > len(records):
            found.append(f"{self.taken} were taken, by what was said; the log has {len(records)}")
        return found

    def _torn(self, path: str, headers: Mapping[str, str], content: bytes) -> str | None:
        name, part = path.rpartition("/")[2], headers.get("content-range")
        try:
            if headers.get("content-encoding") == "gzip":
                content = decompressed(content, most=_MOST_BYTES)
            if path == "/v1/current":
                Publication.from_json(content.decode())
            elif path == "/v1/downlink":
                DownlinkFile.from_bytes(content)
            elif path.startswith("/v1/files/"):
                whole = (self._public / name).read_bytes()
                digest = hashlib.sha256(whole[:-32]).digest()
                if digest != whole[-32:] or digest.hex()[:16] not in name:
                    return "the published file is damaged"
                return _differs(whole, part, content)
            elif path.startswith("/v1/models/"):
                return _differs((self._models / name).read_bytes(), part, content)
        except (CodecError, UnicodeDecodeError, OSError) as error:
            return str(error)
        return None


def _placed(content: bytes) -> PlacedRecord:
    """A record as it came, with its items or by place."""
    try:
        return PlacedRecord.from_bytes(content)
    except CodecError:
        return PlacedRecord.of(UplinkRecord.from_bytes(content))


def _differs(whole: bytes, part: str | None, content: bytes) -> str | None:
    """Whether `content` is not the part of `whole` that its `Content-Range` says."""
    start = int(part.removeprefix("bytes ").partition("-")[0]) if part else 0
    return None if content and whole[start:] == content else "what was served is not the file"
