"""A whole data set as the simulator sees it, before it is put on two sides."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import owned
from ecct_tf.data._cells import CodedTexts
from ecct_tf.data._frames import (
    AbsentRows,
    TableName,
    encode_interactions,
    encode_side,
    frame_ids,
    frame_timestamps,
    frame_titles,
)
from ecct_tf.data.schema import FeatureSchema
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "build_dataset", "encode_frames"]

_log = logging.getLogger(__name__)


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
      interaction_columns: every interaction column of the schema, a row each interaction; private.
      item_titles: item k is called `item_titles[k - 1]` where people read of it, an empty text
        where nobody named it; no model reads it. Empty where no item has a title.
      source: which settings `load_dataset` loaded it by; None for data that a program made.

    Example:
      >>> from ecct_tf.data import from_frames
      >>> data = from_frames({"user": ["b", "a"], "item": [20, 3], "timestamp": [1, 2]})
      >>> data.user_tokens, data.users.tolist(), data.item_tokens, data.items.tolist()
      (('a', 'b'), [1, 0], ('3', '20'), [2, 1])
      >>> data
      Dataset('data': 2 interactions of 2 users with 2 items; of users: none; of items: none)
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
    item_titles: tuple[str, ...] = ()
    source: str | None = None
    interaction_columns: tuple[EncodedColumn, ...] = ()

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
        self._check_columns("interaction", self.interaction_columns, rows=self.num_interactions)
        if len(self.item_titles) not in (0, self.num_items):
            raise DataError(
                f"{where}: item_titles must be empty or have a title of each of the "
                f"{self.num_items} items, received {len(self.item_titles)}."
            )
        for encoded in self.item_columns:
            if np.any(encoded.values[0]):
                raise DataError(
                    f"{where}: row 0 of item column {encoded.column.name!r} is the padding row "
                    f"and must be zero, received {encoded.values[0]}."
                )

    def __repr__(self) -> str:
        """One line without ids and values: a log or a notebook must not fill with them."""
        user, item = (
            ", ".join(f"{each.column.name} ({each.column.side})" for each in columns) or "none"
            for columns in (self.user_columns, self.item_columns)
        )
        return (
            f"Dataset({self.name!r}: {self.num_interactions:,} interactions of {self.num_users:,} "
            f"users with {self.num_items:,} items; of users: {user}; of items: {item})"
        )

    def _check_columns(
        self,
        table: Literal["user", "item", "interaction"],
        columns: tuple[EncodedColumn, ...],
        *,
        rows: int,
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
        """SHA-256 of ids, interactions and columns, in hexadecimal; names and titles aside."""
        digest = hashlib.sha256()

        def update(*texts: str) -> None:
            for text in (str(len(texts)), *texts):
                content = text.encode("utf-8", "surrogatepass")
                digest.update(f"{len(content)}:".encode() + content)

        update(*self.user_tokens)
        update(*self.item_tokens)
        arrays: list[npt.NDArray[Any]] = [self.users, self.items, self.timestamps]
        for encoded in (*self.user_columns, *self.item_columns, *self.interaction_columns):
            column = encoded.column
            update(column.name, column.table, column.side.value, column.kind.value)
            update(*encoded.vocabulary)
            arrays.append(encoded.values)
        for array in arrays:
            update(f"{array.dtype}{array.shape}")
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def interactions_at(self, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
        """The fields that hold interactions, of some rows: for `dataclasses.replace`."""
        return {
            "users": self.users[rows],
            "items": self.items[rows],
            "timestamps": self.timestamps[rows],
            "interaction_columns": tuple(
                replace(encoded, values=encoded.values[rows])
                for encoded in self.interaction_columns
            ),
        }

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.user_tokens)

    @property
    def num_items(self) -> int:
        """Number of items, without the padding row."""
        return len(self.item_tokens)

    def title(self, item: int) -> str:
        """What item `item`, from 1, is called; an empty text where it has no title."""
        return self.item_titles[item - 1] if self.item_titles else ""

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
    required: tuple[TableName, ...] = (),
    title: str | None = None,
) -> Dataset:
    """Encodes raw tables to a `Dataset`.

    Ids are numbered in the order of `sort_tokens`. A user or item counts if it is in its table,
    with or without interactions, or in the interactions. One that lacks a row in its table has
    the unknown value in each column (categories: unknown, numbers: the mean), which is counted in
    `EncodedColumn.missing` and logged as a warning.

    Args:
      name: the data set's name.
      schema: the columns to encode; other columns of the tables are ignored.
      interactions: columns `user`, `item` (text or whole numbers) and
        `timestamp` (whole seconds), in file order, which breaks ties; and the schema's interaction
        columns.
      users: column `user` and the schema's user columns; None if it has none.
      items: column `item` and the schema's item columns; None if it has none.
      required: `user`, `item` or both, whose table must have a row of every id.
      title: the column of `items` with what people call an item; None if it has none.

    Raises:
      DataError: a column or id is missing or repeated, a table that is `required` lacks an id,
        a table has none of the ids, or a timestamp is not a whole number from 0.

    Example:
      >>> import pandas as pd
      >>> clicks = pd.DataFrame({"user": ["b", "a"], "item": [20, 3], "timestamp": [1, 2]})
      >>> schema = FeatureSchema("shop", ())
      >>> build_dataset(name="shop", schema=schema, interactions=clicks).num_items
      2
    """
    dataset, absent = encode_frames(
        name=name,
        schema=schema,
        interactions=interactions,
        users=users,
        items=items,
        required=required,
        title=title,
    )
    for rows in absent:
        _log.warning("data set %r: the %ss table: %s", name, rows.table, rows.told)
    return dataset


def encode_frames(
    *,
    name: str,
    schema: FeatureSchema,
    interactions: pd.DataFrame,
    users: pd.DataFrame | None,
    items: pd.DataFrame | None,
    required: tuple[TableName, ...] = (),
    title: str | None = None,
) -> tuple[Dataset, tuple[AbsentRows, ...]]:
    """What `build_dataset` makes, and which ids lack a row in their table, for a report."""
    user_ids = frame_ids(interactions, "user", table="interactions")
    item_ids = frame_ids(interactions, "item", table="interactions")
    timestamps = frame_timestamps(interactions)
    user_side = encode_side(schema, "user", users, user_ids, required="user" in required)
    item_side = encode_side(schema, "item", items, item_ids, required="item" in required)
    dataset = Dataset(
        name=name,
        schema=schema,
        user_tokens=user_side.tokens,
        item_tokens=item_side.tokens,
        users=_codes(user_ids, user_side.tokens),
        items=_codes(item_ids, item_side.tokens) + np.int32(1),
        timestamps=timestamps,
        user_columns=user_side.columns,
        item_columns=item_side.columns,
        item_titles=frame_titles(items, title, item_side.tokens) if title is not None else (),
        interaction_columns=encode_interactions(schema, interactions),
    )
    return dataset, tuple(side.absent for side in (user_side, item_side) if side.absent)


def _codes(ids: Sequence[str], tokens: tuple[str, ...]) -> npt.NDArray[np.int32]:
    code = {token: index for index, token in enumerate(tokens)}
    if isinstance(ids, CodedTexts):
        return np.array([code[token] for token in ids.texts], np.int32)[ids.codes]
    return np.fromiter((code[token] for token in ids), np.int32, len(ids))


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
