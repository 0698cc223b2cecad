"""Runs whose answers arrive rounds later: what is kept, resumption, what is left at the end."""

import numpy as np
import pytest

from ecct_tf.errors import ConfigError
from ecct_tf.simulation.checkpoints import CheckpointStore
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.left_over import left_over
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.methods import build_algorithm

LATE = (
    "participation.devices_per_round=9",
    "participation.dropout=0.3",
    "participation.delay.max_rounds=3",
    "runtime.engine=local",
)
ECCT = ("rounds=4", "exchange.stage_1_rounds=2", "cloud.buffer=3", "edge.tiers={linear: 1.0}")
FEDBUFF = ("method=fedavg", "federated_baseline.rounds=4", "federated_baseline.server.buffer=5")


class _Keep(Callback):
    """Writes a checkpoint after the second round, and keeps all rows."""

    def __init__(self, algorithm, store):
        self.algorithm, self.store, self.rows = algorithm, store, []

    def on_round(self, result, state):
        self.rows.append(result.row())
        if result.round_number == 2:
            self.store.save(2, self.algorithm.to_arrays(state), fingerprint="")


@pytest.mark.parametrize("method", [ECCT, FEDBUFF], ids=["ecct", "fedbuff"])
def test_a_late_run_is_resumed_bit_by_bit_and_loses_nothing(method, small_config, tmp_path):
    experiment = build_experiment(small_config(*LATE, *method))
    algorithm = build_algorithm(experiment)
    watcher = _Keep(algorithm, CheckpointStore(tmp_path))
    whole = run_rounds(algorithm, experiment, callbacks=[watcher], validate=False)
    kept = watcher.store.newest().arrays
    # Something is under way where the rest goes on from.
    assert len(kept["under_way/answers/devices"])
    resumed = run_rounds(
        algorithm, experiment, state=algorithm.from_arrays(kept), first_round=2, validate=False
    )
    expected, got = algorithm.to_arrays(whole), algorithm.to_arrays(resumed)
    assert sorted(got) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    counts = {
        key: np.array([row[key] for row in watcher.rows])
        for key in ("devices", "arrived", "under_way")
    }
    sent = np.cumsum(counts["devices"] - counts["arrived"])
    assert counts["under_way"].tolist() == sent.tolist()
    assert sent[-1] > 0
    assert f"{sent[-1]} answers of rounds" in left_over(whole, rounds=4)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            ("server.aggregator=my_pkg:mean", "runtime.shard_size=0"),
            r"server\.aggregator.*one round",
        ),
        (("server.buffer=4", "edge.shared=none"), r"server\.buffer: got 4, but edge\.shared=none"),
        (("cloud.buffer=4", "exchange.up=false"), r"cloud\.buffer: got 4 with exchange\.up=false"),
    ],
)
def test_what_late_answers_cannot_have_is_refused(settings, text, small_config):
    with pytest.raises(ConfigError, match=text):
        small_config("participation.delay.max_rounds=3", *settings)
