"""Runs whose devices hold rows of the items that the cloud chose (`exchange.items=candidates`)."""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import ecct_tf as ecct
from ecct_tf.config import load_config
from ecct_tf.data.profile import device_profile
from ecct_tf.edge import table_tensors
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge.table_files import row_bytes, table_bytes
from ecct_tf.runs.exporting import export_models
from ecct_tf.runs.opening import open_models
from ecct_tf.runs.scoring import RunScores
from ecct_tf.runs.training import encoded_inputs
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.published_rows import ROWS_OF_USERS, SHARED_ROWS, published_rows
from ecct_tf.simulation.real_devices import WEIGHT_TOLERANCE
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import simulate
from ecct_tf.wire.item_rows import ItemRowsFile
from mobile_export.device import DeviceModel, ReceivedDownlink

CANDIDATES = (
    "exchange.items=candidates",
    "exchange.candidates.best=12",
    "exchange.candidates.popular=20",
    "exchange.candidates.uniform=10",
    "features.history_length=6",
    "runtime.engine=local",
    "rounds=2",
    "edge.tiers={linear: 1.0}",
    "exchange.stage_1_rounds=0",
    "cloud.next_item.epochs=1",
    "runtime.real_devices=3",
)


@pytest.fixture(scope="module")
def run(small_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("held") / "run"
    return path, simulate(small_config(*CANDIDATES), out=path)


def test_devices_train_on_items_whose_rows_they_hold(run):
    algorithm, split = run[1].algorithm, run[1].experiment.split
    held = algorithm.holding.items
    assert max(len(held.of(user)) for user in split.users.tolist()) <= 20 + 10 + 12 + 6
    left_out = 0
    for cohort in algorithm.process.cohorts:
        for device in cohort.devices.devices:
            (user,) = device.users.tolist()
            rows = set(held.of(user).tolist())
            assert set(device.candidates.tolist()) <= rows
            assert set(device.history.ravel().tolist()) - {0} <= rows
            recent = split.recent(user).tolist()
            left_out += len(set(recent) - rows)
            assert not set(device.candidates.tolist()) & (set(recent) - rows)
    assert left_out > 0


def test_its_rows_follow_from_what_the_cloud_knows(run, small_config):
    experiment = build_experiment(small_config(*CANDIDATES))
    recent = experiment.split.items.copy()
    for user in experiment.split.users.tolist():
        start = int(experiment.split.offsets[user]) + len(experiment.split.older(user))
        stop = start + len(experiment.split.recent(user))
        recent[start:stop] = 1 + (recent[start:stop] + 40) % 120
    split = dataclasses.replace(experiment.split, items=recent)
    other = build_algorithm(dataclasses.replace(experiment, split=split, shared={}))
    kept = run[1].algorithm.holding.items
    np.testing.assert_array_equal(other.holding.items.own, kept.own)
    np.testing.assert_array_equal(other.holding.items.shared, kept.shared)


def test_the_bytes_of_its_rows_are_counted_once(run):
    path, result = run
    algorithm, users = result.algorithm, result.experiment.split.users
    table = algorithm.table
    row, whole = row_bytes(table, "int8"), table_bytes(table, "int8")
    held = algorithm.holding.items
    rows = sum(len(held.of(user)) for user in users.tolist())
    common = whole - row * table.num_items
    assert 0 < common < whole
    with (path / "metrics.csv").open() as file:
        first, second = csv.DictReader(file)
    assert int(first["item_table_bytes"]) == len(users) * common + rows * (row + 4)
    assert int(second["item_table_bytes"]) == 0


def test_a_request_brings_the_rows_of_its_candidates(run):
    algorithm, test = run[1].algorithm, run[1].experiment.test
    found, held = algorithm.holding.request_bytes(test), algorithm.holding.items
    row = row_bytes(algorithm.table, "int8") + 4
    for user, items, size in zip(test.users.tolist(), test.items, found.tolist(), strict=True):
        assert size == row * len(set(items.tolist()) - set(held.of(user).tolist()))


def test_a_run_ends_with_what_devices_hold(run):
    path, result = run
    (told,) = [note for note in result.notes if note.startswith("Of 120 items")]
    largest = result.algorithm.holding.largest_bytes
    assert f"at most {largest:,} B" in told
    assert told in (path / "run.log").read_text()


def test_the_folder_gives_the_scores_of_the_run_and_ranks_what_devices_hold(run):
    path, result = run
    scores = RunScores(RunFolder.open(path))
    test = result.experiment.test
    expected = result.algorithm.scores(result.state, test)["edge"]
    np.testing.assert_allclose(scores.of("edge", test), expected, atol=1e-5)
    user = int(test.users[0])
    token = result.experiment.dataset.user_tokens[user]
    found = ecct.open_run(path).recommend(token, k=120)
    rows = set(result.algorithm.holding.items.of(user).tolist())
    tokens = {result.experiment.dataset.item_tokens[item - 1] for item in rows}
    assert set(found.items) <= tokens


def test_real_devices_with_these_rows_train_and_answer_as_the_simulated_ones(run):
    with (run[0] / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            assert (row["real_devices"], row["real_devices_equal_uplinks"]) == ("3", "3")
            assert float(row["real_devices_max_weight_difference"]) <= WEIGHT_TOLERANCE


def test_devices_with_exported_file_and_rows_rank_as_the_run(run, tmp_path):
    path, result = run
    models, algorithm = open_models(path), result.algorithm
    (file,) = export_models(models, tmp_path, new_device=True)
    shared = ItemRowsFile.from_bytes((tmp_path / SHARED_ROWS).read_bytes())
    own = ItemRowsFile.from_bytes((tmp_path / ROWS_OF_USERS).read_bytes())
    everything = published_rows(result.experiment.config, algorithm.table)
    groups, split, test = (getattr(result.experiment, name) for name in ("groups", "split", "test"))
    known = algorithm.cloud_at(result.state).downlinks(test.users, round_number=2)
    expected = algorithm.scores(result.state, test)["edge"]
    (cohort,) = algorithm.process.cohorts
    model = DeviceModel(file.path, runtime="tensorflow")
    for row, user in enumerate(test.users.tolist()):
        (view,) = groups[groups.device_of(user)]
        rows = shared.rows.joined(own.of(user))
        assert rows.items.tolist() == [0, *algorithm.holding.items.of(user).tolist()]
        state = model.begin(
            user=user,
            history=view.history,
            profile=device_profile(view, shape=cohort.work.model.profile),
            num_older=view.num_older,
            times=view.times,
        )
        state = model.with_weights(model.hold(state, rows), models.weights("linear", user=user))
        sent = encoded_inputs(
            cohort.work.exchange.encode_known(tf.constant(known[row])), cohort.work.exchange
        )
        downlink = ReceivedDownlink(
            sent["user_embedding"],
            np.zeros(0, np.int32),
            scale=float(sent["user_embedding_scale"][0]),
        )
        # What was tested before came with its row, and so do the candidates.
        position, length = int(test.positions[row]), len(view.history)
        state = model.with_interactions(
            model.receive(state, downlink),
            split.before(user, position)[length:],
            times=split.times_before(user, position)[length:],
            rows=everything.of(split.before(user, position)[length:]),
        )
        now = split.time_of(user, position)
        found = model.score(state, test.items[row], now=now, rows=everything)
        np.testing.assert_allclose(found, expected[row], atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("cloud.downlink_rate=0.5", r"cloud\.downlink_rate: got 0\.5"),
        ("evaluation.catalog=own", r"evaluation\.catalog: got own"),
        ("data.recent_fraction=1", r"data\.recent_fraction: got 1"),
    ],
)
def test_what_needs_the_whole_table_is_refused_by_name(setting, named):
    load_config(overrides=[setting])
    with pytest.raises(ConfigError, match=named):
        load_config(overrides=["exchange.items=candidates", setting])
    load_config(overrides=["exchange.items=candidates", "method=edge-only", setting])


def test_devices_rounds_and_evaluation_read_one_copy_of_the_item_table(run):
    algorithm = run[1].algorithm
    tensors = table_tensors(algorithm.table)
    rounds, evaluator = algorithm.process.cohort_rounds(), algorithm.evaluator
    assert rounds.table is tensors
    assert all(scorer._items is tensors for scorer in evaluator._scorers)
    kept = (part for table in rounds._items.values() for part in table)
    assert all(part is other for part, other in zip(kept, tensors, strict=True))
    for name in ("cloud", "attributes", "bias"):
        array, tensor = getattr(algorithm.table, name), getattr(tensors, name)
        assert np.shares_memory(array, np.asarray(tensor)), name
