"""Parquet files and Arrow tables as texts, by column; what is no id and no value is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecct_tf.data._cells import CodedTexts, NumberCells
from ecct_tf.data._raw_table import Cell, RawTable, refuse_rows, unreadable, wanted_places
from ecct_tf.errors import DataError
from ecct_tf.files import open_plain
from ecct_tf.installation import install_packages
from ecct_tf.parts import requirement_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["holds_values", "is_list", "raw_arrow_table", "read_parquet", "refuse_without_arrow"]


def read_parquet(path: Path, headers: Sequence[str], *, may_be_empty: bool = False) -> RawTable:
    """Reads the columns `headers` of a Parquet file as texts.

    Args:
      path: the file.
      headers: the columns to read.
      may_be_empty: whether no rows, as part files may have none, are an empty table.

    Raises:
      DataError: pyarrow is not installed, the file is missing or no Parquet file, has no rows,
        lacks a column, or has one that holds no single values.
    """
    refuse_without_arrow(f"{path}: reading Parquet", or_else="save the table as CSV")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        open_plain(path).close()  # Arrow would wait for a pipe.
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            places = wanted_places(path, names, headers)
            wanted = [names[place] for place in places.values()]
            table = file.read(columns=wanted).rename_columns(list(places))
    except OSError as error:
        raise unreadable(path, error) from error
    except pa.ArrowException as error:
        raise DataError(
            f"{path}: expected a Parquet file, received otherwise: {error}. Give format: csv if "
            "it is one."
        ) from error
    if not table.num_rows and not may_be_empty:
        raise DataError(
            f"{path}: the file has columns and no rows, expected at least one. Export it again."
        )
    return raw_arrow_table(path, table)


def refuse_without_arrow(what: str, *, or_else: str) -> None:
    """Raises `DataError` where pyarrow is not installed, which `what` needs."""
    try:
        import pyarrow  # noqa: F401 (whether it is there)
    except ImportError as error:
        raise DataError(
            f"{what} needs pyarrow, which is not installed. Install it with "
            f"`{install_packages([requirement_text('pyarrow', 'cloud')])}`, or {or_else}."
        ) from error


def raw_arrow_table(path: Path, table: pa.Table) -> RawTable:
    """An Arrow table as texts.

    Args:
      path: what messages call it.
      table: the columns that are wanted, each once.

    Raises:
      DataError: a column holds no single values.
    """
    import pyarrow as pa

    columns: dict[str, Sequence[Cell]] = {}
    types: dict[str, str] = {}
    for header in table.column_names:
        column = table[header]
        columns[header] = _cells(path, header, column)
        kind = _element_type(column.type)
        if not _is_text(kind) and not pa.types.is_integer(kind) and not pa.types.is_null(kind):
            types[header] = str(kind)
    return RawTable(path, columns, None, types)


def holds_values(kind: pa.DataType) -> bool:
    """Whether a column of the type `kind` holds texts, numbers or times, or lists of them."""
    import pyarrow as pa

    kind = _element_type(kind)
    return (
        _is_text(kind)
        or pa.types.is_null(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of the type `kind` holds lists, as long as they like or all as long."""
    import pyarrow as pa

    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or bool(pa.types.is_fixed_size_list(kind))
    )


def _as_arrays(column: Any) -> Sequence[Cell] | None:
    """The column without a Python object for each row, where it is one of texts or of numbers."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) and not column.null_count:
        return NumberCells(column.to_numpy())
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return NumberCells(column.to_numpy().astype(np.float64))
    behind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(behind) or pa.types.is_large_string(behind)):
        return None
    try:
        # Arrow reads texts without a look.
        column.validate(full=True)
        # Longer columns than one array of texts holds are large ones.
        large = column.cast(pa.large_string())
        encoded = large.dictionary_encode().combine_chunks()
    except pa.ArrowException:
        return None  # Row by row it shows what is wrong.
    if isinstance(encoded, pa.ChunkedArray):
        encoded = pa.chunked_array(encoded.chunks, encoded.type).unify_dictionaries()
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else None
    if encoded is None:
        return None
    texts = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    found = CodedTexts.of([*texts, ""], codes)
    # A missing text and an empty one are alike.
    return found.renamed(found.texts)


def _cells(path: Path, header: str, column: Any) -> Sequence[Cell]:
    import pyarrow as pa

    if not holds_values(column.type):
        raise DataError(
            f"{path}: column {header!r}: expected texts, numbers or times, received "
            f"{column.type}. Save the part that you need, or the bytes as text, in a column of "
            "its own."
        )
    arrays = _as_arrays(column)
    if arrays is not None:
        return arrays
    try:
        values = column.to_pylist()
    # Arrow reads texts and times without a look; what is none shows when Python takes it.
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: column {header!r}: expected values of {column.type}, received others: "
            f"{error}. The file is damaged, or holds times that no calendar has; export it again."
        ) from error
    wrong = [row for row, value in enumerate(values) if not _decodable(value)]
    if wrong:
        shown: dict[str, list[Cell]] = {header: [str(value) for value in values]}
        refuse_rows(
            RawTable(path, shown),
            header,
            wrong,
            expected="bytes that are UTF-8 text",
            way_out="Save the column as text (for example in hexadecimal).",
        )
    return [_cell(value) for value in values]


def _element_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's single values: within a list, and behind a dictionary."""
    import pyarrow as pa

    if is_list(kind):
        kind = kind.value_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    """Texts, and bytes of any length, which are often texts that nobody declared."""
    import pyarrow as pa

    checks = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )
    return any(check(kind) for check in checks)


def _decodable(value: Any) -> bool:
    if isinstance(value, list):
        return all(_decodable(part) for part in value)
    if not isinstance(value, bytes):
        return True
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _cell(value: Any) -> Cell:
    if value is None or value != value:  # only NaN differs from itself
        return ""
    if isinstance(value, list):
        return tuple("" if part is None else str(_cell(part)) for part in value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
