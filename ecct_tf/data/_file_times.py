"""From the texts of a file to times in microseconds, each row checked."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data._cells import NumberCells
from ecct_tf.data._raw_table import RawTable, refuse_rows, stripped_texts
from ecct_tf.data.files_schema import TimestampUnit

__all__ = ["read_times"]

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


def read_times(table: RawTable, header: str, *, unit: TimestampUnit) -> npt.NDArray[np.int64]:
    """The column `header` as `[rows] int64` microseconds since 1970."""
    cells = table.columns[header]
    if unit != "iso8601" and isinstance(cells, NumberCells) and cells.values.dtype.kind in "iu":
        last = (_LAST_SECOND + 1) * 1_000_000 // _MICROSECONDS[unit] - 1
        outside = np.flatnonzero((cells.values < 0) | (cells.values > last))
        _refuse_times(table, header, outside.tolist(), unit=unit)
        return cells.values.astype(np.int64) * _MICROSECONDS[unit]
    texts = stripped_texts(table, header)
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
