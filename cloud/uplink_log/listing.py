"""What lies in the folder of a log: files to read, and what is left out, with the reason."""

import dataclasses
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ecct_tf.errors import DataError
from ecct_tf.files import read_plain_text
from ecct_tf.sealed_json import unseal_json

__all__ = [
    "JOINED_SUFFIX",
    "READ_SUFFIXES",
    "Entry",
    "LeftOut",
    "entries",
    "superseded",
    "warn_of",
]

_log = logging.getLogger(__name__)

# Names of files that are read, in lower case.
READ_SUFFIXES = (".tfrecord", ".tfrecords", ".parquet")
_ENDS = (".gz", ".zst", ".bz2", ".xz")
_COMPRESSED = tuple(f"{suffix}{end}" for suffix in READ_SUFFIXES for end in _ENDS)
_DATED = "date="
# Folders that others keep beside the days: refused records, and which rounds were asked.
_BESIDE = ("quarantine", "asked")
_MOST_WARNINGS = 5

JOINED_SUFFIX = ".joined"
"""Ends the name of a list, `.NAME.joined`, of the files that were joined into NAME beside it."""


@dataclasses.dataclass(frozen=True, order=True)
class LeftOut:
    """Something in a log's folder that is not read.

    Attributes:
      name: relative to the log's folder.
      why: what it is, and how it would be read.
    """

    name: str
    why: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file to read.

    Attributes:
      name: relative to the log's folder.
      size_bytes: its length.
    """

    name: str
    size_bytes: int


def entries(folder: Path, *, with_superseded: bool = False) -> tuple[list[Entry], list[LeftOut]]:
    """Looks at a log's folder: files to read, and what is left out, each sorted by name.

    Names that begin with a dot are passed over, since files are written under such a name first;
    so are folders `quarantine` and `asked`. Links to files are read as what they point to.

    Args:
      folder: of the log.
      with_superseded: also files whose records are in another one that a killed compaction wrote.
    """
    files: list[Entry] = []
    left: list[LeftOut] = []
    for name, status in _scan(folder):
        if name in _BESIDE:
            continue
        if not name.startswith(_DATED):
            left.append(LeftOut(name, "it is not in a folder of a day, date=YYYY-MM-DD"))
        elif status is None or not stat.S_ISDIR(status.st_mode):
            left.append(LeftOut(name, f"expected a folder of a day, it is {_kind(status)}"))
        else:
            found = [*_scan(folder / name)]
            gone: frozenset[str] = frozenset() if with_superseded else superseded(folder / name)
            for inner, its in found:
                if inner in gone:
                    continue
                why = _why_not(inner, its)
                if why:
                    left.append(LeftOut(f"{name}/{inner}", why))
                elif its is not None:
                    files.append(Entry(f"{name}/{inner}", its.st_size))
    return sorted(files, key=lambda entry: entry.name), sorted(left)


def superseded(day: Path) -> frozenset[str]:
    """Names in the folder of a day whose records are in a joined file that is there.

    Raises:
      DataError: a list of joined files cannot be read.
    """
    found: set[str] = set()
    for note in day.glob(f".*{JOINED_SUFFIX}"):
        joined = note.with_name(note.name[1 : -len(JOINED_SUFFIX)])
        if joined.exists():
            found.update(_names_in(note, joined))
    return frozenset(found)


def _names_in(note: Path, joined: Path) -> list[str]:
    try:
        names = unseal_json(read_plain_text(note))["joined"]
        for name in names:
            if Path(name).name != name:
                raise ValueError(f"expected names of files beside it, got {name!r}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{note}: expected the names of the files that were joined into {joined.name}: "
            f"{error!r}. Restore it from a copy; without one, remove it together with "
            f"{joined.name} if the small files of the same time are still there, or alone if they "
            "are gone, so that no record counts twice"
        ) from error
    return list(names)


def warn_of(folder: Path, left_out: tuple[LeftOut, ...]) -> None:
    """Names what is left out, the first few one by one."""
    for entry in left_out[:_MOST_WARNINGS]:
        _log.warning("uplink log: %s is left out: %s", folder / entry.name, entry.why)
    more = len(left_out) - _MOST_WARNINGS
    if more > 0:
        _log.warning("uplink log: %d more are left out in %s", more, folder)


def _scan(folder: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """Names that do not begin with a dot; without a status where a link leads nowhere."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith("."):
                continue
            try:
                yield entry.name, entry.stat()
            except OSError as error:
                # A link that leads nowhere, or in a circle; anything else is to be known.
                if not entry.is_symlink() and not isinstance(error, FileNotFoundError):
                    raise
                yield entry.name, None


def _why_not(name: str, status: os.stat_result | None) -> str:
    lower = name.lower()
    if status is None or not stat.S_ISREG(status.st_mode):
        return f"expected a file, it is {_kind(status)}"
    if lower.endswith(_COMPRESSED):
        return "it is compressed as a whole; decompress it, and it is read"
    if not lower.endswith(READ_SUFFIXES):
        return f"its name ends in none of {', '.join(READ_SUFFIXES)}"
    return ""


def _kind(status: os.stat_result | None) -> str:
    if status is None:
        return "a link that leads nowhere"
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a file"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for holds, name in kinds if holds(status.st_mode)), "a device")
