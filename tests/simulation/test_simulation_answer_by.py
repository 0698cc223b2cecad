"""How an uplink names its items changes the bytes that are counted, and nothing else."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import ConfigError
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.methods import build_algorithm


class Reports(Callback):
    def __init__(self):
        self.found = []

    def on_round(self, result, state):
        del state
        self.found.append(result.report)


def test_quality_weights_and_knowledge_are_equal_to_the_last_bit(small_config):
    reports, states = {}, {}
    for name in ("place", "item"):
        config = small_config(
            f"exchange.answer_by={name}", "rounds=1", "runtime.engine=local", "exchange.queries=6"
        )
        experiment = build_experiment(config)
        watcher = Reports()
        algorithm = build_algorithm(experiment)
        states[name] = run_rounds(algorithm, experiment, callbacks=[watcher], validate=False)
        reports[name] = watcher.found
    placed, whole = states["place"].edge, states["item"].edge
    for one, other in zip(placed.cohorts, whole.cohorts, strict=True):
        np.testing.assert_array_equal(one.server.shared, other.server.shared)
        np.testing.assert_array_equal(one.private, other.private)
    for field in dataclasses.fields(placed.knowledge):
        ours, theirs = (getattr(each.knowledge, field.name) for each in (placed, whole))
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
    for one, other in zip(reports["place"], reports["item"], strict=True):
        users = one.devices
        assert other.uplink_bytes - one.uplink_bytes == users * 4 * (6 - 1) > 0
        assert one.train_loss == other.train_loss
        assert (one.downlink_bytes, one.weights_bytes) == (
            other.downlink_bytes,
            other.weights_bytes,
        )


def test_places_are_refused_where_other_items_may_be_answered(small_config):
    with pytest.raises(
        ConfigError, match=r"exchange\.answer_by: got 'place' with exchange\.only_asked"
    ):
        small_config("exchange.only_asked=false")
    assert not small_config(
        "exchange.only_asked=false", "exchange.answer_by=item"
    ).exchange.only_asked
