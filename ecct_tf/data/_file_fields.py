"""From the texts of a file to ids, times, ratings and feature values, each row checked."""

from __future__ import annotations

import datetime
import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data._cells import CodedTexts, NumberCells, coded, distinct_texts
from ecct_tf.data._ids import IdNotes, canonical_ids, line_break_in, refuse_look_alikes
from ecct_tf.data._raw_table import RawTable, refuse_rows
from ecct_tf.data.files_schema import ColumnSpec, TimestampUnit
from ecct_tf.errors import DataError
from ecct_tf.files import open_plain

__all__ = ["feature_values", "ids", "known_ids", "moments", "ratings", "titles", "unique_ids"]

# A float of 64 bits keeps whole numbers of so many digits.
_EXACT_DIGITS = 15
# What exports write for a missing id; as an id it would join strangers into one.
_NO_ID = frozenset({"", "nan", "null", "none", "<na>"})
_WHOLE = re.compile(r"[0-9]+(\.0*)?")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_MICROSECONDS = {"s": 1_000_000, "ms": 1000}
_TIMES = {
    "s": "whole seconds since 1970, from 0 to the year 9999",
    "ms": "whole milliseconds since 1970, from 0 to the year 9999",
    "iso8601": "a date from 1970 on as 2024-05-31 or 2024-05-31T12:00:00+02:00",
}
# The year 9999: later "seconds" are milliseconds that nobody declared.
_LAST_SECOND = 253_402_300_799


def ids(table: RawTable, header: str) -> tuple[Sequence[str], IdNotes]:
    """The column `header` as ids in one form, and what was changed for it.

    Raises:
      DataError: a value is no id: missing, a number that is not whole, a time, or a text with a
        line break; or two ids look alike.
    """
    texts, notes = canonical_ids(_cells(table, header))
    kind = table.types.get(header)
    if kind is not None and not notes.floats:
        raise DataError(
            f"{table.path}: column {header!r}: expected ids as text or whole numbers, received "
            f"{kind} (such as {table.columns[header][0]!r}). Save the column as text."
        )
    distinct = distinct_texts(texts)
    absent = {text for text in distinct if text.lower() in _NO_ID}
    _refuse(
        table,
        header,
        texts,
        absent,
        expected="an id",
        way_out="Give the rows an id, or take them out of the file.",
    )
    _refuse(
        table,
        header,
        texts,
        {text for text in distinct if line_break_in(text)},
        expected="an id without line breaks and control characters",
        way_out="Replace them in the file, since exported files have an id a line.",
    )
    if notes.floats:
        _refuse(
            table,
            header,
            texts,
            {text for text in distinct if len(text) > _EXACT_DIGITS},
            expected=f"a whole number of at most {_EXACT_DIGITS} digits, of which a "
            "floating-point number keeps every one",
            way_out="Save the column as text.",
        )
    refuse_look_alikes(f"{table.path}: column {header!r}", list(distinct))
    return texts, notes


def _refuse(
    table: RawTable,
    header: str,
    texts: Sequence[str],
    wrong: set[str],
    *,
    expected: str,
    way_out: str,
) -> None:
    if not wrong:
        return
    if isinstance(texts, CodedTexts):
        rows = texts.rows_of(wrong).tolist()
    else:
        rows = [row for row, text in enumerate(texts) if text in wrong]
    refuse_rows(table, header, rows, expected=expected, way_out=way_out)


def unique_ids(table: RawTable, header: str) -> tuple[list[str], IdNotes]:
    """As `ids`, and each occurs once."""
    found, notes = ids(table, header)
    values = list(found)
    first = {value: row for row, value in reversed(list(enumerate(values)))}
    wrong = [row for row, value in enumerate(values) if first[value] != row]
    refuse_rows(
        table,
        header,
        wrong,
        expected="each id once",
        way_out="Keep one row an id.",
        notes=[f" (first on {table.place(first[values[row]])})" for row in wrong[:5]],
    )
    return values, notes


def known_ids(
    table: RawTable,
    header: str,
    values: Sequence[str],
    *,
    known: Sequence[str],
    source: str,
    required: bool,
) -> None:
    """Raises `DataError` if `values` in the column `header` are not in `known` as they must be.

    Args:
      table: the interactions.
      header: the column of ids.
      values: its ids.
      known: the ids of the other file.
      source: the other file.
      required: whether each id must be known; otherwise one must be.
    """
    distinct = set(distinct_texts(values))
    strangers = distinct - set(known)
    if strangers and required:
        refuse_rows(
            table,
            header,
            [row for row, value in enumerate(values) if value in strangers],
            expected=f"an id of {source} (required: true)",
            way_out=f"Add the ids to {source}, take the rows out, or leave required out of the "
            "schema to have their columns unknown.",
        )
    if strangers == distinct:
        some = ", ".join(map(repr, known[:3]))
        raise DataError(
            f"{table.path}: column {header!r}: expected ids of {source}, such as {some}, received "
            f"{len(distinct):,} other ids and none of these, the first {values[0]!r} on "
            f"{table.place(0)}. Correct the headers or the ids of one file, or leave {source} out "
            "of the schema."
        )


def moments(table: RawTable, header: str, *, unit: TimestampUnit) -> npt.NDArray[np.int64]:
    """The column `header` as `[rows] int64` microseconds since 1970."""
    cells = table.columns[header]
    if unit != "iso8601" and isinstance(cells, NumberCells) and cells.values.dtype.kind in "iu":
        last = (_LAST_SECOND + 1) * 1_000_000 // _MICROSECONDS[unit] - 1
        outside = np.flatnonzero((cells.values < 0) | (cells.values > last))
        _refuse_times(table, header, outside.tolist(), unit=unit)
        return cells.values.astype(np.int64) * _MICROSECONDS[unit]
    texts = _single(table, header)
    read = _iso_microseconds if unit == "iso8601" else _whole_microseconds(_MICROSECONDS[unit])
    values = [read(text) for text in texts]
    wrong = [row for row, value in enumerate(values) if value is None]
    _refuse_times(table, header, wrong, unit=unit)
    return np.array(values, np.int64)


def _refuse_times(table: RawTable, header: str, rows: list[int], *, unit: TimestampUnit) -> None:
    refuse_rows(
        table,
        header,
        rows,
        expected=f"{_TIMES[unit]} (timestamp_unit: {unit})",
        way_out="Fix the rows, or give the timestamp_unit that they have: s, ms or iso8601.",
    )


def ratings(table: RawTable, header: str) -> npt.NDArray[np.float64]:
    """The column `header` as `[rows] float64` finite ratings."""
    cells = table.columns[header]
    if isinstance(cells, NumberCells):
        numbers = cells.values.astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers)).tolist()
    else:
        values = [_finite(text) for text in _single(table, header)]
        wrong = [row for row, value in enumerate(values) if value is None]
        numbers = np.array(values, np.float64)
    refuse_rows(
        table,
        header,
        wrong,
        expected="a number",
        way_out="Fix the rows, or take rating and min_rating out of the schema.",
    )
    return numbers


def titles(table: RawTable, header: str) -> list[str]:
    """The column `header` as it is; a Parquet column of lists is refused."""
    return list(_cells(table, header))


def feature_values(table: RawTable, header: str, spec: ColumnSpec) -> list[Any]:
    """The column `header` as values that `encode_column` takes; blank ones are missing."""
    if spec.kind == "multi_categorical":
        many = [_words(cell, spec.separator) for cell in table.columns[header]]
        _check_allowed(table, header, many, spec.values)
        return many
    if spec.kind == "vector":
        return _vectors(table, header, spec)
    texts = _single(table, header)
    if spec.kind == "categorical":
        _refuse(
            table,
            header,
            texts,
            {text for text in dict.fromkeys(texts) if line_break_in(text)},
            expected="a value without line breaks and control characters",
            way_out="Replace them in the file, since exported files have a value a line.",
        )
        _check_allowed(table, header, [(text,) if text else () for text in texts], spec.values)
        return texts
    numbers = [_finite(text) if text else math.nan for text in texts]
    wrong = [row for row, number in enumerate(numbers) if number is None]
    comma = any(_finite(texts[row].replace(",", ".")) is not None for row in wrong)
    refuse_rows(
        table,
        header,
        wrong,
        expected="a number, or nothing where it is missing",
        way_out="Fix or blank the values"
        + (" (a decimal point, not a comma)" if comma else "")
        + ", or change the column's kind.",
    )
    if spec.borders is None:
        return numbers
    return [_group(number, spec.borders) if number is not None else "" for number in numbers]


def _vectors(table: RawTable, header: str, spec: ColumnSpec) -> list[Any]:
    """One `[width] float32` a row, None where it is missing."""
    if spec.array is not None:
        return list(_array(Path(spec.array), rows=table.num_rows, column=header))
    words = [_vector_words(cell, spec.separator) for cell in table.columns[header]]
    width = next((len(each) for each in words if each), 0)
    found: list[Any] = []
    wrong = []
    for row, each in enumerate(words):
        numbers = [_finite(word) for word in each]
        if each and (len(each) != width or None in numbers):
            wrong.append(row)
        found.append(np.array(numbers, np.float32) if each else None)
    refuse_rows(
        table,
        header,
        wrong,
        expected=f"{width} numbers, as in the first vector, or nothing where it is missing",
        way_out="Fix or blank the rows, or give the separator between the numbers.",
        received=[_told_vector(words[row]) for row in wrong],
    )
    return found


def _vector_words(cell: str | tuple[str, ...], separator: str | None) -> tuple[str, ...]:
    """The numbers of a cell as texts; a list keeps what is blank in it, unless all is."""
    if isinstance(cell, str) or not any(part.strip() for part in cell):
        return _words(cell, separator)
    return tuple(part.strip() for part in cell)


def _told_vector(words: tuple[str, ...]) -> str:
    """How many numbers there are, and the first that is none."""
    for place, word in enumerate(words):
        if _finite(word) is None:
            told = f"{word[:20]!r}" if word else "a missing number or NaN"
            return f"{told} at place {place} (from 0) of {len(words)}"
    return f"{len(words)} numbers"


def _array(path: Path, *, rows: int, column: str) -> npt.NDArray[np.float32]:
    """The vectors of a `.npy` file, `[rows, width] float32`."""
    try:
        with open_plain(path) as file:
            found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: column {column!r}: expected a NumPy file of vectors, cannot read it: {error}"
        ) from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu":
        shape = getattr(found, "shape", type(found).__name__)
        raise DataError(
            f"{path}: column {column!r}: expected numbers of shape [{rows}, width], received "
            f"{shape} of {getattr(found, 'dtype', 'no type')}. Save one row for each row of the "
            "table."
        )
    if len(found) != rows:
        raise DataError(
            f"{path}: column {column!r}: expected {rows} rows, one for each of the table, "
            f"received {len(found)}. Save the vectors in the order of the table's rows."
        )
    if not np.isfinite(found).all():
        row = int(np.argwhere(~np.isfinite(found))[0][0])
        raise DataError(f"{path}: column {column!r}: row {row} (from 0) is not finite. Fix it.")
    vectors: npt.NDArray[np.float32] = found.astype(np.float32)
    return vectors


def _single(table: RawTable, header: str) -> list[str]:
    """The column as stripped texts; a Parquet column of lists is refused."""
    return [cell.strip() for cell in _cells(table, header)]


def _cells(table: RawTable, header: str) -> Sequence[str]:
    """The column as texts; a Parquet column of lists is refused."""
    known = coded(table.columns[header])
    if known is not None:
        return known
    wrong = [row for row, cell in enumerate(table.columns[header]) if not isinstance(cell, str)]
    refuse_rows(
        table,
        header,
        wrong,
        expected="one value",
        way_out="Only multi_categorical columns and vectors may be lists.",
    )
    return [cell for cell in table.columns[header] if isinstance(cell, str)]


def _words(cell: str | tuple[str, ...], separator: str | None) -> tuple[str, ...]:
    parts = cell.split(separator) if isinstance(cell, str) else cell
    return tuple(part.strip() for part in parts if part.strip())


def _check_allowed(
    table: RawTable,
    header: str,
    cells: list[tuple[str, ...]],
    allowed: tuple[str, ...] | None,
) -> None:
    if allowed is None:
        return
    wrong = [row for row, cell in enumerate(cells) if not set(cell) <= set(allowed)]
    refuse_rows(
        table,
        header,
        wrong,
        expected=f"one of {', '.join(allowed)}",
        way_out="Fix the rows, or add the value to the column's values in the schema.",
    )


def _whole_microseconds(factor: int) -> Any:
    def read(text: str) -> int | None:
        if not _WHOLE.fullmatch(text):
            return None
        value = int(text.partition(".")[0]) * factor
        return value if value // 1_000_000 <= _LAST_SECOND else None

    return read


def _iso_microseconds(text: str) -> int | None:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    value = (moment - _EPOCH) // _MICROSECOND
    return value if value >= 0 else None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _group(number: float, borders: tuple[float, ...]) -> str:
    if math.isnan(number):
        return ""
    place = bisect_right(borders, number)
    if place == 0:
        return f"below {borders[0]:g}"
    if place == len(borders):
        return f"{borders[-1]:g} and above"
    return f"{borders[place - 1]:g} to below {borders[place]:g}"
