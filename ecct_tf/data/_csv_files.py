"""Files of one row a line: CSV and its kin, with the line on which each row begins."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ecct_tf.data._raw_table import Cell, RawTable, wanted_places
from ecct_tf.data._text_files import open_text
from ecct_tf.errors import DataError

__all__ = ["read_csv"]

_SHOWN = 5
# RecBole writes the kind of a column behind its name.
_KINDS = (":token", ":token_seq", ":float", ":float_seq")


def read_csv(
    path: Path,
    headers: Sequence[str],
    *,
    separator: str,
    encoding: str,
    names: Sequence[str] | None = None,
    typed: bool = False,
    may_be_empty: bool = False,
) -> RawTable:
    """Reads the columns `headers` of a file.

    Python's own reader and not pandas', because it knows on which line a row begins, even
    after a value with a line break, and does not fill short rows up.

    Args:
      path: the file, which may be packed.
      headers: the columns to read.
      separator: between the fields; with more than one character nothing can be quoted.
      encoding: of the text; a byte order mark decides over it.
      names: the columns' names in order, of a file without a header line.
      typed: RecBole's form: a kind behind each name, and no quotes.
      may_be_empty: whether no rows, as part files may have none, are an empty table.

    Raises:
      DataError: the file is missing, empty, has no rows, lacks a column, has rows of other
        lengths, cannot be unpacked, or is not text of `encoding`.
    """
    with open_text(path, encoding=encoding) as file:
        rows = _rows(path, file, separator, quoted=not typed)
        if names is None:
            first = next(rows, None)
            if first is None:
                if may_be_empty:
                    return RawTable(path, {header: [] for header in headers}, [])
                raise DataError(
                    f"{path}: the file is empty, expected a header line with the columns "
                    f"{', '.join(headers)}, and rows below. Export it again."
                )
            names = [_plain_name(name, typed=typed) for name in first[1]]
        table = _columns(path, rows, names, headers, separator)
    if not table.num_rows and not may_be_empty:
        raise DataError(
            f"{path}: the file has a header and no rows, expected at least one. Export it again."
        )
    return table


def _columns(
    path: Path,
    rows: Iterator[tuple[int, list[str]]],
    names: Sequence[str],
    headers: Sequence[str],
    separator: str,
) -> RawTable:
    places = wanted_places(path, names, headers, hint=_hint(names, separator))
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
        shown = ", ".join(f"line {line} has {length}" for line, length in ragged[:_SHOWN])
        raise DataError(
            f"{path}: line {ragged[0][0]}: expected {len(names)} fields as the header has, "
            f"received {ragged[0][1]}. {len(ragged)} rows are of another length: {shown}. Correct "
            f"them, put values that hold {separator!r} in double quotes, or correct separator."
        )
    return RawTable(path, columns, lines)


def _rows(
    path: Path, file: IO[str], separator: str, *, quoted: bool
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line on which it begins."""
    if len(separator) > 1:
        for number, text in enumerate(_lines(file), start=1):
            if text:
                yield number, text.split(separator)
        return
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader: Any = csv.reader(file, delimiter=separator, strict=True, quoting=quoting)
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


def _lines(file: IO[str]) -> Iterator[str]:
    """The lines without their ends: line feeds, with or without a carriage return."""
    for line in file:
        yield line.rstrip("\n").removesuffix("\r")


def _plain_name(name: str, *, typed: bool) -> str:
    name = name.removeprefix("\ufeff").strip()
    if typed:
        return next((name.removesuffix(kind) for kind in _KINDS if name.endswith(kind)), name)
    return name


def _hint(names: Sequence[str], separator: str) -> str:
    """What a header of one column, or of unseen characters, may mean."""
    if "\0" in "".join(names):
        return "; is the file UTF-16 without a byte order mark? Then give encoding: utf-16-le"
    if len(names) == 1:
        for other in ("::", ",", ";", "\t", "|"):
            if other in names[0] and other != separator:
                return f"; is the separator {other!r}? Then give it in the schema"
    if all(name.endswith(_KINDS) for name in names):
        return "; is the file RecBole's? Then give format: recbole"
    return ""
