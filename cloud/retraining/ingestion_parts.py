"""What many processes found in a log, as files that the job puts together.

A process may die and another one do its work again, or two may do it at once: each writes a file of
its own, which appears whole, and of files that say the same the job takes one.

    read-000003.<attempt>.npz       of some files of the log: counts, senders, which were finished
    refused-000003-000001.…npz      records that were refused there
    users-000017.<attempt>.npz      of some users: what is known of them now
    repeated-000017.…npz            their records whose rounds are not new
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from cloud.retraining.ingestion import Ingested, Ingestion
from cloud.retraining.refusals import Refusals
from cloud.retraining.user_uplinks import UserUplinks
from cloud.uplink_log import ConsumedFile, Reason, Rejected
from cloud.uplink_log.by_user import SoundPiece
from cloud.uplink_log.reader import senders_of, to_keep
from ecct_tf.errors import WorkerError

__all__ = ["FilesPart", "put_together", "write_users"]

Arrays = Mapping[str, npt.NDArray[Any]]

# Behind any place of a file.
_END = 2**62


class FilesPart:
    """Writes what is found in some files of a log, piece by piece.

    Args:
      folder: of the parts.
      number: of this one.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number
        self._attempt = secrets.token_hex(4)
        self._rejected: Counter[Reason] = Counter()
        self._senders: dict[Reason, list[int]] = {}
        self._finished: list[ConsumedFile] = []
        self._sound = 0
        self._pieces = 0

    def add(self, piece: SoundPiece) -> None:
        """Takes a piece."""
        self._sound += len(piece.users)
        self._rejected.update(entry.reason for entry in piece.rejected)
        for reason, users in senders_of(piece.rejected).items():
            self._senders.setdefault(reason, []).extend(users)
        if piece.finished is not None:
            self._finished.append(piece.finished)
        kept = to_keep(piece.rejected)
        if kept:
            stem = f"refused-{self._number:06d}-{self._pieces:06d}"
            _write(self._folder, stem, self._attempt, _rejected_arrays(kept))
            self._pieces += 1

    def close(self) -> None:
        """Ends the part; before, it does not count."""
        told = {
            "sound": self._sound,
            "pieces": self._pieces,
            "rejected": {reason.value: count for reason, count in self._rejected.items()},
            "finished": [file.as_dict() for file in self._finished],
        }
        senders = {
            f"senders/{reason.value}": np.array(users, np.int64)
            for reason, users in self._senders.items()
        }
        stem = f"read-{self._number:06d}"
        _write(self._folder, stem, self._attempt, {"told": _text(told), **senders})


def write_users(folder: Path, number: int, found: UserUplinks) -> None:
    """Writes what became of the uplinks of some users.

    Args:
      folder: of the parts.
      number: of this one.
      found: to be written.
    """
    attempt = secrets.token_hex(4)
    if found.rejected:
        _write(folder, f"repeated-{number:06d}", attempt, _rejected_arrays(found.rejected))
    told = {
        "received": found.received,
        "read": found.read,
        "first": found.first,
        "last": found.last,
        "repeated": len(found.rejected),
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "told": _text(told),
        "users": found.users,
        "newest": found.newest,
        "seen": found.seen,
        **{f"rows/{name}": array for name, array in found.rows.items()},
    }
    _write(folder, f"users-{number:06d}", attempt, arrays)


def put_together(folder: Path, given: Ingestion, *, tasks: int) -> Ingested:
    """Gives builder, window and quarantine of a job all that the parts hold.

    Args:
      folder: of the parts.
      given: what was to be read.
      tasks: into how many parts its files were divided.

    Raises:
      WorkerError: a part is missing; nothing was changed.
    """
    parts = _newest_names(folder)
    reads = [_told(folder, parts, f"read-{number:06d}") for number in range(tasks)]
    shards = sorted(stem for stem in parts if stem.startswith("users-"))
    told = {stem: _told(folder, parts, stem)[0] for stem in shards}
    sent = sum(entry["sound"] for entry, _ in reads)
    received = sum(entry["received"] for entry in told.values())
    if sent != received:
        raise WorkerError(
            f"engine.ingest: of {sent:,} records that were found in the log, {received:,} came to "
            f"the users whose they are ({folder}); give the command again"
        )
    refusals = Refusals(len(given.files))
    finished: list[ConsumedFile] = []
    with given.quarantine.session() as session:
        for file in given.files:
            session.replace(file.name, 0, _END, ())
        for number, (entry, arrays) in enumerate(reads):
            rejected = {Reason(name): count for name, count in entry["rejected"].items()}
            senders = {
                Reason(name.removeprefix("senders/")): users.tolist()
                for name, users in arrays.items()
                if name.startswith("senders/")
            }
            refusals.count(np.zeros(0, np.int32), 0, rejected=rejected, senders=senders)
            finished += [ConsumedFile(**file) for file in entry["finished"]]
            for piece in range(entry["pieces"]):
                session.add(_rejected(folder, parts, f"refused-{number:06d}-{piece:06d}"))
        for stem in shards:
            arrays = _read(folder, parts, stem)
            users, entry = arrays["users"], told[stem]
            rows = {name: arrays[f"rows/{name}"] for name in given.builder.rows()}
            given.builder.put(users, rows, added=entry["read"])
            given.window.put(users, newest=arrays["newest"], seen=arrays["seen"])
            repeated: Sequence[Rejected] = ()
            if entry["repeated"]:
                repeated = [*_rejected(folder, parts, f"repeated-{stem.removeprefix('users-')}")]
                session.add(repeated)
            refusals.count(
                users,
                entry["read"],
                rejected=Counter(each.reason for each in repeated),
                senders=senders_of(repeated),
            )
    firsts = [entry["first"] for entry in told.values() if entry["first"] is not None]
    lasts = [entry["last"] for entry in told.values() if entry["last"] is not None]
    return Ingested(
        read=sum(entry["read"] for entry in told.values()),
        refusals=refusals,
        finished=tuple(finished),
        first=min(firsts, default=None),
        last=max(lasts, default=None),
    )


def _newest_names(folder: Path) -> dict[str, str]:
    """By stem the name of a file; of several attempts, which hold the same, any one."""
    return {path.name.partition(".")[0]: path.name for path in sorted(folder.glob("*.npz"))}


def _write(folder: Path, stem: str, attempt: str, arrays: Arrays) -> None:
    write_arrays(folder / f"{stem}.{attempt}.npz", arrays, private=True)


def _read(folder: Path, parts: Mapping[str, str], stem: str) -> Arrays:
    if stem not in parts:
        raise WorkerError(
            f"engine.ingest: expected the part {stem} of what was read of the log in {folder}, "
            "there is none; all workers must see the job's folder under this path. Give the "
            "command again"
        )
    return read_arrays(folder / parts[stem])


def _told(folder: Path, parts: Mapping[str, str], stem: str) -> tuple[dict[str, Any], Arrays]:
    arrays = _read(folder, parts, stem)
    return json.loads(arrays["told"].tobytes()), arrays


def _text(value: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _rejected_arrays(rejected: Sequence[Rejected]) -> Arrays:
    told = [[each.file, each.offset, each.reason.value, each.message] for each in rejected]
    return {
        "told": _text(told),
        "lengths": np.array([len(each.content) for each in rejected], np.int64),
        "content": np.frombuffer(b"".join(each.content for each in rejected), np.uint8),
    }


def _rejected(folder: Path, parts: Mapping[str, str], stem: str) -> Iterator[Rejected]:
    arrays = _read(folder, parts, stem)
    told: list[tuple[str, int, str, str]] = json.loads(arrays["told"].tobytes())
    content, begin = arrays["content"].tobytes(), 0
    for (file, offset, reason, message), length in zip(told, arrays["lengths"], strict=True):
        end = begin + int(length)
        yield Rejected(file, offset, Reason(reason), message, content[begin:end])
        begin = end
