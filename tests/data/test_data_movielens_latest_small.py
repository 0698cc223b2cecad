"""MovieLens latest-small from tiny files of its layout, and the real ones if they are there."""

import pytest

from ecct_tf.config import DataConfig
from ecct_tf.data import (
    MOVIELENS_LATEST_SMALL_SCHEMA,
    load_dataset,
    load_movielens_latest_small,
)
from ecct_tf.data._downloads import Archive
from ecct_tf.errors import DataError

FILES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n2,1,2.5,30\n10,3,3.0,20\n2,30,4.0,10\n",
    "movies.csv": (
        "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Children\n"
        '30,"Misérables, Les (1995)",Drama\n'
        "3,Nameless,(no genres listed)\n"
        '4,"""Great"" One, The (1960)",Sci-Fi|Drama\n'
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("ECCT_DATA", raising=False)
    place = tmp_path / "data" / "ml-latest-small"
    place.mkdir(parents=True)
    for name, content in FILES.items():
        (place / name).write_text(content, encoding="utf-8")
    return place


def test_by_hand(folder, caplog):
    dataset = load_dataset(
        DataConfig(dataset="movielens-latest-small", folder=str(folder.parent)), seed=0
    )
    assert dataset.schema == MOVIELENS_LATEST_SMALL_SCHEMA
    assert dataset.user_tokens == ("2", "10")
    assert dataset.item_tokens == ("1", "3", "4", "30")
    assert dataset.users.tolist() == [0, 1, 0]
    assert dataset.items.tolist() == [1, 2, 4]
    assert dataset.timestamps.tolist() == [30, 20, 10]
    assert dataset.user_columns == ()
    assert dataset.title(1).endswith("(1995)")
    year, genres = dataset.item_columns
    assert year.values.tolist() == pytest.approx([0, 1995, (2 * 1995 + 1960) / 3, 1960, 1995])
    assert genres.vocabulary == ("Adventure", "Children", "Drama", "Sci-Fi")
    assert genres.values.tolist()[1:] == [[1, 1, 0, 0], [0] * 4, [0, 0, 1, 1], [0, 0, 1, 0]]
    assert (year.missing, genres.missing) == (1, 1)
    assert "(671, 9125, 100004) or (610, 9742, 100836) users, items, ratings, read (2" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ratings.csv", "userId,movieId\n1,1\n", r"ratings\.csv: the column 'timestamp'"),
        ("ratings.csv", "userId,movieId,timestamp\n1,1\n", r"ratings\.csv: line 2: expected 3"),
        ("ratings.csv", FILES["ratings.csv"] + "2,99,1.0,4\n", r"ml-latest-small: .*'99' is not"),
        ("movies.csv", "", r"movies\.csv: the file is empty"),
    ],
)
def test_a_damaged_file_is_named(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_movielens_latest_small(folder=folder)


def test_downloaded_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("ECCT_DATA", raising=False)
    asked = []

    def official(archive, _temporary, *, progress):
        asked.append((archive.url, archive.known_hash[:15], progress))
        return {name: content.encode() for name, content in FILES.items()}

    monkeypatch.setattr(Archive, "fetch", official)
    for _ in range(2):
        assert load_movielens_latest_small(cache=tmp_path, progress=False).num_items == 4
    url = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
    assert asked == [(url, "sha256:696d65a3", False)]


def test_real_data(real_folder):
    if not (real_folder / "ml-latest-small").is_dir():
        pytest.skip("MovieLens latest-small is not at hand")
    dataset = load_movielens_latest_small(folder=real_folder)
    size = (dataset.num_users, dataset.num_items, dataset.num_interactions)
    assert size in ((671, 9125, 100_004), (610, 9742, 100_836))
    _, genres = dataset.item_columns
    assert len(genres.vocabulary) == 19
