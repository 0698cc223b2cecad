"""MovieLens-1M from tiny files of its layout; the download itself is tested with 100K."""

import pytest

from ecct_tf.data import MOVIELENS_1M_SCHEMA, load_movielens_1m
from ecct_tf.data._downloads import Archive, Package
from ecct_tf.errors import DataError

FILES = {
    "ratings.dat": "2::1::5::978300760\n1::10::1::978300700\n1::1::3::978300760\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n3::M::25::15::55117\n",
    "movies.dat": (
        "1::Toy Story (1995)::Animation|Children's|Comedy\n"
        "2::Misérables, Les (1995)::Drama\n"
        "10::Star: Wars (1977)::Sci-Fi\n"
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("ECCT_DATA", raising=False)
    place = tmp_path / "data" / "ml-1m"
    place.mkdir(parents=True)
    for name, content in FILES.items():
        (place / name).write_bytes(content.encode("latin-1"))
    return place


def test_by_hand(folder):
    dataset = load_movielens_1m(folder=folder)
    assert dataset.name == "movielens-1m"
    assert dataset.schema == MOVIELENS_1M_SCHEMA
    assert dataset.user_tokens == ("1", "2", "3")
    assert dataset.item_tokens == ("1", "2", "10")
    assert dataset.users.tolist() == [1, 0, 0]  # file order
    assert dataset.items.tolist() == [1, 3, 1]
    assert dataset.timestamps.tolist() == [978300760, 978300700, 978300760]
    gender, age, occupation = dataset.user_columns
    assert gender.values.tolist() == [1, 2, 2]
    assert [age.vocabulary[code - 1] for code in age.values] == ["under18", "56+", "25-34"]
    assert occupation.vocabulary == ("10", "15", "16")
    year, genres = dataset.item_columns
    assert year.values.tolist() == [0, 1995, 1995, 1977]
    assert genres.vocabulary == ("Animation", "Children's", "Comedy", "Drama", "Sci-Fi")
    assert genres.values[1].tolist() == [1, 1, 1, 0, 0]


def test_another_size_than_the_release_is_told(folder, caplog):
    load_movielens_1m(folder=folder)
    assert "expected (6040, 3883, 1000209) users, items, ratings, read (3, 3, 3)" in caplog.text


def test_found_below_the_environment_variable(folder, monkeypatch):
    monkeypatch.setenv("ECCT_DATA", str(folder.parent))
    assert load_movielens_1m().num_users == 3


def test_a_folder_without_the_data(folder, monkeypatch):
    (folder / "users.dat").unlink()
    with pytest.raises(DataError, match=r"must hold ratings\.dat, users\.dat, movies\.dat.*ml-1m/"):
        load_movielens_1m(folder=folder)
    monkeypatch.setenv("ECCT_DATA", str(folder.parent))
    with pytest.raises(DataError, match="environment variable ECCT_DATA"):
        load_movielens_1m()


@pytest.mark.parametrize("damage", ["1::2::3\n", "1::2::3::4\n5::6\n", "", "1,2,3,4\n"])
def test_a_damaged_file_is_named(folder, damage):
    (folder / "ratings.dat").write_text(damage)
    with pytest.raises(DataError, match=r"ratings\.dat"):
        load_movielens_1m(folder=folder)


def test_downloaded_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("ECCT_DATA", raising=False)
    asked = []

    def official(archive, _temporary, *, progress):
        asked.append((archive.url, archive.known_hash, progress))
        return {name: content.encode("latin-1") for name, content in FILES.items()}

    monkeypatch.setattr(Archive, "fetch", official)
    for _ in range(2):
        assert load_movielens_1m(cache=tmp_path, progress=False).num_items == 3
    assert asked == [
        (
            "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            "md5:c4d9eecfca2ab87c1945afe126590906",
            False,
        )
    ]
    (tmp_path / "ml-1m" / "movies.dat").write_text("cut")
    with pytest.raises(DataError, match=r"movies\.dat: the file was altered or cut short"):
        load_movielens_1m(cache=tmp_path)


def test_the_mirror_of_100k_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("ECCT_DATA", raising=False)

    def no_network(*_args, **_kwargs):
        raise ConnectionError("the test has no network")

    monkeypatch.setattr(Archive, "fetch", no_network)
    monkeypatch.setattr(Package, "fetch", lambda *_a, **_k: pytest.fail("asked the mirror"))
    with pytest.raises(DataError) as caught:
        load_movielens_1m(cache=tmp_path / "cache")
    assert "MovieLens-1M is not on this machine" in str(caught.value)
    assert "recbole" not in str(caught.value)
    assert not (tmp_path / "cache").exists()
