"""From answers that arrive one by one to files of the log: collected, appended, then confirmed."""

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from cloud.service.ledger import Ledger
from cloud.uplink_log import UplinkLogWriter
from cloud.uplink_log.files import partition
from ecct_tf.errors import EcctError
from ecct_tf.wire import UplinkRecord

__all__ = ["BusyError", "Intake", "Receipt"]

_log = logging.getLogger(__name__)


class BusyError(EcctError):
    """As many answers wait for the disk as may; the sender tries again later."""


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What became of the answers of one request, all of which the sender may forget.

    Attributes:
      taken: that are in the log since now.
      repeated: that were in it.
      too_old: from more than 64 rounds before the newest of their user, which the log's reader
        would refuse.
    """

    taken: int
    repeated: int
    too_old: int


@dataclasses.dataclass
class _Waiting:
    records: Sequence[UplinkRecord]
    future: "Future[Receipt]"


class Intake:
    """Appends answers to a log in a thread of its own, many in one file.

    A receipt is given when the records are on the disk, and not before: what a kill or a full disk
    takes away was never confirmed, so that its sender sends it again.

    Attributes:
      taken: records appended since the start.
      repeated: records that were in the log.
      files: files written.
      failures: files that could not be.

    Args:
      writer: of the log.
      ledger: of what the log holds.
      most_waiting: records that may wait; beyond it `offer` refuses.
      most_together: records in a file.
      linger_seconds: how long the first record waits for others.
    """

    def __init__(
        self,
        writer: UplinkLogWriter,
        ledger: Ledger,
        *,
        most_waiting: int = 20_000,
        most_together: int = 5_000,
        linger_seconds: float = 0.02,
    ) -> None:
        self.taken = self.repeated = self.files = self.failures = 0
        self._writer = writer
        self._ledger = ledger
        self._most_waiting = most_waiting
        self._most_together = most_together
        self._linger_seconds = linger_seconds
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="uplink-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Records that are not on the disk yet."""
        return self._waiting

    def offer(self, records: Sequence[UplinkRecord]) -> "Future[Receipt]":
        """Hands over the records of one request; its result is there when they are on the disk.

        Raises:
          BusyError: too many wait, or the service ends.
        """
        with self._changed:
            if self._closed or self._waiting + len(records) > self._most_waiting:
                raise BusyError(
                    f"{self._waiting} answers wait for the disk, {self._most_waiting} may; send "
                    "again later"
                )
            entry = _Waiting(records, Future())
            self._queue.append(entry)
            self._waiting += len(records)
            self._changed.notify()
        return entry.future

    def close(self) -> None:
        """Writes what waits, and ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._append(batch)
            with self._changed:
                self._waiting -= sum(len(entry.records) for entry in batch)

    def _next(self) -> list[_Waiting]:
        """The requests of the next file; none at the end."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            until = time.monotonic() + self._linger_seconds
            while not self._closed and self._waiting < self._most_together:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch: list[_Waiting] = []
            size = 0
            while self._queue and (not batch or size < self._most_together):
                batch.append(self._queue.popleft())
                size += len(batch[-1].records)
            return batch

    def _append(self, batch: list[_Waiting]) -> None:
        fresh: dict[tuple[int, int], UplinkRecord] = {}
        for entry in batch:
            for record in entry.records:
                if self._ledger.status(*record.key) == "fresh":
                    fresh.setdefault(record.key, record)
        before = {key: self._ledger.status(*key) for entry in batch for key in _keys(entry)}
        failure = self._write(list(fresh.values()))
        counted = set()
        for entry in batch:
            missing = [key for key in _keys(entry) if self._ledger.status(*key) == "fresh"]
            if missing:
                entry.future.set_exception(failure or EcctError("the log was not written"))
                continue
            found = {"fresh": 0, "repeated": 0, "too_old": 0}
            for key in _keys(entry):
                status = "repeated" if key in counted else before[key]
                counted.add(key)
                found[status] += 1
            self.taken += found["fresh"]
            self.repeated += found["repeated"]
            entry.future.set_result(Receipt(found["fresh"], found["repeated"], found["too_old"]))

    def _write(self, records: list[UplinkRecord]) -> Exception | None:
        """Appends day by day, so that what is on the disk is known when one of them fails."""
        by_day: dict[str, list[UplinkRecord]] = {}
        for record in records:
            by_day.setdefault(partition(record.created_at_seconds), []).append(record)
        failure: Exception | None = None
        for together in by_day.values():
            try:
                self._writer.append(together)
            except (OSError, EcctError) as error:
                self.failures += 1
                _log.error("the uplink log cannot be written: %s", error)
                failure = error
                continue
            self.files += 1
            # By round, so that none of one request is older than the window that the others move.
            for record in sorted(together, key=lambda record: record.round_number):
                self._ledger.add(*record.key)
        return failure


def _keys(entry: _Waiting) -> list[tuple[int, int]]:
    return [record.key for record in entry.records]
