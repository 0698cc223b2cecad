"""From the texts of a file to ratings, titles and feature values, each row checked."""

from __future__ import annotations

import math
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data._cells import NumberCells
from ecct_tf.data._ids import line_break_in
from ecct_tf.data._raw_table import (
    RawTable,
    column_texts,
    refuse_rows,
    refuse_texts,
    stripped_texts,
)
from ecct_tf.data.files_schema import ColumnSpec
from ecct_tf.errors import DataError
from ecct_tf.files import open_plain

__all__ = ["read_features", "read_ratings", "read_titles"]


def read_ratings(table: RawTable, header: str) -> npt.NDArray[np.float64]:
    """The column `header` as `[rows] float64` finite ratings."""
    cells = table.columns[header]
    if isinstance(cells, NumberCells):
        numbers = cells.values.astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers)).tolist()
    else:
        values = [_finite(text) for text in stripped_texts(table, header)]
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


def read_titles(table: RawTable, header: str) -> list[str]:
    """The column `header` as it is; a Parquet column of lists is refused."""
    return list(column_texts(table, header))


def read_features(table: RawTable, header: str, spec: ColumnSpec) -> list[Any]:
    """The column `header` as values that `encode_column` takes; blank ones are missing."""
    if spec.kind == "multi_categorical":
        many = [_words(cell, spec.separator) for cell in table.columns[header]]
        _check_allowed(table, header, many, spec.values)
        return many
    if spec.kind == "vector":
        return _vectors(table, header, spec)
    texts = stripped_texts(table, header)
    if spec.kind == "categorical":
        refuse_texts(
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
