"""Runs whose answers arrive rounds later: what is kept, resumption, what is left at the end."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.simulation.checkpoints import CheckpointStore
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.left_over import left_over
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.participation import check_schedule, schedule_of
from ecct_tf.simulation.run_folder import RunFolder

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


@pytest.mark.slow
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


def test_a_schedule_knows_the_devices_as_the_rounds_number_them(small_config, tmp_path):
    experiment = build_experiment(small_config("edge.tiers={linear: 0.5, attention: 0.5}"))
    algorithm = build_algorithm(experiment)
    cohorts = algorithm.process.cohorts
    users = [int(device.users[0]) for cohort in cohorts for device in cohort.devices.devices]
    tokens = experiment.dataset.user_tokens
    trace = tmp_path / "trace.csv"
    lines = [f"{tokens[user]},{place + 1},{place + 1}" for place, user in enumerate(users)]
    trace.write_text("\n".join(["user,from_round,to_round", *lines]))
    config = small_config(
        "edge.tiers={linear: 0.5, attention: 0.5}", f"participation.availability.trace={trace}"
    )
    schedule = schedule_of(dataclasses.replace(experiment, config=config))
    drawn = [schedule.draw(number).participants.tolist() for number in range(len(users))]
    assert drawn == [[place] for place in range(len(users))]


def test_a_trace_that_changed_or_is_of_other_rounds_is_refused(small_config, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("user,from_round,to_round\n1,7,9\n")
    config = small_config(f"participation.availability.trace={trace}", "method=popularity")
    folder = RunFolder.create(tmp_path / "run", config)
    folder.check_trace()
    trace.write_text("user,from_round,to_round\n1,1,9\n")
    with pytest.raises(CheckpointError, match=r"availability\.trace=.*with which the run began"):
        folder.check_trace()
    with pytest.raises(ConfigError, match="no device could take part in any of the 2 rounds"):
        check_schedule(schedule_of(build_experiment(_asleep(config))), 2)


def _asleep(config):
    day = dataclasses.replace(
        config.participation.availability, trace=None, rounds_per_day=24, awake_share=0.0
    )
    return dataclasses.replace(
        config, participation=dataclasses.replace(config.participation, availability=day)
    )
