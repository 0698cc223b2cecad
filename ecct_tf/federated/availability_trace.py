"""A trace of when devices can be reached: a CSV file, read with errors that name the line."""

import csv
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ecct_tf.config.parsing import near_miss
from ecct_tf.errors import DataError

__all__ = ["Trace", "read_trace", "trace_digest"]

_COLUMNS = ("user", "from_round", "to_round")

Trace = Mapping[str, Sequence[tuple[int, int]]]
"""By user, the first and last rounds, from 0, of the times in which the device can be reached."""


def read_trace(path: Path, *, users: Collection[str]) -> Trace:
    """Reads a trace.

    Args:
      path: CSV file with the columns `user`, `from_round` and `to_round`; rounds count from 1, and
        both ends belong to the time.
      users: all users of the data, as it names them.

    Raises:
      DataError: the file is unreadable, empty, or a line is wrong or names nobody.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for where, row in _rows(path):
        user = row["user"].strip()
        if user not in users:
            raise DataError(
                f"{where}: user {user!r} is not in the data{near_miss(user, users)}; expected a "
                "user as the data names them. Leave the line out, or correct it"
            )
        first, last = (_round(row[name], name, where) for name in _COLUMNS[1:])
        if last < first:
            raise DataError(
                f"{where}: expected to_round from {first} on, the round of from_round, got {last}"
            )
        found.setdefault(user, []).append((first - 1, last - 1))
    if not found:
        raise DataError(f"{path}: expected a line for each time in which a device can be reached")
    return found


def trace_digest(path: Path) -> str:
    """SHA-256 of a trace's file, in hexadecimal.

    Raises:
      DataError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            if sorted(columns) != sorted(_COLUMNS):
                raise DataError(
                    f"{path}: expected the columns {', '.join(_COLUMNS)}, got "
                    f"{', '.join(columns) or 'none'}"
                )
            reader.fieldnames = columns
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise DataError(f"{where}: expected {len(_COLUMNS)} values: {row}")
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _round(text: str, name: str, where: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise DataError(f"{where}, {name}: expected a whole number from 1, got {text!r}")
    return int(text)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"participation.availability.trace: cannot read {path}: {error}; expected a CSV file in "
        f"UTF-8 with the columns {', '.join(_COLUMNS)}"
    )
