"""The centralized columns that a custom cloud reads, as a version holds them.

    columns.json   name, table, kind and known values of each column
    columns.npz    the values, which only the owner may read, since some are about single users

A version of the library's own cloud has neither: its input space says all that it reads. Known
values keep their codes from version to version, since embeddings have a row for each.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from ecct_tf.data import (
    CentralizedTable,
    CloudView,
    Column,
    EncodedColumn,
    FeatureSchema,
    Kind,
    Side,
)
from ecct_tf.errors import DataError, RegistryError
from ecct_tf.files import read_plain_text, write_text

__all__ = ["StoredColumns", "recoded"]

_ABOUT, _VALUES = "columns.json", "columns.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class StoredColumns:
    """Columns of items and users.

    Attributes:
      items: `items + 1` rows.
      users: `users` rows.
    """

    items: CentralizedTable
    users: CentralizedTable

    @classmethod
    def of(cls, view: CloudView) -> Self:
        """The columns of a view."""
        return cls(view.items, view.users)

    def write(self, folder: Path) -> None:
        """Writes the files into `folder`."""
        columns = (*self.items.columns, *self.users.columns)
        about = [
            {
                "name": each.column.name,
                "table": each.column.table,
                "kind": each.column.kind.value,
                "vocabulary": each.vocabulary,
            }
            for each in columns
        ]
        write_text(folder / _ABOUT, json.dumps(about, ensure_ascii=False, indent=2) + "\n")
        arrays = {str(place): each.values for place, each in enumerate(columns)}
        write_arrays(folder / _VALUES, arrays, private=True)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The columns of a version; None for one of the library's own cloud.

        Raises:
          RegistryError: they are damaged.
        """
        if not (folder / _ABOUT).exists():
            return None
        arrays = read_arrays(folder / _VALUES)
        try:
            about = json.loads(read_plain_text(folder / _ABOUT))
            columns = [
                EncodedColumn(
                    Column(each["name"], each["table"], Side.CENTRALIZED, each["kind"]),
                    arrays[str(place)],
                    tuple(each["vocabulary"]),
                )
                for place, each in enumerate(about)
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RegistryError(
                f"{folder / _ABOUT}: expected the columns of a custom cloud: {error!r}; "
                "restore the version from a copy"
            ) from error
        schema = FeatureSchema("stored", tuple(each.column for each in columns))

        def table(name: str) -> CentralizedTable:
            return CentralizedTable(schema, tuple(c for c in columns if c.column.table == name))

        return cls(table("item"), table("user"))


def recoded(view: CloudView, known: StoredColumns) -> CloudView:
    """`view` with the codes of `known`: values that it has keep them, others come behind.

    Raises:
      DataError: a column has become another kind, or its vectors have another width.
    """
    return dataclasses.replace(
        view,
        items=_recoded(view.items, known.items),
        users=_recoded(view.users, known.users),
    )


def _recoded(table: CentralizedTable, known: CentralizedTable) -> CentralizedTable:
    before = {each.column.name: each for each in known.columns}
    columns = tuple(
        _column(each, before[each.column.name]) if each.column.name in before else each
        for each in table.columns
    )
    return CentralizedTable(table.schema, columns)


def _column(column: EncodedColumn, known: EncodedColumn) -> EncodedColumn:
    where, kind = f"column {column.column.name!r}", column.column.kind
    if kind is not known.column.kind:
        raise DataError(
            f"{where}: expected {known.column.kind.value}, as the promoted version read it, got "
            f"{kind.value}; restore the schema, or begin with start=scratch in a new registry"
        )
    if kind is Kind.VECTOR and column.values.shape[1] != known.values.shape[1]:
        raise DataError(
            f"{where}: expected vectors of {known.values.shape[1]} numbers, as the promoted "
            f"version read them, got {column.values.shape[1]}; they come from another model"
        )
    words = tuple(dict.fromkeys((*known.vocabulary, *column.vocabulary)))
    if kind not in (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL) or words == column.vocabulary:
        return column
    place = {word: number for number, word in enumerate(words)}
    places = np.array([place[word] for word in column.vocabulary], np.int64)
    values: npt.NDArray[Any]
    if kind is Kind.CATEGORICAL:
        values = np.concatenate([[0], 1 + places])[column.values].astype(np.int32)
    else:
        values = np.zeros((column.num_rows, len(words)), np.float32)
        values[:, places] = column.values
    return dataclasses.replace(column, values=values, vocabulary=words)
