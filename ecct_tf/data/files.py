"""Somebody's own files, described by a schema file, as a data set and a report."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecct_tf.data._csv_files import read_csv
from ecct_tf.data._file_fields import read_features, read_ratings, read_titles
from ecct_tf.data._file_ids import check_known_ids, read_ids, read_unique_ids
from ecct_tf.data._file_times import read_times
from ecct_tf.data._frames import TableName, as_category, texts_of
from ecct_tf.data._ids import IdNotes
from ecct_tf.data._parquet_files import read_parquet
from ecct_tf.data._part_files import read_parts
from ecct_tf.data._raw_table import RawTable, refuse_rows
from ecct_tf.data._text_files import PACKED_SUFFIXES
from ecct_tf.data.dataset import Dataset, encode_frames
from ecct_tf.data.files_schema import (
    FilesSchema,
    InteractionsFile,
    TableFile,
    read_files_schema,
    resolve_format,
)
from ecct_tf.data.filters import apply_filters
from ecct_tf.data.report import DataReport, FileReport, column_reports
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["assemble", "load_files", "wanted_headers"]

_PART_SUFFIXES: dict[str, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".txt", ".dat"),
    "parquet": (".parquet", ".pq"),
    "recbole": (".inter", ".user", ".item"),
}
# No column of a schema has this name: the title is none of the features.
_TITLE = "\0title"
_A_YEAR = 365 * 86_400 * 1_000_000


def load_files(schema_path: str | Path) -> tuple[Dataset, DataReport]:
    r"""Reads the files that the schema file `schema_path` describes.

    Every row is checked; what the schema's filters remove is counted in the report.

    Raises:
      ConfigError: the schema file is wrong.
      DataError: a file is missing, damaged or holds a wrong value; the message names file,
        line, column and value.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> _ = (folder / "clicks.csv").write_text("user,item,timestamp\nann,tea,3\nann,cup,5\n")
      >>> _ = (folder / "schema.yaml").write_text("name: shop\ninteractions: {path: clicks.csv}")
      >>> data, report = load_files(folder / "schema.yaml")
      >>> data.item_tokens, report.interactions
      (('cup', 'tea'), 2)
    """
    schema_path = Path(schema_path)
    schema = _with_arrays_beside(read_files_schema(schema_path), schema_path.parent)
    raw = _read(schema_path, schema.interactions, "interactions")
    tables = {key: _read(schema_path, file, section) for section, key, file in schema.tables}
    return assemble(schema, raw, tables, source=schema_path)


def wanted_headers(file: InteractionsFile | TableFile) -> list[str]:
    """The columns of a file that a schema names, each once."""
    if isinstance(file, InteractionsFile):
        own = (spec.header or name for name, spec in file.columns.items())
        named = [file.user, file.item, file.timestamp, file.rating, *own]
    else:
        named = [
            file.id,
            *(spec.header or name for name, spec in file.columns.items() if spec.array is None),
            file.title,
        ]
    return list(dict.fromkeys(name for name in named if name is not None))


def assemble(
    schema: FilesSchema,
    raw: RawTable,
    side_tables: Mapping[TableName, RawTable],
    *,
    source: Path | str,
) -> tuple[Dataset, DataReport]:
    """The data set and the report of tables of texts that a schema describes.

    Args:
      schema: what the columns are.
      raw: the interactions.
      side_tables: those of users and items that the schema has.
      source: what to call the schema in messages and in the report.

    Raises:
      DataError: as `load_files`.
    """
    tables = {key: _side_table(side_tables[key], file) for _, key, file in schema.tables}
    frame, notes = _interactions(raw, schema.interactions)
    for _, key, file in schema.tables:
        check_known_ids(
            raw,
            getattr(schema.interactions, key),
            texts_of(frame[key]),
            known=tables[key].ids,
            source=str(tables[key].raw.path),
            required=file.required,
        )
    if schema.filters.duplicates == "refuse":
        _refuse_duplicates(raw, frame, schema.interactions)
    # From here on in time order: a shared second must not lose a finer order.
    frame = frame.sort_values("moment", kind="stable")
    with _naming(source):
        kept, filters = apply_filters(
            frame, schema.filters, min_rating=schema.interactions.min_rating
        )
    if schema.filters.short_users == "refuse":
        _refuse_short_users(raw, frame, kept, schema)
    frames = {key: _kept_rows(schema, key, side, kept) for key, side in tables.items()}
    with _naming(source):
        dataset, absent = encode_frames(
            name=schema.name,
            schema=schema.features(),
            interactions=kept,
            users=frames.get("user"),
            items=frames.get("item"),
            title=None if schema.items is None or schema.items.title is None else _TITLE,
        )
    report = DataReport(
        name=schema.name,
        schema=str(source),
        files=(
            FileReport("interactions", str(raw.path), raw.num_rows),
            *(
                FileReport(section, str(tables[key].raw.path), tables[key].raw.num_rows)
                for section, key, _ in schema.tables
            ),
        ),
        filters=filters,
        users=dataset.num_users,
        items=dataset.num_items,
        interactions=dataset.num_interactions,
        idle_users=dataset.num_users - int(kept["user"].nunique()),
        idle_items=dataset.num_items - int(kept["item"].nunique()),
        removed_table_rows=sum(
            tables[key].raw.num_rows - len(frame) for key, frame in frames.items()
        ),
        absent_users=sum(len(rows.ids) for rows in absent if rows.table == "user"),
        absent_items=sum(len(rows.ids) for rows in absent if rows.table == "item"),
        first_second=int(dataset.timestamps.min()),
        last_second=int(dataset.timestamps.max()),
        columns=column_reports(dataset),
        notes=(
            *notes,
            *(note for side in tables.values() for note in side.notes),
            *(f"{tables[rows.table].raw.path}: {rows.told}" for rows in absent),
        ),
    )
    return dataset, report


def _with_arrays_beside(schema: FilesSchema, folder: Path) -> FilesSchema:
    """`schema` with the paths of its files of vectors as they are from here."""

    def resolved(file: TableFile | None) -> TableFile | None:
        if file is None:
            return None
        columns = {
            name: spec
            if spec.array is None
            else dataclasses.replace(spec, array=str(folder / spec.array))
            for name, spec in file.columns.items()
        }
        return dataclasses.replace(file, columns=columns)

    return dataclasses.replace(schema, users=resolved(schema.users), items=resolved(schema.items))


@contextlib.contextmanager
def _naming(source: Path | str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


@dataclass(frozen=True, eq=False)
class _SideTable:
    raw: RawTable
    ids: list[str]
    notes: tuple[str, ...]
    values: dict[str, list[Any]]


def _read(schema_path: Path, file: InteractionsFile | TableFile, section: str) -> RawTable:
    path, headers = schema_path.parent / file.path, wanted_headers(file)
    kind, separator = resolve_format(file, section)

    def read(path: Path, headers: Sequence[str], *, is_part: bool = False) -> RawTable:
        if kind == "parquet":
            return read_parquet(path, headers, may_be_empty=is_part)
        return read_csv(
            path,
            headers,
            separator=separator,
            encoding=file.encoding,
            names=file.names,
            typed=kind == "recbole",
            may_be_empty=is_part,
        )

    if not path.is_dir():
        return read(path, headers)
    suffixes = _PART_SUFFIXES[kind]
    if kind != "parquet":
        suffixes += tuple(s + packed for s in suffixes for packed in PACKED_SUFFIXES)
    return read_parts(path, headers, suffixes=suffixes, read=functools.partial(read, is_part=True))


def _interactions(raw: RawTable, file: InteractionsFile) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The interactions in the file's order, and what is worth a line in the report."""
    import pandas as pd

    moment = read_times(raw, file.timestamp, unit=file.timestamp_unit)
    users, user_notes = read_ids(raw, file.user)
    items, item_notes = read_ids(raw, file.item)
    columns: dict[str, Any] = {
        "user": as_category(users),
        "item": as_category(items),
        "moment": moment,
        "timestamp": moment // 1_000_000,
    }
    if file.rating is not None:
        columns["rating"] = read_ratings(raw, file.rating)
    for name, spec in file.columns.items():
        columns[name] = read_features(raw, spec.header or name, spec)
    frame = pd.DataFrame(columns)
    notes = (*_id_notes(raw, file.user, user_notes), *_id_notes(raw, file.item, item_notes))
    return frame, (*notes, *_time_notes(raw, file.timestamp, frame))


def _id_notes(raw: RawTable, header: str, notes: IdNotes) -> Iterator[str]:
    where = f"{raw.path}: column {header!r}"
    if notes.rewritten:
        yield (
            f"{where}: {notes.rewritten:,} ids had blanks or invisible marks around them, or "
            "another Unicode form, and were read without"
        )
    if notes.floats:
        yield f"{where}: whole numbers that a program had made 7.0 of were read as 7"


def _time_notes(raw: RawTable, header: str, frame: pd.DataFrame) -> Iterator[str]:
    where, moments = f"{raw.path}: column {header!r}", frame["moment"]
    zero = int((moments == 0).sum())
    if 0 < zero < len(frame) and moments.max() > _A_YEAR:
        who, count = ("row has", "it counts") if zero == 1 else ("rows have", "they count")
        yield (
            f"{where}: {zero:,} {who} the time 0 (1970), which often stands for a missing one; "
            f"{count} as the oldest"
        )
    by_user = frame.groupby("user", sort=False, observed=True)["moment"].agg(["size", "min", "max"])
    tied = int(((by_user["size"] > 1) & (by_user["min"] == by_user["max"])).sum())
    if tied:
        who = "user has" if tied == 1 else "users have"
        yield (
            f"{where}: {tied:,} {who} one time for all their interactions; the order in the file "
            "decides what is newest"
        )


def _side_table(raw: RawTable, file: TableFile) -> _SideTable:
    ids, notes = read_unique_ids(raw, file.id)
    values: dict[str, list[Any]] = {
        name: read_features(raw, spec.header or name, spec) for name, spec in file.columns.items()
    }
    if file.title is not None:
        values[_TITLE] = read_titles(raw, file.title)
    return _SideTable(raw, ids, tuple(_id_notes(raw, file.id, notes)), values)


def _kept_rows(schema: FilesSchema, key: str, side: _SideTable, kept: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table whose id no minimum removed."""
    import pandas as pd

    frame = pd.DataFrame({key: side.ids, **side.values}, dtype=object)
    minima = {
        "user": schema.filters.min_user_interactions,
        "item": schema.filters.min_item_interactions,
    }
    return frame[frame[key].isin(kept[key])] if minima[key] > 0 else frame


def _refuse_duplicates(raw: RawTable, frame: pd.DataFrame, file: InteractionsFile) -> None:
    if not frame.duplicated(["user", "item"]).any():
        return
    pairs = list(zip(frame["user"], frame["item"], strict=True))
    first: dict[tuple[str, str], int] = {}
    wrong = [row for row, pair in enumerate(pairs) if first.setdefault(pair, row) != row]
    refuse_rows(
        raw,
        file.item,
        wrong,
        expected="each item once a user (filters.duplicates: refuse)",
        way_out="Take the rows out, or choose keep_first, keep_last or keep_all.",
        notes=[
            f" of user {pairs[row][0]!r} (first on {raw.place(first[pairs[row]])})"
            for row in wrong[:5]
        ],
    )


def _refuse_short_users(
    raw: RawTable, frame: pd.DataFrame, kept: pd.DataFrame, schema: FilesSchema
) -> None:
    lost = frame[~frame["user"].isin(kept["user"])]
    if lost.empty:
        return
    # The index still is the row in the file, whatever the order.
    rows = lost.sort_index().reset_index().groupby("user", sort=False, observed=True)["index"]
    found = rows.agg(["first", "size"])
    refuse_rows(
        raw,
        schema.interactions.user,
        found["first"].tolist(),
        expected=f"a user with {schema.filters.min_user_interactions} or more interactions that "
        "pass the filters (filters.short_users: refuse)",
        way_out="Choose short_users: remove to have them removed and counted, or lower "
        "min_user_interactions.",
        notes=[f" with {count} rows" for count in found["size"].tolist()],
    )
