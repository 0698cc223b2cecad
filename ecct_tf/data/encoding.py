"""From raw tokens and column values to numbers, deterministically."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data._ids import line_break_in
from ecct_tf.data.numbers import number_code
from ecct_tf.data.schema import Column, Kind
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.errors import DataError

__all__ = ["encode_column", "sort_tokens"]


def sort_tokens(tokens: Iterable[str]) -> tuple[str, ...]:
    """Sorts distinct tokens: by number if all are whole numbers, else by text.

    >>> sort_tokens(["10", "9", "9"])
    ('9', '10')
    >>> sort_tokens(["b", "10", "9"])
    ('10', '9', 'b')
    """
    distinct = set(tokens)
    if all(token.isascii() and token.isdigit() for token in distinct):
        # Length, then text, orders digits by value without a limit on their size.
        stripped = {token: token.lstrip("0") for token in distinct}
        return tuple(sorted(distinct, key=lambda t: (len(stripped[t]), stripped[t], t)))
    return tuple(sorted(distinct))


def encode_column(column: Column, raw: Sequence[Any], *, padding: bool) -> EncodedColumn:
    """Encodes the raw values of one column.

    Args:
      column: the declaration; its kind decides the encoding.
      raw: one value a row; None, NaN and blank text count as missing. Multi-categorical: a
        text with blanks between its words, or a tuple of words that may hold blanks. Vector: a
        sequence of numbers, as many in each row.
      padding: whether to put a row of zeros first (item tables: item 0).

    Returns:
      The column with `len(raw) + padding` rows. A missing numeric value becomes the mean of the
      values present, a missing vector zeros; a missing private number is unknown, since a mean of
      private values is nobody's to know.

    Raises:
      DataError: a value is none of the column's kind; the message names the row.
    """
    first = 1 if padding else 0
    rows = len(raw) + first
    if column.kind is Kind.MULTI_CATEGORICAL:
        return _encode_many(column, raw, rows=rows, first=first)
    if column.kind is Kind.VECTOR:
        return _encode_vectors(column, raw, rows=rows, first=first)
    texts = [_text(value) for value in raw]
    missing = sum(not text for text in texts)
    if column.kind is Kind.NUMERIC:
        numbers = _numbers(column, texts)
        if column.is_private_number:
            own = np.zeros(rows, np.int32)
            scaling = column.private_scaling
            own[first:] = [number_code(number, scaling) for number in numbers.tolist()]
            return EncodedColumn(column, own, (), missing)
        values = np.zeros(rows, np.float32)
        numbers[np.isnan(numbers)] = np.nanmean(numbers)
        values[first:] = numbers
        return EncodedColumn(column, values, (), missing)
    vocabulary = sort_tokens(text for text in texts if text)
    broken = next((text for text in vocabulary if line_break_in(text)), None)
    if broken is not None:
        raise DataError(
            f"column {column.name!r}: expected values without line breaks and control characters, "
            f"since exported files have a value a line, received {broken!r}. Replace them."
        )
    code = {text: index for index, text in enumerate(vocabulary, start=1)}
    codes = np.zeros(rows, np.int32)
    codes[first:] = [code.get(text, 0) for text in texts]
    return EncodedColumn(column, codes, vocabulary, missing)


def _encode_many(column: Column, raw: Sequence[Any], *, rows: int, first: int) -> EncodedColumn:
    words = [value if isinstance(value, tuple) else _text(value).split() for value in raw]
    vocabulary = sort_tokens(word for row in words for word in row)
    code = {text: index for index, text in enumerate(vocabulary)}
    hot = np.zeros((rows, len(vocabulary)), np.float32)
    for row, present in enumerate(words, start=first):
        hot[row, [code[word] for word in present]] = 1.0
    return EncodedColumn(column, hot, vocabulary, missing=sum(not row for row in words))


def _encode_vectors(column: Column, raw: Sequence[Any], *, rows: int, first: int) -> EncodedColumn:
    vectors = {
        row: np.asarray(value, object)
        for row, value in enumerate(raw, start=first)
        if not (value is None or (not hasattr(value, "__len__") and not _text(value)))
        and len(value)
    }
    if not vectors:
        raise DataError(
            f"column {column.name!r}: expected at least one vector, all {len(raw)} values are "
            "missing. Take the column out of the schema."
        )
    width = next(iter(vectors.values())).size
    values = np.zeros((rows, width), np.float32)
    for row, vector in vectors.items():
        try:
            values[row] = vector.astype(np.float32).reshape(width)
            fits = bool(np.isfinite(values[row]).all())
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise DataError(
                f"column {column.name!r}, row {row - first} (from 0): expected {width} finite "
                f"numbers, as in the first vector, received {_shortened(raw[row - first])}. Fix "
                "the row, or blank it where the vector is missing."
            )
    return EncodedColumn(column, values, (), missing=len(raw) - len(vectors))


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _text(value: Any) -> str:
    # Known by name, so that a column can be encoded without importing pandas.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    return str(value).strip()


def _numbers(column: Column, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """`[rows] float64`, NaN where there is none."""
    numbers = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        try:
            numbers[row] = float(text) if text else np.nan
        except ValueError:
            numbers[row] = np.inf
        if np.isinf(numbers[row]) or (text and np.isnan(numbers[row])):
            raise DataError(
                f"column {column.name!r}, row {row} (from 0): expected a finite number, received "
                f"{text!r}. Fix or blank the value."
            )
    if np.isnan(numbers).all():
        raise DataError(
            f"column {column.name!r}: expected at least one number, all {len(texts)} values are "
            "missing. Take the column out of the schema."
        )
    return numbers
