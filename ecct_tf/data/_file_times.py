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
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_TIMES = {
    **{
        unit: f"whole {words} since 1970, from 0 to the year 9999" for unit, words in _WORDS.items()
    },
    "iso8601": "a date from 1970 on as 2024-05-31 or 2024-05-31T12:00:00+02:00",
}
# The year 9999: later "seconds" are milliseconds that nobody declared.
_LAST_SECOND = 253_402_300_799


def read_times(table: RawTable, header: str, *, unit: TimestampUnit) -> npt.NDArray[np.int64]:
    """The column `header` as `[rows] int64` microseconds since 1970."""
    cells = table.columns[header]
    if unit != "iso8601" and isinstance(cells, NumberCells) and cells.values.dtype.kind in "iu":
        # No column of whole numbers reaches the year 2263 in nanoseconds.
        last = min((_LAST_SECOND + 1) * _PER_SECOND[unit] - 1, np.iinfo(np.int64).max)
        outside = np.flatnonzero((cells.values < 0) | (cells.values > last))
        _refuse_times(table, header, outside.tolist(), unit=unit)
        times: npt.NDArray[np.int64] = _microseconds(cells.values.astype(np.int64), unit)
        return times
    texts = stripped_texts(table, header)
    read = _iso_microseconds if unit == "iso8601" else _whole_microseconds(unit)
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
        way_out=_way_out(stripped_texts(table, header)[rows[0]]) if rows else "",
    )


def _way_out(text: str) -> str:
    """What to do about a value that is no time in its unit."""
    if not text:
        return "Fix the rows: fill in their time, or remove them."
    units = [each for each in _WORDS if _whole_microseconds(each)(text) is not None]
    likely = units[0] if units else "iso8601" if _iso_microseconds(text) is not None else None
    if likely is None:
        return (
            "Fix the rows (dates as year-month-day), or give the timestamp_unit that they have: s, "
            "ms, us, ns or iso8601."
        )
    return f"Fix the rows, or give timestamp_unit: {likely}, which {text!r} may be."


def _microseconds(values: Any, unit: str) -> Any:
    if unit == "ns":
        return values // 1000
    return values * (1_000_000 // _PER_SECOND[unit])


def _whole_microseconds(unit: str) -> Any:
    def read(text: str) -> int | None:
        if not _WHOLE.fullmatch(text):
            return None
        value = int(text.partition(".")[0])
        within = value // _PER_SECOND[unit] <= _LAST_SECOND
        return int(_microseconds(value, unit)) if within else None

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
