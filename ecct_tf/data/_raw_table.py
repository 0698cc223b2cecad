"""A CSV or Parquet file as text columns that remember where each row stands in the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecct_tf.config.parsing import near_miss
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.installation import install_packages
from ecct_tf.parts import requirement_text

__all__ = ["Cell", "RawTable", "read_csv", "read_parquet", "refuse_rows"]

# A text; from a Parquet list column several.
Cell = str | tuple[str, ...]

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class RawTable:
    """Columns of a file, unparsed.

    Attributes:
      path: the file.
      columns: by header; each as long as the table. A missing value is an empty text.
      lines: CSV: the line of the file on which each row begins, from 1, as an editor shows it;
        None for Parquet, whose rows are counted from 1.
      floats: headers of Parquet columns of floating-point numbers.
    """

    path: Path
    columns: dict[str, list[Cell]]
    lines: list[int] | None = None
    floats: frozenset[str] = frozenset()

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    def place(self, row: int) -> str:
        """Where `row` (from 0) stands: `line 7` or `row 6`."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"


def refuse_rows(
    table: RawTable,
    header: str,
    rows: Sequence[int],
    *,
    expected: str,
    way_out: str,
    notes: Sequence[str] = (),
) -> None:
    """Raises `DataError` if there are `rows` (from 0) whose value in `header` is wrong.

    Args:
      table: the file.
      header: the column.
      rows: all wrong rows; with none nothing happens.
      expected: what should stand there.
      way_out: what to do about it.
      notes: what to add to each row's value, if anything.
    """
    if not rows:
        return
    places = [table.place(row) for row in rows[:_SHOWN]]
    values = [
        f"{table.columns[header][row]!r}{note}"
        for row, note in zip(rows[:_SHOWN], notes or [""] * _SHOWN, strict=False)
    ]
    more = ""
    if len(rows) > 1:
        told = ", ".join(f"{place} {value}" for place, value in zip(places, values, strict=True))
        more = f" {len(rows)} rows are wrong, the first: {told}."
    raise DataError(
        f"{table.path}: {places[0]}, column {header!r}: expected {expected}, received "
        f"{values[0]}.{more} {way_out}"
    )


def read_csv(path: Path, headers: Sequence[str], *, separator: str, encoding: str) -> RawTable:
    """Reads the columns `headers` of a CSV file with a header line.

    Python's own reader and not pandas', because it knows on which line a row begins, even
    after a value with a line break, and does not fill short rows up.

    Raises:
      DataError: the file is missing, empty, has no rows, lacks a column, has rows of other
        lengths, or is not text of `encoding`.
    """
    try:
        with path.open(encoding=_with_mark(path, encoding), newline="") as file:
            return _read_rows(path, file, headers, separator)
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: {_undecodable(path, encoding)}: expected text in {encoding}, received other "
            "bytes. Give encoding (often latin-1 or cp1252), or save the file as UTF-8."
        ) from error


def _read_rows(path: Path, file: Any, headers: Sequence[str], separator: str) -> RawTable:
    rows = _numbered_rows(path, csv.reader(file, delimiter=separator, strict=True))
    first = next(rows, None)
    if first is None:
        raise DataError(
            f"{path}: the file is empty, expected a header line with the columns "
            f"{', '.join(headers)}, and rows below. Export it anew."
        )
    names = [name.strip() for name in first[1]]
    places = _places(path, names, headers, separator)
    lines: list[int] = []
    columns: dict[str, list[Cell]] = {header: [] for header in headers}
    targets = [(columns[header].append, place) for header, place in places.items()]
    ragged: list[tuple[int, int]] = []
    for line, row in rows:
        if len(row) != len(names):
            ragged.append((line, len(row)))
            continue
        lines.append(line)
        for append, place in targets:
            append(row[place])
    if ragged:
        told = ", ".join(f"line {line} has {length}" for line, length in ragged[:_SHOWN])
        raise DataError(
            f"{path}: line {ragged[0][0]}: expected {len(names)} fields as the header has, "
            f"received {ragged[0][1]}. {len(ragged)} rows are of another length: {told}. Mend "
            f"them, put values that hold {separator!r} in double quotes, or correct separator."
        )
    if not lines:
        raise DataError(
            f"{path}: the file has a header and no rows, expected at least one. Export it anew."
        )
    return RawTable(path, columns, lines)


def _numbered_rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line on which it begins."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}: line {line}: expected fields that are quoted correctly, received "
                f"otherwise: {error}. Look for a lone double quote there; within a quoted value "
                "it is written twice."
            ) from error
        if row:
            yield line, row


def _places(
    path: Path, names: list[str], headers: Sequence[str], separator: str = ""
) -> dict[str, int]:
    for header in headers:
        if names.count(header) > 1:
            raise DataError(
                f"{path}: the header has the column {header!r} {names.count(header)} times, "
                "expected once. Rename the others."
            )
        if header not in names:
            hint = near_miss(header, names)
            if len(names) == 1 and (other := _other_separator(names[0], separator)):
                hint = f"; is the separator {other!r}? Then give it in the schema"
            raise DataError(
                f"{path}: the column {header!r} is missing, the file has {', '.join(names)}{hint}. "
                "Correct the schema or the file."
            )
    return {header: names.index(header) for header in headers}


def _other_separator(name: str, separator: str) -> str | None:
    return next((other for other in ",;\t|" if other in name and other != separator), None)


def read_parquet(path: Path, headers: Sequence[str]) -> RawTable:
    """Reads the columns `headers` of a Parquet file as texts.

    Raises:
      DataError: pyarrow is not installed, the file is missing or no Parquet file, has no rows,
        or lacks a column.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow, which is not installed. Install it with "
            f"`{install_packages([requirement_text('pyarrow', 'cloud')])}`, or save the table "
            "as CSV."
        ) from error
    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            _places(path, names, headers)
            table = file.read(columns=list(headers))
    except OSError as error:
        raise _unreadable(path, error) from error
    except pa.ArrowException as error:
        raise DataError(
            f"{path}: expected a Parquet file, received otherwise: {error}. Give format: csv if "
            "it is one."
        ) from error
    if not table.num_rows:
        raise DataError(
            f"{path}: the file has columns and no rows, expected at least one. Export it anew."
        )
    return RawTable(
        path,
        {header: [_cell(value) for value in table[header].to_pylist()] for header in headers},
        None,
        frozenset(h for h in headers if pa.types.is_floating(table.schema.field(h).type)),
    )


def _cell(value: Any) -> Cell:
    if value is None or value != value:  # only NaN differs from itself
        return ""
    if isinstance(value, list):
        return tuple(str(part) for part in value if part is not None)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _unreadable(path: Path, error: OSError) -> DataError:
    folder = path.parent
    near = (
        near_miss(path.name, (other.name for other in folder.iterdir())) if folder.is_dir() else ""
    )
    return DataError(
        f"{path}: cannot be read: {error.strerror or error}{near}. Correct the path in the schema; "
        "a relative one starts at the schema file's folder."
    )


def _with_mark(path: Path, encoding: str) -> str:
    """The codec for `encoding`; spreadsheet programs put a byte order mark before UTF-8."""
    import codecs

    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigError(
            f"{path}: encoding: expected one that Python knows (utf-8, latin-1, cp1252, ...), "
            f"got {encoding!r}."
        ) from error
    return "utf-8-sig" if name == "utf-8" else name


def _undecodable(path: Path, encoding: str) -> str:
    """The first line with bytes that are not of `encoding`."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return f"line {number}, byte {error.object[error.start : error.start + 1]!r}"
    return "at an unknown line"
