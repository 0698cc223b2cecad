"""What the files of all MovieLens releases have in common."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecct_tf.data._frames import TableName
from ecct_tf.data.dataset import Dataset, build_dataset
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "build_movielens", "read_table", "year_in"]

COLUMNS = (
    Column("gender", "user", Side.FEDERATED, Kind.CATEGORICAL),
    Column("age", "user", Side.FEDERATED, Kind.CATEGORICAL),
    Column("occupation", "user", Side.FEDERATED, Kind.CATEGORICAL),
    Column("release_year", "item", Side.CENTRALIZED, Kind.NUMERIC),
    Column("genres", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL),
)

# The age groups of MovieLens-1M: an exact age would say more than is needed.
_AGE_BORDERS = (18, 25, 35, 45, 50, 56)
_AGE_GROUPS = ("under18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")

_logger = logging.getLogger(__name__)


def build_movielens(
    place: Path,
    *,
    schema: FeatureSchema,
    interactions: pd.DataFrame,
    users: pd.DataFrame | None,
    items: pd.DataFrame,
    sizes: tuple[tuple[int, int, int], ...],
) -> Dataset:
    """Encodes the tables of one release.

    Args:
      place: where they were read, for messages.
      schema: with `COLUMNS`, or those of the items; its name becomes the data set's.
      interactions: columns `user`, `item`, `timestamp`.
      users: columns `user`, `gender`, `age` (a number, which is grouped), `occupation`; None if
        the release says nothing of users.
      items: columns `item`, `title`, `release_year`, `genres`.
      sizes: users, items and ratings of each edition of the release; others are warned of.
    """
    # The releases are complete: what lacks a row was cut short.
    required: tuple[TableName, ...] = ("item",)
    if users is not None:
        required = ("user", "item")
        users["age"] = [_age_group(age) for age in users["age"]]
    try:
        dataset = build_dataset(
            name=schema.name,
            schema=schema,
            interactions=interactions,
            users=users,
            items=items,
            required=required,
            title="title",
        )
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    received = (dataset.num_users, dataset.num_items, dataset.num_interactions)
    if received not in sizes:
        expected = " or ".join(map(str, sizes))
        _logger.warning(
            "%s: expected %s users, items, ratings, read %s.", place, expected, received
        )
    return dataset


def read_table(
    path: Path, names: list[str], *, separator: str, encoding: str, header: bool
) -> pd.DataFrame:
    """Reads a file as text columns called `names`; `DataError` if a line is short or long."""
    import pandas as pd

    try:
        source: Path | io.StringIO = path
        if len(separator) > 1:
            # pandas would read it ten times slower, as a regular expression.
            source = io.StringIO(path.read_text(encoding=encoding).replace(separator, "\t"))
            separator = "\t"
        # Everything stays text: pandas would read a title "NA" as missing.
        frame = pd.read_csv(
            source,
            sep=separator,
            encoding=encoding,
            header=0 if header else None,
            dtype=str,
            keep_default_na=False,
            quoting=3,
            index_col=False,
        )
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path}: cannot be read as a table: {error}.") from error
    first, last = frame.iloc[:, 0], frame.iloc[:, -1]
    blank = np.flatnonzero((first == "") | (last == "") | last.isna())
    if len(frame.columns) != len(names) or len(blank):
        raise DataError(
            f"{path}: expected {len(names)} fields ({', '.join(names)}) in each line, received "
            f"{len(frame.columns)}"
            + (f" and a short line, row {blank[0]} (from 0)" if len(blank) else "")
            + ". The file is cut short or of another layout: fetch it again."
        )
    frame.columns = names
    return frame


def year_in(title: str) -> str:
    """The year in brackets at the end of a film's title; empty if there is none."""
    years: list[str] = re.findall(r"\((\d{4})\)", title)
    return years[-1] if years else ""


def _age_group(age: str) -> str:
    if not (age.isascii() and age.isdigit()):
        return ""
    return _AGE_GROUPS[int(np.searchsorted(_AGE_BORDERS, int(age), side="right"))]
