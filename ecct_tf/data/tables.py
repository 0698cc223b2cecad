"""Encoded columns, and the two table types that keep the sides apart.

`CentralizedTable` cannot be built with a federated column, nor
`FederatedTable` with a centralized one: privacy does not rest on a caller's
care. What counts is the tag in the *schema*, looked up by name, so that a
column that carries a forged tag is refused as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import owned
from ecct_tf.data.numbers import NUMBER_ROWS
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.errors import DataError, PrivacyError

__all__ = ["CentralizedTable", "EncodedColumn", "FederatedTable"]


@dataclass(frozen=True, eq=False)
class EncodedColumn:
    """One column's values as numbers, read-only.

    Attributes:
      column: the declaration.
      values: categorical: `[rows] int32`, 0 is unknown and k is
        `vocabulary[k - 1]`; multi-categorical: `[rows, len(vocabulary)]
        float32` multi-hot; numeric: `[rows] float32`, finite; private numeric: `[rows] int32`,
        codes as in `ecct_tf.data.numbers`, 0 is unknown; vector: `[rows, width] float32`, finite.
      vocabulary: the known values in code order; empty for numeric columns and vectors.
      missing: how many raw values were absent (numeric: replaced by the mean, private numeric by
        the unknown value; vector: by zeros).
    """

    column: Column
    values: npt.NDArray[Any]
    vocabulary: tuple[str, ...] = ()
    missing: int = 0

    def __post_init__(self) -> None:
        where = f"column {self.column.name!r} ({self.column.kind.value})"
        coded = self.column.kind is Kind.CATEGORICAL or self.column.is_private_number
        dtype = np.int32 if coded else np.float32
        received = np.asarray(self.values)
        many = self.column.kind is Kind.MULTI_CATEGORICAL
        ndim = 2 if many or self.column.kind is Kind.VECTOR else 1
        if received.ndim != ndim or received.dtype != dtype:
            raise DataError(
                f"{where}: expected {ndim} axes of {np.dtype(dtype)}, received shape "
                f"{list(received.shape)} of {received.dtype}. Encode raw values with "
                "build_dataset."
            )
        if many and received.shape[1] != len(self.vocabulary):
            raise DataError(
                f"{where}: expected one column per vocabulary entry ({len(self.vocabulary)}), "
                f"received {received.shape[1]}."
            )
        if not coded and not np.isfinite(received).all():
            row = int(np.argwhere(~np.isfinite(received))[0][0])
            raise DataError(f"{where}: expected finite values, row {row} is not. Fill or drop it.")
        if coded and received.size:
            low, high = int(received.min()), int(received.max())
            last = NUMBER_ROWS - 1 if self.column.is_private_number else len(self.vocabulary)
            if low < 0 or high > last:
                raise DataError(f"{where}: expected codes in 0..{last}, received {low}..{high}.")
        object.__setattr__(self, "values", owned(received, dtype))
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    def take(self, start: int, stop: int) -> EncodedColumn:
        """Returns a column that holds a copy of rows `start..stop-1` only."""
        # `missing` speaks of the whole column, so a part of it must not tell.
        return replace(self, values=self.values[start:stop], missing=0)

    def copy(self) -> EncodedColumn:
        """Returns an equal column with memory of its own."""
        return replace(self)


@dataclass(frozen=True, eq=False)
class _TaggedTable:
    """Columns of one side; refuses the other side's columns."""

    schema: FeatureSchema
    columns: tuple[EncodedColumn, ...]
    _side: ClassVar[Side]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        kind = type(self).__name__
        declared = {column.name: column for column in self.schema.columns}
        for encoded in self.columns:
            column = declared.get(encoded.column.name)
            if column is None:
                raise PrivacyError(
                    f"{kind}: column {encoded.column.name!r} is not declared in schema "
                    f"{self.schema.name!r} (declared: {sorted(declared)}). Declare it with a tag."
                )
            if column.side is not self._side or encoded.column != column:
                raise PrivacyError(
                    f"{kind}: expected {self._side.value} columns, received {column.name!r}, "
                    f"which schema {self.schema.name!r} tags {column.side.value!r} (the column "
                    f"itself says {encoded.column.side.value!r}). Leave it out, or change its "
                    "tag in the schema if it may be on this side."
                )
        if len(set(self.names)) != len(self.names):
            raise DataError(f"{kind}: a column occurs more than once in {list(self.names)}.")
        rows = {encoded.num_rows for encoded in self.columns}
        if len(rows) > 1:
            raise DataError(f"{kind}: expected columns of equal length, received {sorted(rows)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in order."""
        return tuple(encoded.column.name for encoded in self.columns)

    @property
    def num_rows(self) -> int:
        """Number of rows; 0 for a table without columns."""
        return self.columns[0].num_rows if self.columns else 0

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> EncodedColumn:
        for encoded in self.columns:
            if encoded.column.name == name:
                return encoded
        if any(c.name == name and c.side is not self._side for c in self.schema.columns):
            raise PrivacyError(
                f"{type(self).__name__}: column {name!r} exists on the other side only; "
                f"here are {list(self.names)}."
            )
        raise DataError(f"{type(self).__name__}: no column {name!r}; here are {list(self.names)}.")


@dataclass(frozen=True, eq=False)
class CentralizedTable(_TaggedTable):
    """Columns that the cloud may hold; raises `PrivacyError` on any other."""

    _side: ClassVar[Side] = Side.CENTRALIZED


@dataclass(frozen=True, eq=False)
class FederatedTable(_TaggedTable):
    """Columns that only a device may hold; raises `PrivacyError` on any other."""

    _side: ClassVar[Side] = Side.FEDERATED
