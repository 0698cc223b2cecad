"""Data sets that a user brings by name: found, called, recorded, refused where they are wrong."""

import sys

import numpy as np
import pytest

from ecct_tf.config import DataConfig, dataset_names
from ecct_tf.data import changed_datasets, dataset_origins, load_dataset, load_named
from ecct_tf.errors import ConfigError

SOURCE = """
import pandas as pd

import ecct_tf as ecct


def clicks(folder=None, *, users=3):
    rows = [(f"u{u}", f"i{k}", 10 * k + u) for u in range(users) for k in range(5)]
    table = pd.DataFrame(rows, columns=["user", "item", "timestamp"])
    data = ecct.from_frames(table, name="clicks")
    return data if folder is None else (folder / "clicks.txt").read_text() and data


def anything(**told):
    assert set(told) == {"folder", "progress"}
    return clicks()


def without_folder():
    return clicks()


def needy(path):
    return clicks()


def frame():
    return pd.DataFrame()


def failing():
    return {}["price"]
"""


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    (tmp_path / "own_clicks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own_clicks", None)


@pytest.mark.usefixtures("own_data")
def test_a_function_is_a_data_set() -> None:
    dataset = load_dataset(DataConfig(dataset="own_clicks:clicks", keep_first=4), seed=1)
    assert (dataset.name, dataset.num_users, dataset.num_items) == ("clicks", 3, 5)
    np.testing.assert_array_equal(np.bincount(dataset.users), [4, 4, 4])
    assert load_named("own_clicks:anything").num_users == 3


def test_a_function_is_told_the_folder(own_data) -> None:
    (own_data / "clicks.txt").write_text("there")
    config = DataConfig(dataset="own_clicks:clicks", folder=str(own_data))
    assert load_dataset(config, seed=0).num_users == 3


@pytest.mark.usefixtures("own_data")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_clicks:needy", "expected a function that can be called without path"),
        ("own_clicks:frame", "to return an ecct_tf.Dataset.*got DataFrame"),
        ("own_clicks:failing", "failed at own_clicks.py, line 32: KeyError: 'price'"),
        ("own_clicks:klicks", "did you mean own_clicks:clicks"),
        ("no_such_module:clicks", "there is no module no_such_module"),
    ],
)
def test_what_is_no_data_set_is_refused_by_name(name, message) -> None:
    with pytest.raises(ConfigError, match=f"data.dataset '{name}'.*{message}"):
        load_dataset(DataConfig(dataset=name), seed=0)


def test_a_folder_that_nobody_reads_is_refused(own_data) -> None:
    config = DataConfig(dataset="own_clicks:without_folder", folder=str(own_data))
    with pytest.raises(ConfigError, match=r"data\.folder: expected null with data\.dataset"):
        load_dataset(config, seed=0)


@pytest.mark.parametrize("name", ["foo", "my-pkg:data", ":data", "movielens-100K"])
def test_what_names_nothing_is_refused_with_the_settings(name) -> None:
    with pytest.raises(ConfigError, match=r"data\.dataset: expected a (data set|name)"):
        DataConfig(dataset=name)


@pytest.mark.usefixtures("own_data")
def test_a_package_registers_a_name(monkeypatch) -> None:
    from importlib import metadata

    point = metadata.EntryPoint("clicks", "own_clicks:clicks", "ecct_tf.datasets")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])
    assert dataset_names()["clicks"] == "own_clicks:clicks"
    assert load_dataset(DataConfig(dataset="clicks"), seed=0).num_users == 3


def test_changed_source_is_noticed(own_data) -> None:
    name = "own_clicks:clicks"
    recorded = dataset_origins(name)
    assert dataset_origins("synthetic") == {} == dataset_origins("in-memory")
    assert changed_datasets(name, recorded) == []
    (own_data / "own_clicks.py").write_text(SOURCE + "\n# another day\n")
    [change] = changed_datasets(name, recorded)
    assert "data.dataset 'own_clicks:clicks'" in change
    assert "source SHA-256" in change
