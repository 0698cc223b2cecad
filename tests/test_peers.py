"""What peers of the benchmark train is the library's own; ratios and agreement by hand."""

import functools
import importlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.peers.model import Operations, batch_losses, logits
from benchmarks.peers.processes import Measured, RowResult
from benchmarks.peers.table import agreement, goal_lines, plot, times_as_long
from benchmarks.peers.workload import TABLE_DIM, make_workload, sample_inputs, write_work
from benchmarks.throughput_workload import ITEMS

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
    read = functools.partial(rows.read_work, tmp_path / "work.npz")
    return read(), read(table=True), rows


def test_the_peers_model_and_loss_are_the_librarys(workload, work):
    file, _, rows = work
    samples = rows.device_samples(file)[1]
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
    file, _, rows = work
    assert sum(weight.size for weight in file.start.values()) == workload.work.model.layout.size
    assert file.counts.tolist() == [int(each.samples) for each in workload.devices.devices]
    moved = {name: weight + 1.0 for name, weight in file.start.items()}
    np.testing.assert_array_equal(rows.change_of(file, moved), np.ones(len(workload.start)))


def test_a_table_of_items_adds_a_row_to_the_inputs(workload, work):
    file, wide, rows = work
    samples = rows.device_samples(file)[1]
    assert samples.item.tolist() == workload.devices.devices[1].candidates.tolist()
    assert wide.start["item_table"].shape == (ITEMS + 1, TABLE_DIM)
    without = logits(NUMPY, file.start, samples)
    assert np.abs(logits(NUMPY, wide.start, samples) - without).max() > 1e-3
    empty = {**wide.start, "item_table": np.zeros_like(wide.start["item_table"])}
    np.testing.assert_allclose(logits(NUMPY, empty, samples), without, atol=1e-5)


def _row(*, seconds, loss=0.5, change=(3.0, 4.0), name="a row"):
    row = RowResult({"name": name, "loss": loss, "change": change, "table": False, "slow": False})
    row.cycles = [Measured(cycle, sum(cycle)) for cycle in seconds]
    return row


def test_ratios_are_medians_of_those_within_a_turn():
    slow = _row(seconds=[[4.0, 4.0, 90.0], [9.0, 9.0, 9.0], [80.0, 80.0, 80.0]])
    fast = _row(seconds=[[2.0, 2.0, 2.0], [1.0, 1.0, 50.0], [40.0, 40.0, 40.0]])
    assert times_as_long(slow, fast) == 2.0
    assert times_as_long(slow, fast, processor=True) == 2.0


def test_a_goal_is_met_from_its_ratio_on():
    ours = _row(seconds=[[1.0]], name="ECCT, exchange, engine tff")
    near = _row(seconds=[[0.85]], name="plain TensorFlow, exchange")
    far = _row(seconds=[[6.9]], name="FedJAX, with item table")
    assert goal_lines([ours, near, far]) == [
        "FedJAX, with item table: 6.90 times ECCT's, wanted 7: MISSED",
        "plain TensorFlow, exchange: 0.85 times ECCT's, wanted 0.85: met",
    ]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"loss": 0.5001}, False),
        ({"loss": None}, True),
        ({"change": (3.0, 4.1)}, False),
        ({"change": None}, True),
    ],
)
def test_rows_agree_in_loss_and_in_the_change_of_weights(other, same):
    found, line = agreement(_row(seconds=[], **other), _row(seconds=[]))
    assert found is same
    assert line.startswith("a row: ")


def test_the_plot_is_a_picture(tmp_path):
    results = {devices: [_row(seconds=[[devices / 100.0]])] for devices in (128, 512)}
    plot(tmp_path / "peers.png", results)
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")
