"""Two heads in a file: its signatures, a step against one by hand, and a device that trains it."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import TargetConfig
from ecct_tf.edge import build_edge_model
from ecct_tf.errors import ConfigError, DeviceError, ExportError
from mobile_export.contract.samples import samples_of
from mobile_export.contract.task import check_told
from mobile_export.device import Device, DeviceModel, TrainingPlan
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import export_edge_model

LIKE = TargetConfig("stars", {"good": 1.0, "bad": 0.0}, weight=2.0)
DWELL = TargetConfig("dwell", {"short": 0.25, "long": 1.0}, negatives=0.0, loss="huber")


@pytest.fixture(scope="module")
def task(works, task_of):
    work = works["linear"]
    targets = {"like": LIKE, "dwell": DWELL}
    samples = dataclasses.replace(work.task.samples, negatives=1, targets=targets)
    return task_of(work, optimizer="sgd", batch_size=32, distillation_weight=0.0).changed(
        samples=samples
    )


@pytest.fixture(scope="module")
def edge(works):
    spec = dataclasses.replace(works["linear"].model.spec, targets=("dwell", "like"))
    return build_edge_model("linear", spec)


@pytest.fixture(scope="module")
def path(edge, table, task, tmp_path_factory):
    weights = edge.layout.initial(3)
    out = tmp_path_factory.mktemp("targets")
    (file,) = export_edge_model(edge, weights, table, task=task, out=out)
    return file.path


@pytest.fixture
def model(path):
    return DeviceModel(path, runtime="tensorflow")


@pytest.fixture
def device(model, tmp_path):
    return Device.create(
        tmp_path / "1.state",
        model,
        user=1,
        history=[3, 1, 4, 8],
        profile={},
        context={"stars": ["good", "bad", None, "good"], "dwell": ["long", None, "short", "long"]},
    )


def test_a_file_tells_its_targets_and_others_say_nothing(path, task, works):
    metadata = read_metadata(path.read_bytes())
    assert list(metadata["samples"]["targets"]) == ["dwell", "like"]
    assert samples_of(metadata) == task.samples
    check_told(task, metadata)
    other = dataclasses.replace(task.samples, targets={"like": LIKE})
    with pytest.raises(ExportError, match=r"samples\.targets: the run has"):
        check_told(task.changed(samples=other), metadata)
    shapes = {port["name"]: port["shape"] for port in _ports(metadata, "train", "inputs")}
    assert shapes["target_labels"] == [None, 2]
    for name in ("infer", "score"):
        assert "target_logits" in [port["name"] for port in _ports(metadata, name, "outputs")]
    # They never leave the device.
    uplink = [port["name"] for port in _ports(metadata, "uplink", "outputs")]
    assert not [name for name in uplink if "target" in name]
    wrong = {**metadata["samples"], "targets": {"like": {"column": "a", "values": {"b": 7}}}}
    with pytest.raises(ExportError, match=r"samples\.targets\.like\.values\.b: expected"):
        samples_of({"samples": wrong})
    with pytest.raises(ConfigError, match="targets"):
        task.check(works["linear"].model)


def test_a_step_of_the_file_is_that_of_the_loss_by_hand(device, monkeypatch):
    batches, train = [], DeviceModel.train_batch

    def watched(self, batch):
        rows = {name: batch[name] for name in batch if name in _ports_of(self, "infer")}
        answers, told = self._call("infer", rows), train(self, batch)
        batches.append((batch, answers, told))
        return told

    monkeypatch.setattr(DeviceModel, "train_batch", watched)
    report = device.train(TrainingPlan(epochs=1))
    ((batch, answers, told),) = batches
    rows = batch["mask"] > 0
    labels = dict(
        zip(batch["candidates"][rows].tolist(), batch["target_labels"][rows].tolist(), strict=True)
    )
    # By name: dwell, then like. What the app did not say is no label.
    assert [labels[item] for item in (1, 4, 8)] == [[-1, 0], [0.25, -1], [1, 1]]
    apart = np.abs(answers["target_logits"] - batch["target_labels"])[:, 0]
    huber = np.where(apart < 1, apart**2 / 2, apart - 0.5)
    entropies = [
        np.logaddexp(0.0, logit) - label * logit
        for logit, label in (
            (answers["logit"], batch["labels"]),
            (answers["target_logits"][:, 1], batch["target_labels"][:, 1]),
        )
    ]
    known = rows[:, None] & (batch["target_labels"] >= 0)
    dwell, like = (
        np.where(known[:, place], each, 0.0).sum() / rows.sum()
        for place, each in enumerate((huber, entropies[1]))
    )
    np.testing.assert_allclose(told["target_losses"], [dwell, like], atol=2e-4)
    expected = entropies[0][rows].mean() + dwell + 2.0 * like
    assert float(told["loss"][0]) == pytest.approx(float(expected), abs=5e-4)
    assert report.target_losses == pytest.approx({"dwell": dwell, "like": like}, abs=2e-4)


def test_an_app_asks_what_of_the_ranked_would_be_liked(device, model, monkeypatch):
    before = device.target_logits([5, 7, 9])
    device.train(TrainingPlan())
    after = device.target_logits([5, 7, 9])
    assert list(after) == ["dwell", "like"]
    for name, logits in after.items():
        assert logits.shape == (3,)
        assert not np.array_equal(logits, before[name])
    assert not np.array_equal(after["like"], device.score([5, 7, 9]))
    # By the trained weights, whatever the guard says of the ranking.
    monkeypatch.setattr(DeviceModel, "served", None)
    assert np.array_equal(device.target_logits([5, 7, 9])["like"], after["like"])
    with pytest.raises(DeviceError, match="expected item ids, got none"):
        device.target_logits([])
    without = dataclasses.replace(model.file.sizes, targets=())
    monkeypatch.setattr(model.file, "sizes", without)
    with pytest.raises(DeviceError, match=r"expected a file of a run with samples\.targets"):
        device.target_logits([5])


def test_a_plan_of_other_targets_is_refused(device, model):
    samples = dataclasses.replace(model.file.samples, targets={})
    with pytest.raises(DeviceError, match=r"heads for the targets \['dwell', 'like'\]"):
        device.train(TrainingPlan(samples=samples))


def _ports(metadata, name, side):
    return metadata["signatures"][name][side]


def _ports_of(model, name):
    return [port["name"] for port in _ports(model.file.metadata, name, "inputs")]
