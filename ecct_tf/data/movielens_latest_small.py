"""MovieLens latest-small: some 100,000 ratings of 600 to 700 users, and many films.

It has a long tail of films that few rated, and no column of users. GroupLens replaces it from
time to time: the edition of 2016 has 671 users, 9,125 films and 100,004 ratings, that of 2018,
which is downloaded, 610, 9,742 and 100,836. The licence of the data allows to redistribute it
under its own conditions only; it is not shipped.
"""

from __future__ import annotations

from pathlib import Path

from ecct_tf.data._csv_files import read_csv
from ecct_tf.data._movielens_tables import COLUMNS, build_movielens, year_in
from ecct_tf.data._published import ML_LATEST_SMALL, obtain_data
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.schema import FeatureSchema

__all__ = ["MOVIELENS_LATEST_SMALL_SCHEMA", "load_movielens_latest_small"]

MOVIELENS_LATEST_SMALL_SCHEMA = FeatureSchema(
    "movielens-latest-small", tuple(column for column in COLUMNS if column.table == "item")
)
_SIZES = ((671, 9125, 100_004), (610, 9742, 100_836))
_NO_GENRE = "(no genres listed)"


def load_movielens_latest_small(
    *, folder: Path | None = None, cache: Path | None = None, progress: bool = True
) -> Dataset:
    """Loads MovieLens latest-small, downloading it once if it is not at hand.

    Sources, in order: `folder`; the folder in the environment variable
    `ECCT_DATA`; the cache; the official archive, in its edition of 2018. The
    first two hold ratings.csv and movies.csv of any edition, themselves or in
    `ml-latest-small/`; naming a folder without the data is an error.

    Every rating counts as an interaction, whatever its value. Films that
    nobody rated stay in the catalogue. Devices have no profile.

    Args:
      folder: a folder that holds the data.
      cache: where downloads are kept; by default the user's cache folder.
      progress: whether a download draws a bar (only ever on a terminal).

    Raises:
      DataError: no source has the data, or a file is damaged.
    """
    import pandas as pd

    place = obtain_data(ML_LATEST_SMALL, folder=folder, cache=cache, progress=progress)
    ratings_file, films_file = (place / name for name in ML_LATEST_SMALL.layouts[0])
    ratings = read_csv(
        ratings_file, ["userId", "movieId", "timestamp"], separator=",", encoding="utf-8"
    ).columns
    films = read_csv(
        films_file, ["movieId", "title", "genres"], separator=",", encoding="utf-8"
    ).columns
    return build_movielens(
        place,
        schema=MOVIELENS_LATEST_SMALL_SCHEMA,
        interactions=pd.DataFrame(
            {
                "user": ratings["userId"],
                "item": ratings["movieId"],
                "timestamp": ratings["timestamp"],
            }
        ),
        users=None,
        items=pd.DataFrame(
            {
                "item": films["movieId"],
                "title": films["title"],
                "release_year": [year_in(str(title)) for title in films["title"]],
                "genres": [
                    () if genres == _NO_GENRE else tuple(str(genres).split("|"))
                    for genres in films["genres"]
                ],
            }
        ),
        sizes=_SIZES,
    )
