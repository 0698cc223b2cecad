"""Whole runs with two heads: what devices train on, what is measured, and that it stays there."""

import dataclasses
import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from ecct_tf.data import Column, EncodedColumn, FeatureSchema, Kind, Side, load_dataset
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.federated import chosen_engine, prepare_devices
from ecct_tf.simulation.begun_settings import begun_settings
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.simulate import simulate

WORDS = ("qzbad", "qzfair", "qzgood")


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(
        "data.synthetic_users=10",
        "features.history_length=5",
        "cloud.fit_epochs=1",
        "cloud.next_item.epochs=0",
        "exchange.stage_1_rounds=0",
        "edge.tiers={linear: 1.0}",
        "runtime.engine=local",
        "samples.targets={like: {column: stars, values: {qzbad: 0.0, qzgood: 1.0}, weight: 0.5}}",
        "rounds=1",
    )


def rated(config, *, seed):
    """The data set with stars of each interaction."""
    plain = load_dataset(config.data, seed=0, progress=False)
    stars = Column("stars", "interaction", Side.FEDERATED, Kind.CATEGORICAL)
    codes = np.random.default_rng(seed).integers(0, 4, plain.num_interactions).astype(np.int32)
    return dataclasses.replace(
        plain,
        schema=FeatureSchema(plain.schema.name, (*plain.schema.columns, stars)),
        interaction_columns=(EncodedColumn(stars, codes, WORDS),),
    )


@pytest.fixture(scope="module")
def algorithm(config):
    return build_algorithm(build_experiment(config, dataset=rated(config, seed=1), progress=False))


def test_devices_have_the_labels_of_the_second_head(config, algorithm):
    experiment = build_experiment(config, dataset=rated(config, seed=1), progress=False)
    cohort = algorithm.process.cohorts[0]
    assert cohort.work.model.spec.targets == ("like",)
    data, labels = rated(config, seed=1), {}
    for row, code in enumerate(data.interaction_columns[0].values):
        labels[int(data.users[row]), int(data.items[row])] = [-1.0, 0.0, -1.0, 1.0][code]

    (device,) = prepare_devices(
        experiment.groups[:1],
        items=ItemTensors(*map(np.asarray, item_tensors(algorithm.table))),
        block_sizes=cohort.work.block_sizes,
        features=cohort.work.task.features,
        samples=cohort.work.task.samples,
        with_slots=cohort.work.model.reads_slots,
        seed=0,
    ).devices
    (view,) = experiment.groups[0]
    own = {int(item) for item in view.history}
    assert device.targets.shape == (len(device.labels), 1)
    for item, label in zip(device.candidates, device.targets[:, 0], strict=True):
        # Nobody asked whether a negative is liked.
        assert label == (labels[view.user, int(item)] if int(item) in own else -1.0)
    assert {-1.0, 0.0, 1.0} == set(device.targets[:, 0].tolist())


def test_what_the_cloud_is_given_does_not_depend_on_them(config):
    tables, histories = [], []
    for seed in (1, 2):
        experiment = build_experiment(config, dataset=rated(config, seed=seed), progress=False)
        algorithm = build_algorithm(experiment)
        tables.append(algorithm.table)
        histories.append(algorithm.scores(algorithm.initialize(), experiment.test)["cloud"])
    assert np.array_equal(tables[0].cloud, tables[1].cloud)
    assert np.array_equal(*histories)


def test_a_run_tells_how_well_the_second_head_does(config, tmp_path):
    simulate(config, out=tmp_path / "run", dataset=rated(config, seed=1))
    (found,) = json.loads((tmp_path / "run" / "targets.json").read_text()).items()
    assert found[0] == "like"
    assert found[1]["rows"] > found[1]["positives"] > 0
    assert 0.0 <= found[1]["auc"] <= 1.0
    (row,) = pd.read_csv(tmp_path / "run" / "metrics.csv").to_dict("records")
    # Of labels of one sample in many: far below a coin's 0.69, and part of the whole.
    assert 0.0 < 0.5 * row["train_loss_like"] < row["train_loss"]
    assert "Target like: AUC" in (tmp_path / "run" / "run.log").read_text()
    settings = begun_settings(config).encode()
    for name, content in _contents(tmp_path / "run"):
        if not name.endswith((".yaml", ".json", ".tflite")):
            # What the settings say is public; whose it is, nothing says.
            left = content.replace(settings, b"")
            assert not [word for word in WORDS if word.encode() in left], name


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "tff"])
def test_an_exported_file_trains_as_the_simulation(engine, config, tmp_path):
    """Real devices are held against simulated ones in each round; the file tells the targets."""
    if engine == "tff" and chosen_engine() != "tff":
        pytest.skip("TFF is not installed")
    runtime = dataclasses.replace(config.runtime, engine=engine, real_devices=2)
    config = dataclasses.replace(config, runtime=runtime)
    simulate(config, out=tmp_path / "run", dataset=rated(config, seed=1))
    (row,) = pd.read_csv(tmp_path / "run" / "metrics.csv").to_dict("records")
    assert row["real_devices"] == row["real_devices_equal_uplinks"] == 2
    assert 0 < row["real_devices_max_weight_difference"] < 2e-6


def _contents(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        yield str(path), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name)
