"""Runs whose devices hold rows of the items that the cloud chose (`exchange.items=candidates`)."""

import csv
import dataclasses

import numpy as np
import pytest

import ecct_tf as ecct
from ecct_tf.config import load_config
from ecct_tf.errors import ConfigError, ExportError
from ecct_tf.knowledge.table_files import row_bytes, table_bytes
from ecct_tf.runs.opening import open_models
from ecct_tf.runs.scoring import RunScores
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import simulate

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


def test_no_file_for_phones_is_made_of_it(run):
    with pytest.raises(ExportError, match=r"exchange\.items=candidates.* exchange\.items=table"):
        open_models(run[0])


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("cloud.downlink_rate=0.5", r"cloud\.downlink_rate: got 0\.5"),
        ("runtime.real_devices=1", r"runtime\.real_devices: got 1"),
        ("evaluation.catalog=own", r"evaluation\.catalog: got own"),
        ("data.recent_fraction=1", r"data\.recent_fraction: got 1"),
    ],
)
def test_what_needs_the_whole_table_is_refused_by_name(setting, named):
    load_config(overrides=[setting])
    with pytest.raises(ConfigError, match=named):
        load_config(overrides=["exchange.items=candidates", setting])
    load_config(overrides=["exchange.items=candidates", "method=edge-only", setting])
