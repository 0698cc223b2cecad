"""Takes records back out of a quarantine, once the settings that refused them are right.

They are appended to the log as files of their own, which the next job reads like any other.
Each record is taken back once: what was decided is kept in the quarantine before the file is
written, under a name that its content decides, and a kill in between is made good by the next
call. Copies that reach the log otherwise are duplicates to the window of rounds.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from cloud.uplink_log.contents import Contents
from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.quarantine import Quarantine
from cloud.uplink_log.reasons import Reason, Rejected
from cloud.uplink_log.replay import ReplayWindow
from cloud.uplink_log.validation import checked
from cloud.uplink_log.writer import UplinkLogWriter
from ecct_tf.errors import DataError
from ecct_tf.locks import exclusive
from ecct_tf.wire import UplinkRecord

__all__ = ["Reingested", "reingest"]

_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class Reingested:
    """What became of a quarantine.

    Attributes:
      taken: records that this call appended to the log.
      files: that hold them.
      before: records that an earlier call had taken.
      refused: what is refused still, by reason.
      unread: entries of files that no version has read, which the next job reads anyway.
    """

    taken: int
    files: tuple[Path, ...]
    before: int
    refused: Mapping[Reason, int]
    unread: int


def reingest(
    quarantine: Quarantine,
    log: Path,
    *,
    contract: LogContract,
    window: ReplayWindow,
    consumed: Collection[str],
) -> Reingested:
    """Appends what is sound by now to the log.

    Args:
      quarantine: of a job.
      log: its folder.
      contract: what a record must satisfy, with the right settings.
      window: which rounds the promoted version has seen; it is changed.
      consumed: names of the files that it has read.

    Raises:
      DataError: there is no such quarantine, or it cannot be used.
    """
    if not quarantine.path.is_file():
        raise DataError(
            f"{quarantine.path}: expected the quarantine of a job, found none: nothing was "
            "refused there; give the job's folder"
        )
    files: list[Path] = []
    taken = 0
    with exclusive(quarantine.path.with_name("reingest.lock")):
        before = quarantine.taken_back()
        for name, contents in quarantine.unfinished().items():
            # A call before this one decided on them, and may have been killed before its end.
            files += _append(log, contents, name=name)
            taken += len(contents)
            before -= len(contents)
            quarantine.finish(name)
        chosen, refused, unread = _choose(
            quarantine, contract=contract, window=window, consumed=consumed
        )
        if chosen:
            contents = [entry.content for entry in chosen]
            quarantine.begin(_name(contents), chosen)
            files += _append(log, contents, name=_name(contents))
            taken += len(contents)
            quarantine.finish(_name(contents))
    return Reingested(taken, tuple(files), before, refused, unread)


def _choose(
    quarantine: Quarantine,
    *,
    contract: LogContract,
    window: ReplayWindow,
    consumed: Collection[str],
) -> tuple[list[Rejected], Counter[Reason], int]:
    chosen: list[Rejected] = []
    refused: Counter[Reason] = Counter()
    waiting: list[Rejected] = []
    unread = 0

    def check() -> None:
        lengths = np.array([len(entry.content) for entry in waiting], np.int64)
        block = b"".join(entry.content for entry in waiting)
        contents = Contents(block, np.cumsum(lengths) - lengths, lengths)
        found = checked(contents, contract, window, file=waiting[0].file)
        chosen.extend(waiting[row] for row in found.rows.tolist())
        refused.update(reason for _, reason, _ in found.refused)
        waiting.clear()

    for entry in quarantine.not_taken_back():
        if entry.file not in consumed:
            unread += 1
        elif entry.reason is Reason.UNREADABLE_FILE:
            refused[entry.reason] += 1
        else:
            if waiting and (waiting[0].file != entry.file or len(waiting) == _CHUNK):
                check()
            waiting.append(entry)
    if waiting:
        check()
    return chosen, refused, unread


def _name(contents: list[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return f"reingested-{digest.hexdigest()[:24]}"


def _append(log: Path, contents: list[bytes], *, name: str) -> tuple[Path, ...]:
    return UplinkLogWriter(log).append(map(UplinkRecord.from_bytes, contents), name=name)
