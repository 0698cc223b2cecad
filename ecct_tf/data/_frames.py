"""Tables in memory, encoded: ids, times, and the columns of users and items."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ecct_tf.data._cells import CodedTexts, distinct_texts
from ecct_tf.data._ids import canonical_id, id_text, line_break_in, refuse_look_alikes
from ecct_tf.data.encoding import encode_column, sort_tokens
from ecct_tf.data.schema import FeatureSchema
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.errors import DataError
from ecct_tf.plain_text import shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AbsentRows",
    "EncodedSide",
    "TableName",
    "as_category",
    "encode_interactions",
    "encode_side",
    "frame_ids",
    "frame_timestamps",
    "frame_titles",
    "texts_of",
]

TableName = Literal["user", "item"]

_SHOWN = 3


@dataclass(frozen=True)
class AbsentRows:
    """Ids of the interactions that have no row in their table.

    Attributes:
      table: `user` or `item`.
      ids: they, in the order of their numbers.
      of: how many different ids the interactions have.
    """

    table: TableName
    ids: tuple[str, ...]
    of: int

    @property
    def told(self) -> str:
        """How many there are and what follows, without the table's name.

        >>> AbsentRows("user", ("7", "9"), 5).told
        "2 of the 5 users with interactions have no row ('7', '9'); their columns are unknown"
        """
        shown = ", ".join(map(repr, self.ids[:_SHOWN]))
        more = ", …" if len(self.ids) > _SHOWN else ""
        has, their = ("has", "its") if len(self.ids) == 1 else ("have", "their")
        return (
            f"{len(self.ids):,} of the {self.of:,} {self.table}s with interactions {has} no row "
            f"({shown}{more}); {their} columns are unknown"
        )


@dataclass(frozen=True, eq=False)
class EncodedSide:
    """All users, or all items.

    Attributes:
      tokens: their ids in the order of their numbers.
      columns: the encoded columns, in the same order (items: behind the padding row).
      absent: those without a row in the table; None if there are none, or no table.
    """

    tokens: tuple[str, ...]
    columns: tuple[EncodedColumn, ...] = ()
    absent: AbsentRows | None = None


def encode_side(
    schema: FeatureSchema,
    key: TableName,
    frame: pd.DataFrame | None,
    seen: Sequence[str],
    *,
    required: bool,
) -> EncodedSide:
    """Encodes the table of users or of items.

    Args:
      schema: declares the columns.
      key: which table, and the name of its column of ids.
      frame: the table; None if there is none.
      seen: the ids of the interactions, row by row.
      required: whether each of them must have a row.

    Raises:
      DataError: a column is missing, an id repeated; an id lacks its row and is `required`, or
        no id of the interactions has one.
    """
    declared = schema.select(table=key)
    if frame is None:
        if declared:
            raise DataError(
                f"schema {schema.name!r} declares {key} columns {[c.name for c in declared]} but "
                f"no {key}s table was given. Give one, or take the columns out of the schema."
            )
        return EncodedSide(sort_tokens(distinct_texts(seen)))
    ids = frame_ids(frame, key, table=f"{key}s")
    row_of = {token: row for row, token in enumerate(ids)}
    if len(row_of) != len(ids):
        row = next(row for row, token in enumerate(ids) if row_of[token] != row)
        raise DataError(
            f"{key}s table: ids must be unique, {ids[row]!r} (row {row}, column {key!r}) occurs "
            "again below. Keep one row an id."
        )
    distinct = set(distinct_texts(seen))
    absent = sort_tokens(distinct - row_of.keys())
    _refuse_absent(key, seen, ids, absent=set(absent), of=len(distinct), required=required)
    # What has no row comes behind the rows, so that an error names the table's own row.
    row_of.update({token: len(ids) + place for place, token in enumerate(absent)})
    tokens = sort_tokens(row_of)
    padding = key == "item"
    order = np.array([row_of[token] + padding for token in tokens], np.int64)
    if padding:
        order = np.concatenate([[0], order])
    columns = []
    for column in declared:
        raw = _column(frame, column.name, table=f"{key}s").tolist() + [None] * len(absent)
        encoded = encode_column(column, raw, padding=padding)
        columns.append(replace(encoded, values=encoded.values[order]))
    return EncodedSide(
        tokens, tuple(columns), AbsentRows(key, absent, len(distinct)) if absent else None
    )


def encode_interactions(
    schema: FeatureSchema, interactions: pd.DataFrame
) -> tuple[EncodedColumn, ...]:
    """The interaction columns of a schema, a row each interaction.

    Raises:
      DataError: the table lacks one.
    """
    return tuple(
        encode_column(
            column,
            _column(interactions, column.name, table="interactions").tolist(),
            padding=False,
        )
        for column in schema.select(table="interaction")
    )


def _refuse_absent(
    key: TableName,
    seen: Sequence[str],
    ids: Sequence[str],
    *,
    absent: set[str],
    of: int,
    required: bool,
) -> None:
    if absent and required:
        row = next(row for row, token in enumerate(seen) if token in absent)
        raise DataError(
            f"interactions table: row {row} (from 0), column {key!r}: {seen[row]!r} is not in "
            f"the {key}s table, which is required to have all {of} ids and lacks {len(absent)}. "
            "Add the rows, drop the interactions, or let the table be partial."
        )
    if absent and len(absent) == of:
        shown = ", ".join(map(repr, ids[:_SHOWN])) or "none"
        raise DataError(
            f"interactions table: column {key!r}: none of the {of} ids, such as {seen[0]!r}, is "
            f"in the {key}s table, whose ids are {shown}{', …' if len(ids) > _SHOWN else ''}. "
            "The tables do not belong together, or write their ids in different ways."
        )


def _column(frame: pd.DataFrame, name: str, *, table: str) -> Any:
    if name not in frame.columns:
        raise DataError(
            f"{table} table: column {name!r} is missing, received {list(frame.columns)}. "
            "Add or rename the column."
        )
    return frame[name]


def as_category(texts: Sequence[str]) -> Any:
    """Texts as a column of a table: of codes, where they are known by them."""
    import pandas as pd

    if not isinstance(texts, CodedTexts):
        return texts
    return pd.Categorical.from_codes(texts.codes, categories=texts.texts)


def texts_of(series: pd.Series) -> Sequence[str]:
    """What `as_category` made a column of."""
    if series.dtype.name != "category":
        texts: list[str] = series.tolist()
        return texts
    return CodedTexts.of(series.cat.categories.tolist(), series.cat.codes.to_numpy())


def frame_ids(frame: pd.DataFrame, name: str, *, table: str) -> Sequence[str]:
    """The ids of the column `name` as text; `DataError` if one is missing or none."""
    series = _column(frame, name, table=table)
    absent = np.flatnonzero(series.isna().to_numpy())
    if len(absent):
        raise DataError(
            f"{table} table: row {absent[0]} (from 0), column {name!r}: the id is missing. "
            "Drop the row or give it an id."
        )
    if series.dtype.name == "category":
        known = texts_of(series)
        if isinstance(known, CodedTexts) and all(isinstance(text, str) for text in known.texts):
            # What is wrong is shown row by row below.
            canonical = [canonical_id(text) for text in known.texts]
            if all(text and not line_break_in(text) for text in canonical):
                refuse_look_alikes(f"{table} table: column {name!r}", canonical)
                return known.renamed(canonical)
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


def frame_titles(items: pd.DataFrame | None, name: str, tokens: Sequence[str]) -> tuple[str, ...]:
    """The title of each item of `tokens`, one line of text; empty where the table has none.

    Raises:
      DataError: there is no table, or it has no column `name`.
    """
    if items is None:
        raise DataError(
            f"titles: expected an items table with the column {name!r}, received none. Give the "
            "table, or leave the title out."
        )
    titles = _column(items, name, table="items")
    missing = titles.isna().tolist()
    found = {
        token: "" if absent else _one_line(str(title))
        for token, title, absent in zip(
            frame_ids(items, "item", table="items"), titles.tolist(), missing, strict=True
        )
    }
    return tuple(found.get(token, "") for token in tokens)


def _one_line(text: str) -> str:
    r"""`text` without line breaks and what a terminal would obey.

    >>> _one_line("Tea \n and\x1b[2J milk")
    'Tea and [2J milk'
    """
    kept = (" " if unicodedata.category(each) == "Cc" else each for each in text)
    return " ".join("".join(kept).split())


def frame_timestamps(interactions: pd.DataFrame) -> npt.NDArray[np.int64]:
    """`[rows] int64` seconds; `DataError` if one is no whole number from 0."""
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
            f"from 0, received {shown(series.iloc[row])}. Fix or drop the row."
        )
    return np.asarray(numbers, np.int64)
