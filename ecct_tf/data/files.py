"""Somebody's own files, described by a schema file, as a data set and a report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecct_tf.data import _file_fields as fields
from ecct_tf.data._raw_table import RawTable, read_csv, read_parquet, refuse_rows
from ecct_tf.data.dataset import Dataset, build_dataset
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

__all__ = ["load_files"]


def load_files(schema_path: str | Path) -> tuple[Dataset, DataReport]:
    """Reads the files that the schema file `schema_path` describes.

    Every row is checked; what the schema's filters remove is counted in the report.

    Raises:
      ConfigError: the schema file is wrong.
      DataError: a file is missing, damaged or holds a wrong value; the message names file,
        line, column and value.
    """
    schema_path = Path(schema_path)
    schema = read_files_schema(schema_path)
    raw = _read(schema_path, schema.interactions, "interactions")
    tables = {key: _side_table(schema_path, file, section) for section, key, file in schema.tables}
    frame = _interactions(raw, schema.interactions)
    for key, side in tables.items():
        fields.known_ids(
            raw,
            getattr(schema.interactions, key),
            frame[key].tolist(),
            known=set(side.ids),
            source=str(side.raw.path),
        )
    if schema.filters.duplicates == "refuse":
        _refuse_duplicates(raw, frame, schema.interactions)
    # From here on in time order: a shared second must not lose a finer order.
    frame = frame.sort_values("moment", kind="stable")
    with _naming(schema_path):
        kept, filters = apply_filters(
            frame, schema.filters, min_rating=schema.interactions.min_rating
        )
    if schema.filters.short_users == "refuse":
        _refuse_short_users(raw, frame, kept, schema)
    frames = {key: _kept_rows(schema, key, side, kept) for key, side in tables.items()}
    with _naming(schema_path):
        dataset = build_dataset(
            name=schema.name,
            schema=schema.features(),
            interactions=kept,
            users=frames.get("user"),
            items=frames.get("item"),
        )
    report = DataReport(
        name=schema.name,
        schema=str(schema_path),
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
        first_second=int(dataset.timestamps.min()),
        last_second=int(dataset.timestamps.max()),
        columns=column_reports(dataset),
    )
    return dataset, report


@contextlib.contextmanager
def _naming(schema_path: Path) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{schema_path}: {error}") from error


@dataclass(frozen=True, eq=False)
class _SideTable:
    raw: RawTable
    ids: list[str]
    values: dict[str, list[Any]]


def _read(schema_path: Path, file: InteractionsFile | TableFile, section: str) -> RawTable:
    path = schema_path.parent / file.path
    if isinstance(file, InteractionsFile):
        named = [file.user, file.item, file.timestamp, file.rating]
    else:
        named = [file.id, *(spec.header or name for name, spec in file.columns.items())]
    headers = list(dict.fromkeys(name for name in named if name is not None))
    kind, separator = resolve_format(file, section)
    if kind == "parquet":
        return read_parquet(path, headers)
    return read_csv(path, headers, separator=separator, encoding=file.encoding)


def _interactions(raw: RawTable, file: InteractionsFile) -> pd.DataFrame:
    import pandas as pd

    moment = fields.moments(raw, file.timestamp, unit=file.timestamp_unit)
    columns: dict[str, Any] = {
        "user": fields.ids(raw, file.user),
        "item": fields.ids(raw, file.item),
        "moment": moment,
        "timestamp": moment // 1_000_000,
    }
    if file.rating is not None:
        columns["rating"] = fields.ratings(raw, file.rating)
    return pd.DataFrame(columns)


def _side_table(schema_path: Path, file: TableFile, section: str) -> _SideTable:
    raw = _read(schema_path, file, section)
    return _SideTable(
        raw,
        fields.unique_ids(raw, file.id),
        {
            name: fields.feature_values(raw, spec.header or name, spec)
            for name, spec in file.columns.items()
        },
    )


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
    rows = lost.sort_index().reset_index().groupby("user", sort=False)["index"]
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
