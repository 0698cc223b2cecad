"""A run on data that a program handed over is filed as what it is, and asks for it again."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from ecct_tf.config import DataConfig, dump_config, load_config
from ecct_tf.data import (
    Column,
    FeatureSchema,
    Kind,
    Side,
    build_dataset,
    described,
    load_dataset,
    load_files,
)
from ecct_tf.errors import CheckpointError, ConfigError, DataError
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate


def _shop(*, town="Rome", name="shop"):
    rows = [(f"c{user}", f"p{(7 * user + step) % 60}") for user in range(20) for step in range(6)]
    interactions = pd.DataFrame(rows, columns=["user", "item"]).assign(timestamp=range(len(rows)))
    users = pd.DataFrame({"user": [f"c{user}" for user in range(20)]}).assign(town="Oslo")
    users.loc[0, "town"] = town
    column = Column("town", "user", Side.FEDERATED, Kind.CATEGORICAL)
    return build_dataset(
        name=name, schema=FeatureSchema(name, (column,)), interactions=interactions, users=users
    )


@pytest.fixture(scope="module")
def shop():
    return _shop()


@pytest.fixture(scope="module")
def config():
    overrides = ["method=popularity", "baselines=false", "evaluation.negatives=20"]
    return load_config(overrides=overrides)


@pytest.fixture(scope="module")
def finished(shop, config, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    simulate(config, out=path, dataset=shop)
    return path


def test_the_run_is_filed_under_the_name_of_its_data(finished, shop):
    data = yaml.safe_load((finished / "config.yaml").read_text())["data"]
    assert (data["dataset"], data["name"]) == ("in-memory", "shop")
    assert data["fingerprint"] == shop.fingerprint()
    assert RunFolder.open(finished).config.data.fingerprint == shop.fingerprint()


def test_its_configuration_never_loads_something_else(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("ecct_tf.data.sources.load_named", pytest.fail)
    again = load_config(finished / "config.yaml")
    with pytest.raises(DataError) as caught:
        simulate(again, out=tmp_path / "again")
    message = str(caught.value)
    assert "the data set 'shop' (SHA-256 " in message
    assert again.data.fingerprint in message
    assert "simulate(config, dataset=...)" in message
    assert not (tmp_path / "again").exists()
    with pytest.raises(DataError, match="cannot be loaded"):
        load_dataset(DataConfig(dataset="in-memory"), seed=0)


def _unfinished(finished, path):
    """A copy of the run, as a kill before its first checkpoint leaves it."""
    path.mkdir()
    for name in ("config.yaml", "environment.json"):
        (path / name).write_text((finished / name).read_text())
    (path / "status.json").write_text(json.dumps({"status": "interrupted", "round": 0}))
    return path


def test_resume_asks_for_the_data_and_takes_no_other(finished, shop, tmp_path):
    path = _unfinished(finished, tmp_path / "run")
    with pytest.raises(DataError, match=r"'shop' .*resume\(path, dataset=\.\.\.\)"):
        resume(path)
    with pytest.raises(CheckpointError) as caught:
        resume(path, dataset=_shop(town="Paris"))
    assert "the data is not what the run began with" in str(caught.value)
    assert shop.fingerprint() in str(caught.value)
    assert RunFolder.open(path).status == "interrupted"
    # The same data made once more is the same data.
    assert [row.method for row in resume(path, dataset=_shop()).rows] == ["popularity"]


def test_a_run_of_named_data_takes_no_other_either(finished, config, shop, tmp_path):
    path = _unfinished(finished, tmp_path / "run")
    (path / "config.yaml").write_text(dump_config(config))
    with pytest.raises(
        CheckpointError, match=r"expected movielens-100k, received .* 'shop' in mem"
    ):
        resume(path, dataset=shop)


def test_loaded_data_keeps_its_name_and_other_settings_do_not_lend_it_theirs(tmp_path):
    synthetic = DataConfig(dataset="synthetic", synthetic_users=8, synthetic_items=120)
    dataset = load_dataset(synthetic, seed=3)
    assert described(synthetic, dataset, seed=3) is synthetic
    for other, seed in (
        (synthetic, 4),
        (dataclasses.replace(synthetic, synthetic_users=9), 3),
        (DataConfig(), 3),
    ):
        found = described(other, dataset, seed=seed)
        assert (found.dataset, found.name) == ("in-memory", "synthetic")
    (tmp_path / "r.csv").write_text("user,item,timestamp\na,b,1\n")
    (tmp_path / "schema.yaml").write_text("name: mine\ninteractions: {path: r.csv}\n")
    files = DataConfig(dataset="files", schema=str(tmp_path / "schema.yaml"))
    assert described(files, load_dataset(files, seed=0), seed=0) is files
    # Loaded by hand, nothing says by which settings.
    by_hand, _ = load_files(tmp_path / "schema.yaml")
    assert described(files, by_hand, seed=0).name == "mine"


def test_a_fingerprint_is_of_everything_but_the_name(shop):
    assert _shop(name="other").fingerprint() == shop.fingerprint()
    changed = [
        dataclasses.replace(shop, user_tokens=("x", *shop.user_tokens[1:])),
        dataclasses.replace(shop, item_tokens=("x", *shop.item_tokens[1:])),
        dataclasses.replace(shop, timestamps=shop.timestamps + 1),
        dataclasses.replace(shop, users=np.roll(shop.users, 1)),
        _shop(town="Paris"),
    ]
    assert len({each.fingerprint() for each in (shop, *changed)}) == 6


def test_other_data_under_a_known_fingerprint_is_refused(shop):
    known = described(DataConfig(), shop, seed=0)
    with pytest.raises(DataError, match="expected the data set 'shop' with SHA-256"):
        described(known, _shop(town="Paris"), seed=0)
    for key in ("name", "fingerprint"):
        with pytest.raises(ConfigError, match=rf"data\.{key}: expected null but for"):
            DataConfig(**{key: "x"})
