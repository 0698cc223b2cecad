"""Writes a data set as files and a schema."""

import csv
import datetime
import io
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fuzz.data_case import DataCase, FileStyle

__all__ = ["INTERACTIONS", "path_of", "time_text", "write_case"]

INTERACTIONS = "interactions"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def write_case(case: DataCase, folder: Path) -> Path:
    """Writes all files into `folder` and returns the schema's path."""
    style = case.style
    header = ["user", "item", "timestamp", "rating"]
    rows = [
        [event.user, event.item, time_text(event.micros, case.unit), f"{event.rating:g}"]
        for event in case.events
    ]
    for (row, column), text in case.cells.items():
        rows[row][column] = text
    path = path_of(folder, INTERACTIONS, style)
    _write_table(path, header, rows, style)
    sections: dict[str, Any] = {name: dict(value) if isinstance(value, dict) else value
                                for name, value in case.sections.items()}  # fmt: skip
    if _describe(sections.get("interactions"), path, style):
        sections["interactions"].setdefault("timestamp_unit", case.unit)
    for section, key, table in (("users", "user", case.users), ("items", "item", case.items)):
        if table is None:
            continue
        path = path_of(folder, section, style)
        names = list(next(iter(table.values())))
        _write_table(path, [key, *names], [[i, *row.values()] for i, row in table.items()], style)
        _describe(sections.get(section), path, style)
    schema = folder / "schema.yaml"
    text = case.schema_text
    if text is None:
        text = yaml.safe_dump(sections, allow_unicode=True, sort_keys=False)
    schema.write_bytes((text + case.schema_end).encode("utf-8", "surrogatepass"))
    return schema


def path_of(folder: Path, section: str, style: FileStyle) -> Path:
    """Where the table of a section lies."""
    suffix = "parquet" if style.format == "parquet" else "tsv" if style.separator == "\t" else "csv"
    return folder / f"{section}.{suffix}"


def time_text(micros: int, unit: str) -> str:
    """A moment as a file has it."""
    if unit == "iso8601":
        try:
            return (_EPOCH + datetime.timedelta(microseconds=micros)).isoformat()
        except OverflowError:
            return "10000-01-01"
    return str(micros // (1_000_000 if unit == "s" else 1000))


def _describe(section: Any, path: Path, style: FileStyle) -> bool:
    """Says in a section where its file lies and how it is written, if it is a section."""
    if not isinstance(section, dict):
        return False
    section.setdefault("path", path.name)
    if style.format == "csv" and style.separator not in ",\t":
        section.setdefault("separator", style.separator)
    if style.format == "csv" and style.encoding != "utf-8":
        section.setdefault("encoding", style.encoding)
    return True


def _write_table(path: Path, header: list[str], rows: list[list[str]], style: FileStyle) -> None:
    if style.format == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
        table = pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})
        pq.write_table(table, path)
        return
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=style.separator,
        lineterminator=style.newline,
        quoting=csv.QUOTE_ALL if style.quote_all else csv.QUOTE_MINIMAL,
    )
    writer.writerows([header, *rows])
    content = text.getvalue().encode(style.encoding, "xmlcharrefreplace")
    path.write_bytes((b"\xef\xbb\xbf" if style.mark else b"") + content)
