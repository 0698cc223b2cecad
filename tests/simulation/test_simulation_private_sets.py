"""Whole methods with private columns of several values: who reads them, and that they stay."""

import dataclasses
import zipfile

import numpy as np
import pytest

from ecct_tf.data import Column, EncodedColumn, FeatureSchema, Kind, Side, cloud_view, load_dataset
from ecct_tf.federated import chosen_engine
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.simulate import simulate

WORDS = ("qzjazz", "qzscifi", "qztea")


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


def with_likes(dataset, *, seed):
    """The data set where each user likes some of three things."""
    column = Column("likes", "user", Side.FEDERATED, Kind.MULTI_CATEGORICAL)
    held = np.random.default_rng(seed).integers(0, 2, (dataset.num_users, 3)).astype(np.float32)
    return dataclasses.replace(
        dataset,
        schema=FeatureSchema(dataset.schema.name, (*dataset.schema.columns, column)),
        user_columns=(*dataset.user_columns, EncodedColumn(column, held, WORDS)),
    )


def scores(config, dataset):
    experiment = build_experiment(config, dataset=dataset, progress=False)
    algorithm = build_algorithm(experiment)
    return algorithm.scores(algorithm.initialize(), experiment.test)


@pytest.mark.parametrize("method", ["ecct", "fedavg"])
def test_models_with_private_columns_read_them(method, config, plain):
    config = dataclasses.replace(config, method=method)
    before, after = (scores(config, with_likes(plain, seed=seed)) for seed in (1, 2))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    # The cloud's own scores stay: it has no such column.
    assert changed == {"edge"}


def test_what_the_cloud_is_given_does_not_depend_on_them(config, plain):
    views = []
    for seed in (1, 2):
        data = with_likes(plain, seed=seed)
        experiment = build_experiment(config, dataset=data, progress=False)
        view = cloud_view(data, experiment.split)
        assert (view.users.columns, "likes" in view.items) == ((), False)
        views.append(build_algorithm(experiment).table)
    for name in ("cloud", "bias", "feature_mean"):
        assert np.array_equal(getattr(views[0], name), getattr(views[1], name)), name


@pytest.mark.parametrize("engine", ["local", pytest.param("tff", marks=pytest.mark.slow)])
def test_no_file_of_a_run_has_a_value(engine, config, plain, tmp_path):
    """Neither checkpoint nor log, payloads of the uplinks included."""
    if engine == "tff" and chosen_engine() != "tff":
        pytest.skip("TFF is not installed")
    exchange = dataclasses.replace(config.exchange, uplink_log="run:uplinks")
    runtime = dataclasses.replace(config.runtime, engine=engine)
    config = dataclasses.replace(config, exchange=exchange, runtime=runtime, rounds=1)
    data = with_likes(plain, seed=1)
    simulate(config, out=tmp_path / "run", dataset=data)
    held = data.user_columns[-1].values
    secrets = [word.encode() for word in WORDS]
    secrets += [np.ascontiguousarray(held.astype(kind)).tobytes() for kind in ("f4", "i4", "u1")]
    contents = dict(_contents(tmp_path / "run"))
    assert any("checkpoint" in name for name in contents)
    assert any("uplinks" in name for name in contents)
    for name, content in contents.items():
        assert not [secret for secret in secrets if secret in content], name


def _contents(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        yield str(path), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name)
