"""Tables that a program has as a data set: pandas frames, Arrow tables, and what becomes one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ecct_tf.config.parsing import build, check_keys, read_mapping
from ecct_tf.data._frames import TableName
from ecct_tf.data._inferred import infer_columns, infer_header, infer_headers, infer_unit
from ecct_tf.data._parquet_files import raw_arrow_table, refuse_without_arrow
from ecct_tf.data._raw_table import RawTable, wanted_places
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.files import assemble, wanted_headers
from ecct_tf.data.files_schema import FilesSchema, InteractionsFile, TableFile
from ecct_tf.data.schema import FeatureSchema
from ecct_tf.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Frame: TypeAlias = pd.DataFrame | pa.Table | Mapping[str, Sequence[Any]]

__all__ = ["from_frames"]

_log = logging.getLogger(__name__)

_SECTIONS: dict[str, TableName] = {"users": "user", "items": "item"}


def from_frames(
    interactions: Frame,
    *,
    users: Frame | None = None,
    items: Frame | None = None,
    schema: FeatureSchema | Mapping[str, Any] | str | Path | None = None,
    name: str | None = None,
) -> Dataset:
    """A data set of tables in memory, read and checked as files are.

    A table is a pandas frame, an Arrow table, whatever `pyarrow.table` takes, such as a Polars
    frame or a dictionary of columns. What the schema leaves out is told from the tables:
    the columns of ids and times by their names (`user`, `user_id`, `customer`, …), the unit of
    times by their type and size. Without a schema the other columns are features by their types:
    numbers of items are numeric, and those of users with over 100 values, lists multi-categorical,
    everything else categorical where it has at most 100 values; a column of items called `title` or
    `name` is what people call them.
    What becomes nothing is named in a warning.

    Args:
      interactions: who did something with what, and when.
      users: one row a user, with private columns, or None.
      items: one row an item, or None.
      schema: what the columns are, in the words of a schema file (`docs/own_data.md`) without
        its paths: a dictionary, the path of such a YAML file, or a `FeatureSchema` of the feature
        columns alone.
      name: the data set's name; by default the schema's, or `data`.

    Raises:
      ConfigError: the schema is wrong, or does not fit the tables that there are.
      DataError: a table holds a wrong value, or its columns cannot be told apart.

    Example:
      >>> clicks = {"user_id": ["ann", "bob", "ann"], "sku": [7, 7, 9], "time": [30, 10, 20]}
      >>> goods = {"sku": [7, 9], "name": ["Tea", "Coffee"], "price": [2.5, 4.0]}
      >>> data = from_frames(clicks, items=goods, name="shop")
      >>> data.name, data.num_users, data.item_titles, [c.column.name for c in data.item_columns]
      ('shop', 2, ('Tea', 'Coffee'), ['price'])
    """
    refuse_without_arrow(
        "from_frames", or_else="use build_dataset, which takes pandas frames as they are"
    )
    tables = {"interactions": _arrow(interactions, "interactions")}
    for section, frame in (("users", users), ("items", items)):
        if frame is not None:
            tables[section] = _arrow(frame, section)
    described = _described(schema, tables, name=name)
    raw = {
        section: _raw(tables[section], file, section)
        for section, file in (
            ("interactions", described.interactions),
            ("users", described.users),
            ("items", described.items),
        )
        if file is not None
    }
    dataset, report = assemble(
        described,
        raw["interactions"],
        {key: raw[section] for section, key in _SECTIONS.items() if section in raw},
        source=f"data set {described.name!r}",
    )
    for line in (*report.left_out, *report.notes):
        _log.warning("data set %r: %s", described.name, line)
    return dataset


def _arrow(frame: Any, section: str) -> pa.Table:
    import pyarrow as pa

    try:
        if type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "columns"):
            table = pa.Table.from_pandas(frame, preserve_index=False)
        else:
            table = frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{section}: expected a table such as a pandas frame, whose columns have a name each "
            f"and values of one type, received {type(frame).__name__}: "
            f"{str(error).removesuffix('.')}. Convert columns of several types to text, and leave "
            "out what the data set does not need."
        ) from error
    if not table.num_rows:
        raise DataError(f"{section}: expected at least one row, received a table without any.")
    return table


def _raw(table: pa.Table, file: InteractionsFile | TableFile, section: str) -> RawTable:
    headers = wanted_headers(file)
    names = list(map(str, table.column_names))
    places = wanted_places(Path(section), names, headers)
    chosen = table.select(list(places.values())).rename_columns(list(places))
    return raw_arrow_table(Path(section), chosen)


def _described(
    schema: FeatureSchema | Mapping[str, Any] | str | Path | None,
    tables: Mapping[str, pa.Table],
    *,
    name: str | None,
) -> FilesSchema:
    """The schema of the tables, with everything told that was left out."""
    values, where = _values(schema)
    if name is not None:
        values["name"] = name
    values.setdefault("name", "data")
    check_keys(values, FilesSchema, where=where)
    given = dict(values.get("interactions") or {})
    missing = [key for key in ("user", "item", "timestamp") if key not in given]
    given |= infer_headers(tables["interactions"], missing, section="interactions")
    given.setdefault("path", "interactions.parquet")
    unit = infer_unit(tables["interactions"], str(given["timestamp"]))
    # A column of times says so itself; a number does where nobody else did.
    if unit == "iso8601" or "timestamp_unit" not in given:
        given["timestamp_unit"] = unit
    values["interactions"] = given
    for section, key in _SECTIONS.items():
        values_of = values.get(section)
        if section in tables and values_of is None and schema is not None:
            raise ConfigError(
                f"{where}: expected a section {section}, since a table of {section} was given. "
                f"Add it, or leave {section} out."
            )
        if section not in tables:
            if values_of is not None:
                raise ConfigError(
                    f"{where}: the section {section} describes a table, and none was given. Give "
                    f"{section}, or take the section out."
                )
            continue
        file = dict(values_of or {})
        if "id" not in file:
            file["id"] = infer_header(tables[section], key, section=section)
        file.setdefault("path", f"{section}.parquet")
        if "columns" not in file:
            columns, title = infer_columns(tables[section], key, ids=str(file["id"]))
            file["columns"] = columns
            if title is not None:
                file.setdefault("title", title)
        values[section] = file
    try:
        return build(FilesSchema, values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _values(
    schema: FeatureSchema | Mapping[str, Any] | str | Path | None,
) -> tuple[dict[str, Any], str]:
    """The schema as a tree, and what to call it."""
    if schema is None:
        return {}, "schema"
    if isinstance(schema, FeatureSchema):
        return _of_features(schema), f"schema {schema.name!r}"
    if isinstance(schema, Mapping):
        return dict(schema), "schema"
    if not isinstance(schema, str | Path):
        raise ConfigError(
            "schema: expected a dictionary, the path of a YAML file or a FeatureSchema, got "
            f"{type(schema).__name__}"
        )
    path = Path(schema)
    values = read_mapping(path, what="data schema")
    if isinstance(values.get("columns"), list):
        return _of_features(FeatureSchema.from_yaml(path)), str(path)
    return values, str(path)


def _of_features(schema: FeatureSchema) -> dict[str, Any]:
    """A schema of feature columns alone as one of tables."""
    values: dict[str, Any] = {"name": schema.name}
    for section, table in _SECTIONS.items():
        columns = {
            column.name: {"kind": column.kind.value, "side": column.side.value}
            | ({} if column.scaling is None else {"scaling": column.scaling.as_dict()})
            for column in schema.select(table=table)
        }
        if columns:
            values[section] = {"columns": columns}
    context = {each.name: {"kind": each.kind.value} for each in schema.select(table="interaction")}
    if context:
        values["interactions"] = {"columns": context}
    return values
