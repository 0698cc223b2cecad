"""Whole runs with graded labels and weights: what devices train on, and that it stays there."""

import dataclasses
import zipfile

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ecct_tf.data import Column, EncodedColumn, FeatureSchema, Kind, Side, load_dataset
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.federated import chosen_engine, prepare_devices
from ecct_tf.simulation.begun_settings import begun_settings
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.simulate import simulate

GRADES = {"qzbad": 0.0, "qzfair": 0.5, "qzgood": 1.0}
WORDS = tuple(GRADES)


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
        "training.loss=huber",
        "samples.grade.column=stars",
        "samples.grade.values={qzbad: 0.0, qzfair: 0.5, qzgood: 1.0}",
        "samples.weight.column=dwell",
        "samples.weight.values={short: 0.25}",
        "rounds=1",
    )


def graded(config, *, seed):
    """The data set with stars and the time spent of each interaction."""
    plain = load_dataset(config.data, seed=0, progress=False)
    rng = np.random.default_rng(seed)
    stars = Column("stars", "interaction", Side.FEDERATED, Kind.CATEGORICAL)
    dwell = Column("dwell", "interaction", Side.FEDERATED, Kind.CATEGORICAL)
    codes = rng.integers(0, 4, plain.num_interactions).astype(np.int32)
    spent = rng.integers(1, 3, plain.num_interactions).astype(np.int32)
    return dataclasses.replace(
        plain,
        schema=FeatureSchema(plain.schema.name, (*plain.schema.columns, stars, dwell)),
        interaction_columns=(
            EncodedColumn(stars, codes, WORDS),
            EncodedColumn(dwell, spent, ("long", "short")),
        ),
    )


def test_samples_have_grades_for_labels_and_their_weights(config):
    data = graded(config, seed=1)
    experiment = build_experiment(config, dataset=data, progress=False)
    algorithm = build_algorithm(experiment)
    work = algorithm.process.cohorts[0].work
    (device,) = prepare_devices(
        experiment.groups[:1],
        items=ItemTensors(*map(np.asarray, item_tensors(algorithm.table))),
        block_sizes=work.block_sizes,
        features=work.task.features,
        samples=work.task.samples,
        with_slots=work.model.reads_slots,
        seed=0,
    ).devices
    (view,) = experiment.groups[0]
    known = {
        (int(data.users[row]), int(data.items[row])): (
            # An unknown grade counts as 1.
            [1.0, *GRADES.values()][data.interaction_columns[0].values[row]],
            [1.0, 1.0, 0.25][data.interaction_columns[1].values[row]],
        )
        for row in range(data.num_interactions)
    }
    own = {int(item) for item in view.history}
    assert len(device.labels) > 10
    for item, label in zip(device.candidates, device.labels, strict=True):
        # Negatives are none of the user's items.
        expected = known[view.user, int(item)][0] if int(item) in own else 0.0
        assert label == expected
    first = device.candidates[np.isin(device.candidates, list(own))]
    weights = device.weights[np.isin(device.candidates, list(own)), 0]
    assert weights.tolist() == [known[view.user, int(item)][1] for item in first]


def test_the_loss_of_a_batch_is_hubers_weighted_mean(config):
    data = graded(config, seed=1)
    task = build_algorithm(build_experiment(config, dataset=data)).process.cohorts[0].work.task
    task = task.changed(training=dataclasses.replace(task.training, distillation_weight=0.0))
    loss = task.batch_loss(
        tf.constant([0.25, 3.0, -0.5]),
        labels=tf.constant([0.75, 0.5, 0.0]),
        teacher=tf.zeros([3]),
        weights=tf.constant([1.0, 0.25, 1.0]),
        taught=None,
    )
    # Half of 0.5² each; 2.5 is beyond 1: 2.5 - 0.5.
    expected = (1.0 * 0.125 + 0.25 * 2.0 + 1.0 * 0.125) / 2.25
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_what_the_cloud_is_given_does_not_depend_on_them(config):
    tables, histories = [], []
    for seed in (1, 2):
        experiment = build_experiment(config, dataset=graded(config, seed=seed), progress=False)
        algorithm = build_algorithm(experiment)
        tables.append(algorithm.table)
        histories.append(algorithm.scores(algorithm.initialize(), experiment.test)["cloud"])
    assert np.array_equal(tables[0].cloud, tables[1].cloud)
    assert np.array_equal(*histories)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "tff"])
def test_an_exported_file_trains_as_the_simulation(engine, config, tmp_path):
    """Real devices are held against simulated ones in each round; the file tells the grades."""
    if engine == "tff" and chosen_engine() != "tff":
        pytest.skip("TFF is not installed")
    runtime = dataclasses.replace(config.runtime, engine=engine, real_devices=2)
    config = dataclasses.replace(config, runtime=runtime)
    simulate(config, out=tmp_path / "run", dataset=graded(config, seed=1))
    (row,) = pd.read_csv(tmp_path / "run" / "metrics.csv").to_dict("records")
    assert row["real_devices"] == row["real_devices_equal_uplinks"] == 2
    assert 0 < row["real_devices_max_weight_difference"] < 2e-6
    settings = begun_settings(config).encode()
    for name, content in _contents(tmp_path / "run"):
        if not name.endswith((".yaml", ".json", ".tflite")):
            # What the settings say is public; whose it is, nothing says.
            left = content.replace(settings, b"")
            assert not [word for word in WORDS if word.encode() in left], name


def _contents(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        yield str(path), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name)
