"""Whole methods with private numbers: who reads them, and that they stay where they are."""

import dataclasses
import zipfile

import numpy as np
import pytest

from ecct_tf.data import cloud_view, load_dataset
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.simulate import simulate


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(
        "features.history_length=5",
        "cloud.fit_epochs=1",
        "cloud.next_item.epochs=0",
        "exchange.stage_1_rounds=0",
        "edge.tiers={linear: 1.0}",
        "runtime.engine=local",
    )


@pytest.fixture(scope="module")
def plain(config):
    return load_dataset(config.data, seed=0, progress=False)


@pytest.fixture(scope="module")
def pay(plain):
    return np.random.default_rng(8).uniform(10_000, 90_000, plain.num_users)


def scores(config, dataset):
    experiment = build_experiment(config, dataset=dataset, progress=False)
    algorithm = build_algorithm(experiment)
    return algorithm.scores(algorithm.initialize(), experiment.test)


@pytest.mark.parametrize("method", ["ecct", "fedavg"])
def test_models_with_private_columns_read_the_numbers(method, config, plain, pay, with_pay):
    config = dataclasses.replace(config, method=method)
    before = scores(config, with_pay(plain, pay))
    after = scores(config, with_pay(plain, pay * 2))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    # The cloud's own scores stay: it has no such column.
    assert changed == {"edge"}


def test_the_view_of_the_cloud_does_not_depend_on_private_numbers(config, plain, pay, with_pay):
    data = with_pay(plain, pay)
    split = build_experiment(config, dataset=data, progress=False).split
    view = cloud_view(data, split)
    assert "pay" not in view.users.names
    assert view.users.columns == ()


def test_no_file_of_a_run_holds_a_private_number(config, plain, pay, with_pay, tmp_path):
    """Neither checkpoint nor log, payloads of the uplinks included; as a code, value or text."""
    data = with_pay(plain, pay)
    exchange = dataclasses.replace(config.exchange, uplink_log="run:uplinks")
    config = dataclasses.replace(config, exchange=exchange, rounds=1)
    run = tmp_path / "run"
    simulate(config, out=run, dataset=data)
    codes = data.user_columns[-1].values
    values = ((codes - 1) / 65_536 - 8).astype(np.float32)
    secrets = [code.tobytes() for code in codes] + [value.tobytes() for value in values]
    secrets += [f"{number:.2f}".encode() for number in pay]
    contents = dict(_contents(run))
    assert any("checkpoint" in name for name in contents)
    assert any("uplinks" in name for name in contents)
    for name, content in contents.items():
        assert not [secret for secret in secrets if secret in content], name
    # The search sees what is kept of users: the numbers of items that they were asked about.
    asked = np.arange(1, 121, dtype=np.int32)
    assert any(item.tobytes() in content for item in asked for content in contents.values())


def _contents(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        yield str(path), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name)
