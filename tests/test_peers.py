"""What peers of the benchmark train is the library's own; ratios and agreement by hand."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.peers.model import Operations, Samples, batch_losses, logits
from benchmarks.peers.processes import Measured, RowResult
from benchmarks.peers.table import agreement, times_as_long
from benchmarks.peers.workload import make_workload, sample_inputs, write_work

PEERS = Path(__file__).parents[1] / "benchmarks/peers"
NUMPY = Operations(
    concat=lambda parts: np.concatenate(parts, axis=-1),
    relu=lambda x: np.maximum(x, 0.0),
    tanh=np.tanh,
    sigmoid=lambda x: 1.0 / (1.0 + np.exp(-x)),
    softplus=lambda x: np.logaddexp(x, 0.0),
)


@pytest.fixture(scope="module")
def workload():
    return make_workload(devices=2, seed=3)


@pytest.fixture
def work(workload, tmp_path, monkeypatch):
    write_work(tmp_path / "work.npz", workload)
    # The peers' scripts import their neighbours from their own folder.
    monkeypatch.syspath_prepend(PEERS)
    rows = importlib.import_module("rows")
    return rows.read_work(tmp_path / "work.npz"), rows


def test_the_peers_model_and_loss_are_the_librarys(workload, work):
    file, rows = work
    samples = Samples(*rows.device_samples(file)[1])
    device = workload.devices.devices[1]
    inputs, teacher = sample_inputs(workload, device)
    expected = workload.work.model.forward(tf.constant(workload.start), inputs).logit
    got = logits(NUMPY, file.start, samples)
    assert len(got) == int(device.samples)
    np.testing.assert_allclose(got, expected, atol=1e-5)

    task = workload.work.task
    rate = {name: file.settings[name] for name in ("distillation_weight", "temperature")}
    assert task.distillation_weight > 0
    loss = task.batch_loss(
        expected,
        labels=tf.constant(device.labels, tf.float32),
        teacher=teacher,
        weights=tf.ones_like(teacher),
    )
    np.testing.assert_allclose(np.mean(batch_losses(NUMPY, got, samples, **rate)), loss, rtol=1e-5)
    assert file.settings["batch_size"] == task.batch_size
    assert file.settings["learning_rate"] == task.training.learning_rate


def test_the_file_has_all_weights_and_devices(workload, work):
    file, rows = work
    assert sum(weight.size for weight in file.start.values()) == workload.work.model.layout.size
    assert file.counts.tolist() == [int(each.samples) for each in workload.devices.devices]
    moved = {name: weight + 1.0 for name, weight in file.start.items()}
    np.testing.assert_array_equal(rows.change_of(file, moved), np.ones(len(workload.start)))


def _row(*, seconds, loss=0.5, change=(3.0, 4.0)):
    row = RowResult({"name": "a row", "loss": loss, "change": change, "slow": False})
    row.cycles = [Measured(cycle, sum(cycle)) for cycle in seconds]
    return row


def test_ratios_are_medians_of_those_within_a_turn():
    slow = _row(seconds=[[4.0, 4.0, 90.0], [9.0, 9.0, 9.0], [80.0, 80.0, 80.0]])
    fast = _row(seconds=[[2.0, 2.0, 2.0], [1.0, 1.0, 50.0], [40.0, 40.0, 40.0]])
    assert times_as_long(slow, fast) == 2.0
    assert times_as_long(slow, fast, processor=True) == 2.0


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"loss": 0.5001}, False),
        ({"change": (3.0, 4.1)}, False),
        ({"change": None}, True),
    ],
)
def test_rows_agree_in_loss_and_in_the_change_of_weights(other, same):
    found, line = agreement(_row(seconds=[], **other), _row(seconds=[]))
    assert found is same
    assert line.startswith("a row: loss 0.5")
