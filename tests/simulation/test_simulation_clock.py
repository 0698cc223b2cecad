"""Whole methods with a clock: who reads the time of a request, and who cannot."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.data import load_dataset
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm

MONTH = 30 * 86_400


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(
        "features.clock=true",
        "features.history_length=5",
        "cloud.fit_epochs=1",
        "cloud.next_item.epochs=0",
        "exchange.stage_1_rounds=0",
    )


@pytest.fixture(scope="module")
def dataset(config):
    return load_dataset(config.data, seed=0, progress=False)


def newest_later(dataset, seconds):
    """Each user's newest interaction, which is the test's, so much later."""
    times = dataset.timestamps.copy()
    for user in range(dataset.num_users):
        mine = np.flatnonzero(dataset.users == user)
        times[mine[np.argmax(times[mine])]] += seconds
    return dataclasses.replace(dataset, timestamps=times)


def numbered(dataset):
    """Without times: rows are numbered in their order."""
    order = np.argsort(dataset.timestamps, kind="stable")
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order))
    return dataclasses.replace(dataset, timestamps=numbers)


def scores(config, dataset):
    """The untrained scores of both parts by model: `{(part, model): array}`."""
    experiment = build_experiment(config, dataset=dataset, progress=False)
    algorithm = build_algorithm(experiment)
    state = algorithm.initialize()
    return {
        (part, model): values
        for part in ("validation", "test")
        for model, values in algorithm.scores(state, getattr(experiment, part)).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "model"),
    [("ecct", "edge"), ("centralized", "everything"), ("fedavg", "edge")],
)
def test_models_on_devices_read_the_time_of_a_request(config, dataset, method, model):
    config = dataclasses.replace(config, method=method)
    before = scores(config, dataset)
    after = scores(config, newest_later(dataset, MONTH))
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    # A later request changes its own list, no earlier one, and nothing in the cloud.
    assert changed == {("test", model)}


def test_data_without_times_has_a_silent_clock(config, dataset, caplog):
    rows = numbered(dataset)
    config = dataclasses.replace(config, method="fedavg")
    before = scores(config, rows)
    assert sum("features.clock" in record.message for record in caplog.records) == 1
    after = scores(config, newest_later(rows, 1000))
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_data_with_times_is_not_warned_about(config, dataset, caplog):
    build_experiment(config, dataset=dataset, progress=False)
    assert "features.clock" not in caplog.text
