"""Graded labels and weights on a device: what a file tells, and what is trained on."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import GradeConfig, WeightConfig
from ecct_tf.errors import DeviceError, ExportError
from mobile_export.contract.samples import samples_of
from mobile_export.contract.task import check_told
from mobile_export.device import Device, DeviceModel, TrainingPlan
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import export_edge_model

STARS = GradeConfig("stars", {"good": 1.0, "bad": 0.0}, unknown=0.5, negatives=0.25)
DWELL = WeightConfig("dwell", {"short": 0.25, "long": 1.0})


@pytest.fixture(scope="module")
def task(works, task_of):
    work = works["linear"]
    samples = dataclasses.replace(work.task.samples, negatives=1, grade=STARS, weight=DWELL)
    return task_of(work, loss="huber").changed(samples=samples)


@pytest.fixture(scope="module")
def path(works, table, task, weights_of, tmp_path_factory):
    work = works["linear"]
    (file,) = export_edge_model(
        work.model,
        weights_of(work),
        table,
        task=task,
        out=tmp_path_factory.mktemp("grades"),
    )
    return file.path


@pytest.fixture
def model(path):
    return DeviceModel(path, runtime="tensorflow")


def test_a_file_tells_them_and_others_are_as_before(path, task, works):
    metadata = read_metadata(path.read_bytes())
    assert metadata["samples"]["grade"] == dataclasses.asdict(STARS)
    assert samples_of(metadata) == task.samples
    check_told(task, metadata)
    with pytest.raises(ExportError, match=r"samples\.grade: the run has"):
        check_told(
            task.changed(samples=dataclasses.replace(task.samples, grade=GradeConfig())), metadata
        )
    wrong = {**metadata["samples"], "grade": {"column": "stars", "values": {"good": 7}}}
    with pytest.raises(ExportError, match=r"samples\.grade\.values\.good: expected"):
        samples_of({"samples": wrong})
    plain = works["linear"].task.samples
    assert (plain.grade.column, plain.weight.column) == (None, None)


def test_a_device_trains_on_the_grades_that_its_app_gave(model, tmp_path, monkeypatch):
    device = Device.create(
        tmp_path / "1.state",
        model,
        user=1,
        history=[3, 1],
        profile={},
        context={"stars": ["good", "bad"], "dwell": ["long", "short"]},
    )
    device.interact([4, 8], context={"stars": [None, "good"], "dwell": ["short", None]})
    rows = []
    train = DeviceModel.train_batch

    def watched(self, batch):
        rows.extend(zip(batch["candidates"], batch["labels"], batch["mask"], strict=True))
        return train(self, batch)

    monkeypatch.setattr(DeviceModel, "train_batch", watched)
    before = device.score([7])
    assert device.train(TrainingPlan()).refused == 0
    # The first interaction has no history before it and is no position.
    found = {int(item): (float(label), float(mask)) for item, label, mask in rows if mask}
    own = {1: (0.0, 0.25), 4: (0.5, 0.25), 8: (1.0, 1.0)}
    assert {item: found[item] for item in own} == own
    others = [(label, mask) for item, (label, mask) in found.items() if item not in own]
    assert {label for label, _ in others} == {0.25}
    assert not np.array_equal(device.score([7]), before)
    # Kept, shown to its user, and nothing that a request has.
    again = Device(tmp_path / "1.state", model)
    assert "'stars': 'bad'" in str(again.export_personal_data())
    with pytest.raises(DeviceError, match="the file reads no context, got stars"):
        again.score([7], context={"stars": "good"})
