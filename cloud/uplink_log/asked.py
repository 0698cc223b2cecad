"""What devices were asked: the rounds that were opened, and the items of each.

Whoever asks devices notes it here; nothing in it comes from a device. `ecct cloud publish`
keeps its notes in the registry, under `publications/`, a simulation in its log, under
`asked/`. A round may be asked by several versions, so a note belongs to one pair of both:

    0000000007-000003.json   the round, the version, since when
    0000000007-000003.npz    the items that each user and each segment was asked about
"""

import dataclasses
import functools
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cloud.array_files import write_arrays
from cloud.uplink_log.replay import WINDOW_ROUNDS
from ecct_tf.errors import DataError
from ecct_tf.files import write_text
from ecct_tf.sealed_json import seal_json, unseal_json
from ecct_tf.wire.whole_numbers import check_whole

__all__ = ["ASKED_FOLDER", "Asked", "AskedItems", "AskedNotes", "Note"]

ASKED_FOLDER = "asked"

_NAME = re.compile(r"\d{10}-\d{6,}\.json")
_FIELDS = ("round_number", "cloud_version", "since_seconds", "with_items")


@dataclasses.dataclass(frozen=True, order=True)
class Note:
    """A round that was opened.

    Attributes:
      round_number: of the exchange.
      cloud_version: that asked; 0 in a simulation.
      since_seconds: when it was opened, in whole seconds since 1970, UTC.
      with_items: whether the items that were asked about are noted too.
    """

    round_number: int
    cloud_version: int
    since_seconds: int
    with_items: bool = False

    def __post_init__(self) -> None:
        for name in ("round_number", "cloud_version"):
            check_whole(getattr(self, name), name, what="a note of a round")
        check_whole(self.since_seconds, "since_seconds", what="a note of a round", most=2**63 - 1)


@dataclasses.dataclass(frozen=True, eq=False)
class AskedItems:
    """What one version asked about in one round; each row is sorted.

    Attributes:
      users: `[users, Q] int32`, of the users that the version knew.
      segments: `[segments, Q] int32`, of those that it did not know.
    """

    users: npt.NDArray[np.int32]
    segments: npt.NDArray[np.int32]

    def answered(
        self, users: npt.NDArray[np.int32], items: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.bool_]:
        """Whether each user answered for the items that it was asked about, each once.

        Args:
          users: `[n]`, not negative.
          items: `[n, Q]`, in any order.

        Returns:
          `[n] bool`.
        """
        given = np.sort(items, axis=1)
        fits = np.zeros(len(users), np.bool_)
        if given.shape[1] != self.users.shape[1]:
            return fits
        known = users < len(self.users)
        fits[known] = (given[known] == self.users[users[known]]).all(axis=1)
        for segment in self.segments:
            fits[~known] |= (given[~known] == segment).all(axis=1)
        return fits


class Asked:
    """All notes of one or more folders.

    Args:
      notes: by round and version.
      folders: where the items of a note lie.
      newest_round: the last round where an operator says so; None for the last that is noted.
    """

    def __init__(
        self,
        notes: Mapping[tuple[int, int], Note],
        *,
        folders: Mapping[tuple[int, int], Path],
        newest_round: int | None = None,
    ) -> None:
        self.notes = dict(notes)
        self._folders = dict(folders)
        self._declared = newest_round
        # With nothing noted the only round that can have been asked is the first.
        last = max((number for number, _ in self.notes), default=0)
        self.newest_round = last if newest_round is None else max(last, newest_round)

    @classmethod
    def nothing(cls, *, newest_round: int | None = None) -> "Asked":
        """Nothing noted: only rounds up to `newest_round` were asked, or round 0."""
        return cls({}, folders={}, newest_round=newest_round)

    @classmethod
    def read(cls, folders: Sequence[Path], *, newest_round: int | None = None) -> "Asked":
        """The notes of `folders`; one that does not exist has none.

        Raises:
          DataError: when a note is damaged.
        """
        notes, places = {}, {}
        for folder in folders:
            for note in AskedNotes(folder).notes():
                key = note.round_number, note.cloud_version
                notes[key], places[key] = note, folder
        return cls(notes, folders=places, newest_round=newest_round)

    @property
    def is_empty(self) -> bool:
        """Whether no round is noted and no operator declared one."""
        return not self.notes and self._declared is None

    def note(self, round_number: int, cloud_version: int) -> Note | None:
        """What is noted of a round of a version."""
        return self.notes.get((round_number, cloud_version))

    def is_open(self, round_number: int) -> bool:
        """Whether a round counts that no note names: an operator declared it, or none is noted."""
        if self._declared is not None and round_number <= self._declared:
            return True
        return not self.notes and round_number == 0

    def items(self, note: Note) -> AskedItems | None:
        """The items of a note; None when they are no longer kept."""
        key = note.round_number, note.cloud_version
        return _items(AskedNotes(self._folders[key]).items_path(note))


class AskedNotes:
    """The notes of one folder.

    Args:
      folder: where they lie; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def notes(self) -> tuple[Note, ...]:
        """All, by round and version.

        Raises:
          DataError: when one cannot be read.
        """
        if not self._folder.is_dir():
            return ()
        paths = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]
        return tuple(sorted(_read(path) for path in paths))

    def add(self, note: Note, items: AskedItems | None = None) -> None:
        """Adds a note; one that there is already stays as it is, with its time.

        Args:
          note: of the round.
          items: that were asked about; None to check no answer against them.
        """
        path = self._folder / f"{note.round_number:010d}-{note.cloud_version:06d}.json"
        if path.exists():
            return
        if items is not None:
            rows = {"users": items.users, "segments": items.segments}
            write_arrays(
                path.with_suffix(".npz"),
                {name: np.sort(part, axis=1) for name, part in rows.items()},
            )
        # Last: the note counts from here on.
        values = dataclasses.asdict(dataclasses.replace(note, with_items=items is not None))
        write_text(path, seal_json(values))
        self._sweep()

    def count_of(self, users: Sequence[int]) -> int:
        """Notes that say what one of `users` was asked about."""
        return sum(1 for _ in self._with_items_of(users))

    def erase(self, users: Sequence[int]) -> int:
        """Takes out what `users` were asked about; -1 stands in the place of each item.

        Returns:
          How many notes were changed.
        """
        count = 0
        for path, items in self._with_items_of(users):
            rows = items.users.copy()
            rows[[user for user in users if user < len(rows)]] = -1
            write_arrays(path, {"users": rows, "segments": items.segments})
            count += 1
        _items.cache_clear()
        return count

    def _with_items_of(self, users: Sequence[int]) -> Iterator[tuple[Path, AskedItems]]:
        for note in self.notes():
            path = self.items_path(note)
            items = _items(path)
            if items is not None:
                known = [user for user in users if user < len(items.users)]
                if (items.users[known] >= 0).any():
                    yield path, items

    def items_path(self, note: Note) -> Path:
        """Where the items of a note lie, if they are kept."""
        return self._folder / f"{note.round_number:010d}-{note.cloud_version:06d}.npz"

    def _sweep(self) -> None:
        """Drops items of rounds that are too old to be answered."""
        notes = self.notes()
        newest = notes[-1].round_number
        for note in notes:
            if note.round_number <= newest - WINDOW_ROUNDS:
                self.items_path(note).unlink(missing_ok=True)


def _read(path: Path) -> Note:
    try:
        values = unseal_json(path.read_text(encoding="utf-8"))
        note = Note(**{name: values[name] for name in _FIELDS})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: expected the note of a round that was asked: {error!r}; restore it from a "
            "copy, or remove it and publish the version again"
        ) from error
    return note


@functools.lru_cache(maxsize=2)
def _items(path: Path) -> AskedItems | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return AskedItems(stored["users"], stored["segments"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: expected the items that were asked about: {error!r}; restore it from a copy"
        ) from error
