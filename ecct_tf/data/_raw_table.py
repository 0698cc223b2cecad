"""The columns of a file, or of a folder of part files, that remember where each row stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecct_tf.config.parsing import near_miss
from ecct_tf.data._cells import CodedTexts, coded, joined_cells
from ecct_tf.data._ids import canonical_id
from ecct_tf.errors import DataError

__all__ = [
    "Cell",
    "RawTable",
    "column_texts",
    "joined",
    "refuse_rows",
    "refuse_texts",
    "stripped_texts",
    "unreadable",
    "wanted_places",
]

# A text; from a Parquet list column several.
Cell = str | tuple[str, ...]

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class RawTable:
    """Columns of a file, unparsed.

    Attributes:
      path: the file, or the folder of part files.
      columns: by header; each as long as the table. A missing value is an empty text.
      lines: CSV: the line of the file on which each row begins, from 1, as an editor shows it;
        None for Parquet, whose rows are counted from 1.
      types: of the Parquet columns that are neither text nor whole numbers, by header.
      parts: of a folder: the first row (from 0) and the path of each part file, in order.
    """

    path: Path
    columns: Mapping[str, Sequence[Cell]]
    lines: list[int] | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[tuple[int, Path], ...] = ()

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    def place(self, row: int) -> str:
        """Where `row` (from 0) stands: `line 7`, `row 6`, or `part-0001.csv, line 7`."""
        first, part = 0, ""
        if self.parts:
            starts = [start for start, _ in self.parts]
            first, path = self.parts[bisect_right(starts, row) - 1]
            part = f"{path.relative_to(self.path)}, "
        if self.lines is None:
            return f"{part}row {row - first + 1}"
        return f"{part}line {self.lines[row]}"


def joined(path: Path, tables: Sequence[RawTable]) -> RawTable:
    """One table of the part files of the folder `path`, in order."""
    columns = {
        header: joined_cells([table.columns[header] for table in tables])
        for header in tables[0].columns
    }
    lines = [line for table in tables for line in table.lines or ()]
    starts, first = [], 0
    for table in tables:
        starts.append((first, table.path))
        first += table.num_rows
    types = {header: kind for table in tables for header, kind in table.types.items()}
    return RawTable(path, columns, lines or None, types, tuple(starts))


def refuse_rows(
    table: RawTable,
    header: str,
    rows: Sequence[int],
    *,
    expected: str,
    way_out: str,
    notes: Sequence[str] = (),
    received: Sequence[str] = (),
) -> None:
    """Raises `DataError` if there are `rows` (from 0) whose value in `header` is wrong.

    Args:
      table: the file.
      header: the column.
      rows: all wrong rows; with none nothing happens.
      expected: what should stand there.
      way_out: what to do about it.
      notes: what to add to each row's value, if anything.
      received: words for each row's value, where the value itself would fill a screen.
    """
    if not rows:
        return
    places = [table.place(row) for row in rows[:_SHOWN]]
    shown = list(received[:_SHOWN]) or [repr(table.columns[header][row]) for row in rows[:_SHOWN]]
    values = [f"{value}{note}" for value, note in zip(shown, notes or [""] * _SHOWN, strict=False)]
    more = ""
    if len(rows) > 1:
        told = ", ".join(f"{place} {value}" for place, value in zip(places, values, strict=True))
        more = f" {len(rows)} rows are wrong, the first: {told}."
    raise DataError(
        f"{table.path}: {places[0]}, column {header!r}: expected {expected}, received "
        f"{values[0]}.{more} {way_out}"
    )


def wanted_places(
    path: Path, names: Sequence[str], headers: Sequence[str], *, hint: str = ""
) -> dict[str, int]:
    """Where each of `headers` stands in `names`, the columns of the file.

    Raises:
      DataError: one is missing, or is there twice.
    """
    found = [canonical_id(name) for name in names]
    places = {}
    for header in headers:
        wanted = canonical_id(header)
        if found.count(wanted) > 1:
            raise DataError(
                f"{path}: the header has the column {header!r} {found.count(wanted)} times, "
                "expected once. Rename the others."
            )
        if wanted not in found:
            meant = f"{hint}." if hint else near_miss(header, found) or "."
            raise DataError(
                f"{path}: the column {header!r} is missing, the file has {', '.join(found)}{meant} "
                "Correct the schema or the file."
            )
        places[header] = found.index(wanted)
    return places


def unreadable(path: Path, error: OSError) -> DataError:
    """What to raise for a file that the system does not let us read."""
    folder = path.parent
    near = (
        near_miss(path.name, (other.name for other in folder.iterdir())) if folder.is_dir() else ""
    )
    return DataError(
        f"{path}: cannot be read: {error.strerror or error}{near or '.'} Correct the path in the "
        "schema; a relative one starts at the schema file's folder."
    )


def refuse_texts(
    table: RawTable,
    header: str,
    texts: Sequence[str],
    wrong: set[str],
    *,
    expected: str,
    way_out: str,
) -> None:
    """Refuses rows of the column `header` by what their texts are.

    Args:
      table: where they are.
      header: of the column.
      texts: of its rows.
      wrong: the texts that are refused.
      expected: in their place.
      way_out: what to do.

    Raises:
      DataError: names the first such rows.
    """
    if not wrong:
        return
    if isinstance(texts, CodedTexts):
        rows = texts.rows_of(wrong).tolist()
    else:
        rows = [row for row, text in enumerate(texts) if text in wrong]
    refuse_rows(table, header, rows, expected=expected, way_out=way_out)


def stripped_texts(table: RawTable, header: str) -> list[str]:
    """The column as stripped texts; a Parquet column of lists is refused."""
    return [cell.strip() for cell in column_texts(table, header)]


def column_texts(table: RawTable, header: str) -> Sequence[str]:
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
