"""The composition root and what a run computes, on a small synthetic population."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.config import RunConfig, load_config
from ecct_tf.errors import ConfigError
from ecct_tf.federated import federated_runtime
from ecct_tf.knowledge.table_files import transmit
from ecct_tf.simulation.builder import assign_tiers
from ecct_tf.simulation.ecct import build_ecct
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import simulate


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_config(
        overrides=[
            "rounds=3",
            "baselines=false",
            "data.dataset=synthetic",
            "data.synthetic_users=24",
            "data.synthetic_items=120",
            "evaluation.negatives=20",
            "exchange.stage_1_rounds=1",
            "cloud.rank=4",
            "edge.start=random",
            "edge.tiers={linear: 0.25, mlp: 0.5, attention: 0.25}",
        ]
    )


class Recorder(Callback):
    def __init__(self) -> None:
        self.results: list = []
        self.ended = False

    def on_round(self, result, state) -> None:
        del state
        self.results.append(result)

    def on_end(self) -> None:
        self.ended = True


@pytest.mark.slow
def test_three_tiers_learn_together_and_a_repeated_run_is_equal(config: RunConfig) -> None:
    states = []
    for _ in range(2):
        experiment = build_experiment(config)
        algorithm = build_ecct(experiment)
        recorder = Recorder()
        with federated_runtime():
            states.append(run_rounds(algorithm, experiment, callbacks=[recorder]).edge)
        assert [result.report.stage for result in recorder.results] == [1, 2, 2]
        assert recorder.ended
        assert sorted(len(cohort) for cohort in algorithm.process.cohorts) == [6, 6, 12]
        losses = [result.report.train_loss for result in recorder.results]
        assert losses[-1] < losses[0]
    for first, second in zip(states[0].cohorts, states[1].cohorts, strict=True):
        np.testing.assert_array_equal(first.weights(), second.weights())
    np.testing.assert_array_equal(states[0].knowledge.embeddings, states[1].knowledge.embeddings)


@pytest.mark.slow
def test_item_table_is_paid_for_once(config: RunConfig) -> None:
    experiment = build_experiment(config)
    algorithm = build_ecct(experiment)
    # Before the cloud learns: what its logits are then is in the table, too.
    once = transmit(algorithm.cloud.publish(), "auto", "int8").num_bytes
    recorder = Recorder()
    with federated_runtime():
        run_rounds(algorithm, experiment, callbacks=[recorder])
    table_bytes = [result.report.item_table_bytes for result in recorder.results]
    assert table_bytes[0] == 24 * once
    assert table_bytes[1:] == [0, 0]


def test_test_items_never_reach_training(config: RunConfig) -> None:
    """Changing what is held out changes nothing that is trained or sent."""
    experiment = build_experiment(config)
    split = experiment.split
    dataset = experiment.dataset
    # Replace each user's test item by another one that the user never touched.
    items = dataset.items.copy()
    for user in split.users:
        mine = np.flatnonzero(dataset.users == user)
        newest = mine[np.argsort(dataset.timestamps[mine], kind="stable")][-1]
        free = np.setdiff1d(np.arange(1, dataset.num_items + 1), split.touched(int(user)))
        items[newest] = free[0]
    changed = build_experiment(config, dataset=dataclasses.replace(dataset, items=items))
    kept, other = build_ecct(experiment), build_ecct(changed)
    for before, after in zip(kept.process.cohorts, other.process.cohorts, strict=True):
        for one, two in zip(before.devices.devices, after.devices.devices, strict=True):
            for field, value in one._asdict().items():
                np.testing.assert_array_equal(value, getattr(two, field), err_msg=field)
    np.testing.assert_array_equal(kept.table.cloud, other.table.cloud)


def test_tiers_are_assigned_by_their_shares() -> None:
    tiers = assign_tiers({"mlp": 0.7, "linear": 0.3}, num_devices=10, seed=3)
    assert sorted(tiers) == ["linear"] * 3 + ["mlp"] * 7
    assert tiers == assign_tiers({"mlp": 0.7, "linear": 0.3}, num_devices=10, seed=3)


def test_edge_nodes_hold_every_user_once(config: RunConfig) -> None:
    data = dataclasses.replace(config.data, nodes=5)
    one_tier = dataclasses.replace(config.edge, tiers={"mlp": 1.0})
    experiment = build_experiment(dataclasses.replace(config, data=data, edge=one_tier))
    devices = build_ecct(experiment).process.cohorts[0].devices.devices
    users = np.concatenate([device.users for device in devices])
    assert len(devices) == 5
    np.testing.assert_array_equal(np.sort(users), experiment.split.users)


@pytest.mark.slow
def test_failed_run_says_so(config: RunConfig, tmp_path: Path) -> None:
    class Fails(Callback):
        def on_round(self, result, state) -> None:
            del result, state
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        simulate(config, out=tmp_path / "run", callbacks=[Fails()])
    assert '"failed"' in (tmp_path / "run" / "status.json").read_text()
    assert len(list((tmp_path / "run" / "checkpoints").glob("round-000001-*.npz"))) == 1


def test_run_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        RunFolder.check(tmp_path / "file" / "run")
