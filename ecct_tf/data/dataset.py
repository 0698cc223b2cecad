"""A whole data set as the simulator sees it, before it is put on two sides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import owned
from ecct_tf.data._ids import canonical_id, id_text, line_break_in, refuse_look_alikes
from ecct_tf.data.encoding import encode_column, sort_tokens
from ecct_tf.data.schema import FeatureSchema
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "build_dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions and feature columns of all users: only the simulator holds it.

    Attributes:
      name: the data set's name.
      schema: the columns' tags.
      user_tokens: user u's original id is `user_tokens[u]`.
      item_tokens: item k's original id is `item_tokens[k - 1]`; 0 is padding.
      users: `[n] int32`, in file order.
      items: `[n] int32`, 1..num_items.
      timestamps: `[n] int64`, seconds, not negative.
      user_columns: every user column of the schema, `num_users` rows.
      item_columns: every item column, `num_items + 1` rows, row 0 zero.
      source: which settings `load_dataset` loaded it by; None for data that a program made.
    """

    name: str
    schema: FeatureSchema
    user_tokens: tuple[str, ...]
    item_tokens: tuple[str, ...]
    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    timestamps: npt.NDArray[np.int64]
    user_columns: tuple[EncodedColumn, ...] = ()
    item_columns: tuple[EncodedColumn, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        where = f"dataset {self.name!r}"
        for field, dtype in (("users", np.int32), ("items", np.int32), ("timestamps", np.int64)):
            values = np.asarray(getattr(self, field))
            if values.ndim != 1 or values.dtype != dtype:
                raise DataError(
                    f"{where}: {field} must be [n] {np.dtype(dtype)}, received shape "
                    f"{list(values.shape)} of {values.dtype}."
                )
            object.__setattr__(self, field, owned(values, dtype))
        lengths = (len(self.users), len(self.items), len(self.timestamps))
        if len(set(lengths)) != 1 or not lengths[0]:
            raise DataError(
                f"{where}: users, items and timestamps must be equally long and not empty, "
                f"received lengths {lengths}."
            )
        _check_range(f"{where}: users", self.users, low=0, high=self.num_users - 1)
        _check_range(f"{where}: items", self.items, low=1, high=self.num_items)
        _check_range(f"{where}: timestamps", self.timestamps, low=0, high=None)
        self._check_columns("user", self.user_columns, rows=self.num_users)
        self._check_columns("item", self.item_columns, rows=self.num_items + 1)
        for encoded in self.item_columns:
            if np.any(encoded.values[0]):
                raise DataError(
                    f"{where}: row 0 of item column {encoded.column.name!r} is the padding row "
                    f"and must be zero, received {encoded.values[0]}."
                )

    def _check_columns(
        self, table: Literal["user", "item"], columns: tuple[EncodedColumn, ...], *, rows: int
    ) -> None:
        declared = self.schema.select(table=table)
        received = tuple(encoded.column for encoded in columns)
        if received != declared:
            raise DataError(
                f"dataset {self.name!r}: {table}_columns must be those of schema "
                f"{self.schema.name!r}: {declared}; received {received}."
            )
        for encoded in columns:
            if encoded.num_rows != rows:
                raise DataError(
                    f"dataset {self.name!r}: {table} column {encoded.column.name!r} must have "
                    f"{rows} rows, received {encoded.num_rows}."
                )

    def fingerprint(self) -> str:
        """SHA-256 of ids, interactions and columns, in hexadecimal; names of data sets aside."""
        digest = hashlib.sha256()

        def update(*texts: str) -> None:
            for text in (str(len(texts)), *texts):
                content = text.encode("utf-8", "surrogatepass")
                digest.update(f"{len(content)}:".encode() + content)

        update(*self.user_tokens)
        update(*self.item_tokens)
        arrays: list[npt.NDArray[Any]] = [self.users, self.items, self.timestamps]
        for encoded in (*self.user_columns, *self.item_columns):
            column = encoded.column
            update(column.name, column.table, column.side.value, column.kind.value)
            update(*encoded.vocabulary)
            arrays.append(encoded.values)
        for array in arrays:
            update(f"{array.dtype}{array.shape}")
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.user_tokens)

    @property
    def num_items(self) -> int:
        """Number of items, without the padding row."""
        return len(self.item_tokens)

    @property
    def num_interactions(self) -> int:
        """Number of interactions."""
        return len(self.users)


def build_dataset(
    *,
    name: str,
    schema: FeatureSchema,
    interactions: pd.DataFrame,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
) -> Dataset:
    """Encodes raw tables to a `Dataset`.

    Ids are numbered in the order of `sort_tokens`. With a `users` or `items`
    table its ids are the known ones, whether they have interactions or not.

    Args:
      name: the data set's name.
      schema: the columns to encode; other columns of the tables are ignored.
      interactions: columns `user`, `item` (text or whole numbers) and
        `timestamp` (whole seconds), in file order, which breaks ties.
      users: column `user` and the schema's user columns; None if it has none.
      items: column `item` and the schema's item columns; None if it has none.

    Raises:
      DataError: a column or id is missing, unknown, repeated, or a timestamp
        is not a whole number from 0.
    """
    user_ids = _ids(interactions, "user", table="interactions")
    item_ids = _ids(interactions, "item", table="interactions")
    timestamps = _timestamps(interactions)
    user_tokens, user_columns = _side_table(schema, "user", users, user_ids)
    item_tokens, item_columns = _side_table(schema, "item", items, item_ids)
    return Dataset(
        name=name,
        schema=schema,
        user_tokens=user_tokens,
        item_tokens=item_tokens,
        users=_codes(user_ids, user_tokens, column="user"),
        items=_codes(item_ids, item_tokens, column="item") + np.int32(1),
        timestamps=timestamps,
        user_columns=user_columns,
        item_columns=item_columns,
    )


def _side_table(
    schema: FeatureSchema,
    key: Literal["user", "item"],
    frame: pd.DataFrame | None,
    seen: list[str],
) -> tuple[tuple[str, ...], tuple[EncodedColumn, ...]]:
    declared = schema.select(table=key)
    if frame is None:
        if declared:
            raise DataError(
                f"schema {schema.name!r} declares {key} columns {[c.name for c in declared]} but "
                f"no {key}s table was given. Give one, or take the columns out of the schema."
            )
        return sort_tokens(seen), ()
    ids = _ids(frame, key, table=f"{key}s")
    tokens = sort_tokens(ids)
    row_of = {token: row for row, token in enumerate(ids)}
    if len(tokens) != len(ids):
        row = next(row for row, token in enumerate(ids) if row_of[token] != row)
        raise DataError(
            f"{key}s table: ids must be unique, {ids[row]!r} (row {row}, column {key!r}) occurs "
            "again below. Keep one row an id."
        )
    padding = key == "item"
    order = np.array([row_of[token] + padding for token in tokens], np.int64)
    if padding:
        order = np.concatenate([[0], order])
    columns = []
    for column in declared:
        raw = _column(frame, column.name, table=f"{key}s").tolist()
        # Encoded in file order first, so that an error names the table's own row.
        encoded = encode_column(column, raw, padding=padding)
        columns.append(replace(encoded, values=encoded.values[order]))
    return tokens, tuple(columns)


def _column(frame: pd.DataFrame, name: str, *, table: str) -> Any:
    if name not in frame.columns:
        raise DataError(
            f"{table} table: column {name!r} is missing, received {list(frame.columns)}. "
            "Add or rename the column."
        )
    return frame[name]


def _ids(frame: pd.DataFrame, name: str, *, table: str) -> list[str]:
    series = _column(frame, name, table=table)
    absent = np.flatnonzero(series.isna().to_numpy())
    if len(absent):
        raise DataError(
            f"{table} table: row {absent[0]} (from 0), column {name!r}: the id is missing. "
            "Drop the row or give it an id."
        )
    if series.dtype.kind == "f":
        # 1 and 1.0 would become two tokens; pandas makes floats of integers with a gap.
        raise DataError(
            f"{table} table: column {name!r} must hold text or whole numbers, received "
            f"{series.dtype}. Read it with dtype=str."
        )
    tokens = []
    for row, value in enumerate(series.tolist()):
        try:
            token = canonical_id(id_text(value))
        except DataError as error:
            raise DataError(
                f"{table} table: row {row} (from 0), column {name!r}: {error}. Convert the column "
                "to text."
            ) from error
        if not token or line_break_in(token):
            raise DataError(
                f"{table} table: row {row} (from 0), column {name!r}: expected an id without line "
                f"breaks and control characters, received {value!r}. Drop or rename it."
            )
        tokens.append(token)
    refuse_look_alikes(f"{table} table: column {name!r}", tokens)
    return tokens


def _timestamps(interactions: pd.DataFrame) -> npt.NDArray[np.int64]:
    import pandas as pd

    series = _column(interactions, "timestamp", table="interactions")
    numbers = pd.to_numeric(series, errors="coerce").to_numpy()
    if numbers.dtype.kind not in "iuf":
        numbers = numbers.astype(np.float64)
    bad = (numbers < 0) | ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"interactions table: row {row} (from 0), column 'timestamp': expected whole seconds "
            f"from 0, received {series.iloc[row]!r}. Fix or drop the row."
        )
    return np.asarray(numbers, np.int64)


def _codes(ids: list[str], tokens: tuple[str, ...], *, column: str) -> npt.NDArray[np.int32]:
    code = {token: index for index, token in enumerate(tokens)}
    try:
        return np.fromiter((code[token] for token in ids), np.int32, len(ids))
    except KeyError:
        row = next(row for row, token in enumerate(ids) if token not in code)
        raise DataError(
            f"interactions table: row {row} (from 0), column {column!r}: {ids[row]!r} is not in "
            f"the {column}s table. Add it there or drop the row."
        ) from None


def _check_range(where: str, values: npt.NDArray[Any], *, low: int, high: int | None) -> None:
    bad = values < low
    if high is not None:
        bad = bad | (values > high)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        upper = "" if high is None else str(high)
        raise DataError(
            f"{where} must lie in {low}..{upper}, received {values[row]} in row {row} (from 0)."
        )
