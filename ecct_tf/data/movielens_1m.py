"""MovieLens-1M: 6,040 users, 3,883 films, 1,000,209 ratings, with timestamps.

The licence is that of MovieLens-100K: the data is fetched by whoever uses it,
and must never be committed or shipped in a package.
"""

from __future__ import annotations

from pathlib import Path

from ecct_tf.data._movielens_tables import COLUMNS, build_movielens, read_table, year_in
from ecct_tf.data._published import ML_1M, obtain_data
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.schema import FeatureSchema

__all__ = ["MOVIELENS_1M_SCHEMA", "load_movielens_1m"]

MOVIELENS_1M_SCHEMA = FeatureSchema("movielens-1m", COLUMNS)
_SIZE = (6040, 3883, 1_000_209)


def load_movielens_1m(
    *, folder: Path | None = None, cache: Path | None = None, progress: bool = True
) -> Dataset:
    """Loads MovieLens-1M, downloading it once if it is not at hand.

    Sources, in order: `folder`; the folder in the environment variable
    `ECCT_DATA`; the cache; the official archive. The first two hold
    ratings.dat, users.dat and movies.dat, themselves or in `ml-1m/`; naming a
    folder without the data is an error. The zip code is not loaded.

    Every rating counts as an interaction, whatever its value.

    Args:
      folder: a folder that holds the data.
      cache: where downloads are kept; by default the user's cache folder.
      progress: whether a download draws a bar (only ever on a terminal).

    Raises:
      DataError: no source has the data, or a file is damaged.
    """
    place = obtain_data(ML_1M, folder=folder, cache=cache, progress=progress)
    interactions, users, items = (
        read_table(place / name, names, separator="::", encoding="latin-1", header=False)
        for name, names in zip(
            ML_1M.layouts[0],
            (
                ["user", "item", "rating", "timestamp"],
                ["user", "gender", "age", "occupation", "zip"],
                ["item", "title", "genres"],
            ),
            strict=True,
        )
    )
    items["release_year"] = [year_in(title) for title in items["title"]]
    items["genres"] = [tuple(genres.split("|")) for genres in items["genres"]]
    return build_movielens(
        place,
        schema=MOVIELENS_1M_SCHEMA,
        interactions=interactions,
        users=users,
        items=items,
        sizes=(_SIZE,),
    )
