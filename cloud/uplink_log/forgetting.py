"""What of a log is to be forgotten: notes that the next job follows.

A note names users, files or a time, and the files that there were when it was made: what is
sent later counts again. It also keeps which answers (user and round) those were, so that a
job drops them from what the promoted version knows without reading the log once more:

    000001.json   what is to be forgotten, and in which files
    000001.npz    users and rounds of the answers
"""

import dataclasses
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.uplink_log.files import LogFile
from cloud.uplink_log.pieces import parquet_pieces, tfrecord_pieces
from ecct_tf.errors import CodecError, DataError
from ecct_tf.files import write_bytes, write_text
from ecct_tf.locks import exclusive
from ecct_tf.sealed_json import seal_json, unseal_json
from ecct_tf.wire import UplinkRecord

__all__ = ["ForgetNote", "ForgetNotes", "Forgotten", "note_of", "nothing_noted"]

_NAME = re.compile(r"\d{6,}\.json")
_BLOCK_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class ForgetNote:
    """What is to be forgotten.

    Attributes:
      users: all answers of these.
      files: all answers in these, by their names in the log.
      since_seconds: all answers that were made then or later, in whole seconds since 1970,
        UTC; None for none.
      scope: the files that there were; nothing in others is forgotten.
      answers: `[n, 2] int64`, user and round of each answer that it covers.
    """

    users: tuple[int, ...]
    files: tuple[str, ...]
    since_seconds: int | None
    scope: tuple[str, ...]
    answers: npt.NDArray[np.int64]

    def covers(
        self, file: str, users: npt.NDArray[np.int32], created_at_seconds: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which answers of `file` are to be forgotten, `[n] bool`."""
        if file not in self.scope:
            return np.zeros(len(users), np.bool_)
        if file in self.files:
            return np.ones(len(users), np.bool_)
        covered: npt.NDArray[np.bool_] = np.isin(users, np.array(self.users, np.int64))
        if self.since_seconds is not None:
            covered |= created_at_seconds >= self.since_seconds
        return covered


@dataclasses.dataclass(frozen=True, eq=False)
class Forgotten:
    """All notes of a registry, the oldest first, and whom it was told to erase.

    Attributes:
      notes: what was noted.
      erased: users of whom no answer counts, whenever it came.
    """

    notes: tuple[ForgetNote, ...] = ()
    erased: tuple[int, ...] = ()

    def covers(
        self, file: str, users: npt.NDArray[np.int32], created_at_seconds: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which answers of `file` are to be forgotten for any reason, `[n] bool`."""
        covered: npt.NDArray[np.bool_] = np.isin(users, np.array(self.erased, np.int64))
        for note in self.notes:
            covered |= note.covers(file, users, created_at_seconds)
        return covered


class ForgetNotes:
    """The notes of one folder.

    Args:
      folder: where they lie; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Forgotten:
        """All notes.

        Raises:
          DataError: when one cannot be read: a job must not learn what was to be forgotten.
        """
        return Forgotten(tuple(_read(path) for path in self._paths()))

    def add(self, note: ForgetNote) -> None:
        """Adds a note after the others."""
        with exclusive(self._folder / ".lock"):
            paths = self._paths()
            number = int(paths[-1].stem) + 1 if paths else 1
            path = self._folder / f"{number:06d}.json"
            _write(path, note)

    def count_of(self, users: Collection[int]) -> int:
        """Notes that name one of `users` or an answer of theirs."""
        return sum(1 for path in self._paths() if _names(_read(path), users))

    def erase(self, users: Collection[int]) -> int:
        """Takes `users` and their answers out of the notes, whose numbers stay.

        To be called when nothing of them is left to be forgotten.

        Returns:
          How many notes were changed.
        """
        count = 0
        with exclusive(self._folder / ".lock"):
            for path in self._paths():
                note = _read(path)
                if _names(note, users):
                    kept = ~np.isin(note.answers[:, 0], [*users])
                    left = tuple(user for user in note.users if user not in users)
                    _write(path, dataclasses.replace(note, users=left, answers=note.answers[kept]))
                    count += 1
        return count

    def _paths(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        found = (path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        return sorted(found, key=lambda path: int(path.stem))


def note_of(
    log: Path,
    files: Sequence[LogFile],
    *,
    users: Sequence[int] = (),
    whole_files: Sequence[str] = (),
    since_seconds: int | None = None,
) -> ForgetNote:
    """A note of what there is in a log now.

    Args:
      log: its folder.
      files: all that there are.
      users: whose answers are to be forgotten.
      whole_files: names of files that are to be forgotten.
      since_seconds: answers that were made then or later.

    Raises:
      DataError: when a file is not in the log.
    """
    names = tuple(file.name for file in files)
    for name in whole_files:
        if name not in names:
            raise DataError(
                f"{log}: expected the file {name} to find out what was learned from it, there is "
                f"none; restore it, or name the users. Of the {len(names)} files the last is "
                f"{names[-1] if names else 'none'}"
            )
    note = dataclasses.replace(
        nothing_noted(),
        users=tuple(users),
        files=tuple(whole_files),
        since_seconds=since_seconds,
        scope=names,
    )
    found = []
    for file in files:
        if not users and since_seconds is None and file.name not in whole_files:
            continue
        rows = np.array([*_answers(log, file)], np.int64).reshape(-1, 3)
        found.append(rows[note.covers(file.name, rows[:, 0].astype(np.int32), rows[:, 2]), :2])
    answers = np.concatenate([note.answers, *found])
    return dataclasses.replace(note, answers=np.unique(answers, axis=0))


def nothing_noted() -> ForgetNote:
    """A note of nothing, to fill."""
    return ForgetNote((), (), None, (), np.zeros((0, 2), np.int64))


def _answers(log: Path, file: LogFile) -> Iterator[tuple[int, int, int]]:
    """User, round and time of each record that can be read, sound or not."""
    pieces = parquet_pieces if file.name.endswith(".parquet") else tfrecord_pieces
    for piece in pieces(log, file, 0, block_bytes=_BLOCK_BYTES):
        for content in piece.contents:
            try:
                record = UplinkRecord.from_bytes(content)
            except CodecError:
                continue
            yield record.user, record.round_number, record.created_at_seconds


def _names(note: ForgetNote, users: Collection[int]) -> bool:
    return bool(set(note.users) & {*users}) or bool(np.isin(note.answers[:, 0], [*users]).any())


def _write(path: Path, note: ForgetNote) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, answers=note.answers)
    write_bytes(path.with_suffix(".npz"), buffer.getvalue())
    fields = {**vars(note)}
    del fields["answers"]
    # Last: the note counts from here on.
    write_text(path, seal_json(fields))


def _read(path: Path) -> ForgetNote:
    try:
        values: dict[str, Any] = unseal_json(path.read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            answers: npt.NDArray[np.int64] = stored["answers"]
        return ForgetNote(
            users=tuple(values["users"]),
            files=tuple(values["files"]),
            since_seconds=values["since_seconds"],
            scope=tuple(values["scope"]),
            answers=answers.reshape(-1, 2),
        )
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: expected a note of what is to be forgotten: {error!r}; restore it from a "
            "copy: a job must not learn what was to be forgotten"
        ) from error
