"""The method `dccl`: each device fine-tunes the cloud's weights alone, and nothing else crosses."""

import dataclasses

import numpy as np
import pytest

from cloud.start_samples import inner_view
from ecct_tf.config import load_config
from ecct_tf.data.views import OlderInteractions
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.runs.opening import open_models
from ecct_tf.simulation.builder import edge_config
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.methods import (
    ABLATIONS,
    build_algorithm,
    display_name,
    model_name,
    sees,
)
from ecct_tf.simulation.simulate import simulate
from ecct_tf.simulation.usable import check_start_histories

QUICK = ("runtime.engine=local", "cloud.next_item.epochs=0", "start.epochs=1")
OWN = ("method=dccl", "dccl.rounds=2", "dccl.private_learning_rate=0.05")


class Reports(Callback):
    def __init__(self):
        self.reports = []

    def on_round(self, result, state):
        del state
        self.reports.append(result.report)


@pytest.fixture(scope="module")
def done(small_config):
    """Algorithm, last state and reports of a run whose settings speak of other starts."""
    experiment = build_experiment(small_config(*QUICK, *OWN, "edge.start=random"))
    algorithm, watcher = build_algorithm(experiment), Reports()
    state = run_rounds(algorithm, experiment, callbacks=[watcher], validate=False)
    return experiment, algorithm, state, watcher.reports


def test_nothing_crosses_but_what_devices_begin_with(done):
    _, algorithm, _, reports = done
    assert len(reports) == algorithm.rounds == 2
    for report in reports:
        assert report.downlink_bytes == report.uplink_bytes == report.weights_bytes == 0
    assert reports[0].item_table_bytes > 0
    assert reports[1].item_table_bytes == 0


def test_it_is_ecct_without_an_exchange_and_without_a_mean(done, small_config):
    """The same code: what differs between the rows of a table is what crosses."""
    experiment, algorithm, state, _ = done
    same = ("training.private_learning_rate=0.05", "rounds=2", "edge.shared=none")
    config = ABLATIONS["no exchange"].of(small_config(*QUICK, *same, "edge.start=cloud"))
    other = dataclasses.replace(experiment, config=config)
    plain = build_algorithm(other)
    last = run_rounds(plain, other, validate=False)
    own, theirs = (each.edge.cohorts[0].weights() for each in (state, last))
    np.testing.assert_array_equal(own, theirs)
    start = algorithm.initialize().edge.cohorts[0].weights()
    assert not np.array_equal(own, start)
    # Each device is one of its own.
    assert len(np.unique(own, axis=0)) > 1
    assert set(algorithm.scores(state, experiment.test)) == {"edge"}


def test_settings_of_an_exchange_do_not_stand_in_its_way():
    config = load_config(
        overrides=["method=dccl", "server.buffer=5", "cloud.buffer=3", "exchange.items=candidates"]
    )
    of_devices = edge_config(config)
    assert (of_devices.edge.start, of_devices.edge.shared) == ("cloud", "none")
    assert edge_config(of_devices) == of_devices
    assert display_name(config) == model_name(config, "edge") == "DCCL, device side"
    assert sees(config, "edge") == "devices + item table"


def test_its_models_are_opened_with_their_start(small_config, tmp_path):
    config = small_config(*QUICK, *OWN, "edge.start=random", "evaluation.catalog=none")
    run = tmp_path / "run"
    rows = simulate(config, out=run).rows
    models = open_models(run)
    (start,) = models.starts.values()
    expected = build_algorithm(models.experiment).initialize().edge.cohorts[0].weights()[0]
    np.testing.assert_array_equal(start, expected)
    assert [row.model for row in rows] == ["DCCL, device side"]


@pytest.mark.parametrize("method", ["dccl", "ecct"])
def test_histories_too_short_for_a_start_are_named_with_the_cause(small_config, method):
    short = (f"method={method}", "edge.start=cloud", "data.keep_first=5", "cloud.rank=2")
    config = small_config(*short)
    cause = r"2 older .* newest 1 \(start\.inner_fraction=0\.25\)"
    with pytest.raises(DataError, match=cause) as refused:
        build_experiment(config)
    told = str(refused.value)
    assert "Bring a user with 3 or more older ones, or lower data.recent_fraction" in told
    # DCCL is nothing without it.
    assert ("edge.start=random" in told) == (method == "ecct")


@pytest.mark.parametrize(
    ("fraction", "longest", "expected"),
    [
        (0.25, 2, "with 3 or more older"),
        (0.25, 3, None),
        (0.6, 4, "with 5 or more older"),
        (0.6, 5, None),
        (1.0, 99, "Lower start.inner_fraction"),
    ],
)
def test_the_longest_history_decides(small_config, fraction, longest, expected):
    config = small_config(f"start.inner_fraction={fraction}")
    if expected is None:
        check_start_histories(config, longest)
        return
    with pytest.raises(DataError, match=expected):
        check_start_histories(config, longest)
    # As the cloud itself splits them.
    older = OlderInteractions(np.arange(longest), np.array([0, longest]), np.arange(longest))
    view = dataclasses.make_dataclass("View", ["older"])(older)
    assert len(inner_view(view, fraction).older.items) == config.start.left_of(longest)


def test_a_cloud_that_knows_no_interaction_has_no_weights_to_tune(small_config):
    config = small_config(*QUICK, *OWN, "data.recent_fraction=1")
    with pytest.raises(ConfigError, match=r"method=dccl: with data\.recent_fraction=1"):
        simulate(config)
