"""Which files a device in Python takes: those that belong to its state, and to nothing else."""

import dataclasses
import importlib.util
import shutil
import sys

import numpy as np
import pytest

from ecct_tf.edge.start_files import start_file
from ecct_tf.errors import CodecError, DeviceError, ExportError
from ecct_tf.knowledge.table_files import item_table_file
from ecct_tf.wire import StartFile, digest_of
from mobile_export.device import (
    Device,
    DeviceFleet,
    DeviceModel,
    ReceivedDownlink,
    TrainingPlan,
)
from mobile_export.flatbuffer.packing import digest
from mobile_export.making.export import export_edge_model

RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"


def test_a_downlink_of_another_item_table_is_refused_and_does_not_move_to_a_new_file(
    tmp_path, packed, works, task_of, weights_of, table, views, downlink, held
):
    model = DeviceModel(packed("mlp"), runtime=RUNTIME)
    own = digest_of(item_table_file(table, table.form).to_bytes())
    assert model.file.table_sha256 == own
    device = Device.create(tmp_path / "device.state", model, **held(views[3]))
    device.receive(dataclasses.replace(downlink, table_sha256=own))
    before = device.state.as_bytes()
    message = f"belongs to item table {'ab' * 8}…, edge-mlp-trainable-int4.tflite holds {own[:16]}"
    with pytest.raises(DeviceError, match=message):
        device.receive(dataclasses.replace(downlink, table_sha256="ab" * 32))
    assert Device(device.path, model).state.as_bytes() == before
    (file,) = export_edge_model(
        works["mlp"].model,
        weights_of(works["mlp"]),
        dataclasses.replace(table, bias=table.bias + np.float32(1)),
        task=task_of(works["mlp"]),
        out=tmp_path / "newer",
    )
    moved = Device.adopt(device.path, DeviceModel(file.path, runtime=RUNTIME))
    assert moved.state.downlink is None
    assert np.array_equal(moved.weights, device.weights)


def test_a_static_file_serves_any_number_of_rows(packed, device, plan, downlink, tmp_path):
    static = DeviceModel(packed("mlp", static=True), runtime=RUNTIME)
    other = Device.create(
        tmp_path / "static",
        static,
        user=device.state.user,
        history=device.state.history,
        profile=device.state.profile,
        num_older=device.state.num_older,
    )
    other.receive(downlink)
    assert (static.file.sizes.batch, static.file.sizes.candidates) == (8, 5)
    assert other.train(plan).steps == device.train(plan).steps
    np.testing.assert_allclose(other.weights, device.weights, atol=1e-6)
    candidates = np.arange(1, 13)
    np.testing.assert_allclose(other.score(candidates), device.score(candidates), atol=1e-5)
    with pytest.raises(DeviceError, match="takes 8 rows, the plan trains batches of 9"):
        other.train(TrainingPlan(batch_size=9))


def test_a_state_of_another_file_is_refused_until_it_is_adopted(packed, device, plan, tmp_path):
    device.train(plan)
    path = tmp_path / "edge-mlp-newer.tflite"
    content = packed("mlp").read_bytes() + b"\0"
    path.write_bytes(content)
    newer = DeviceModel(path, runtime=RUNTIME, sha256=digest(content))
    with pytest.raises(DeviceError, match="belongs to the file with SHA-256"):
        Device(device.path, newer)
    fleet = DeviceFleet(device.path.parent, device.model)
    shutil.copy(device.path, fleet.folder / f"{device.state.user}.state")
    assert fleet.users == [device.state.user]
    adopted = fleet.move_to(newer)[device.state.user]
    assert np.array_equal(adopted.weights, device.weights)
    assert adopted.state.downlink is not None
    other = DeviceModel(packed("linear"), runtime=RUNTIME)
    with pytest.raises(DeviceError, match="not laid out as those of edge-linear"):
        Device.adopt(device.path, other)


def test_a_start_that_came_apart_from_the_file_is_for_devices_that_never_trained(
    works, device, plan, monkeypatch
):
    edge = works["mlp"].model
    start, _ = start_file(edge, edge.layout.initial(11), "int8")
    before = device.state
    device.adopt_start(StartFile.from_bytes(start.to_bytes()))
    np.testing.assert_array_equal(device.weights, start.weights)
    # The optimiser's slots stay as the file begins with them.
    size = len(start.weights)
    np.testing.assert_array_equal(device.state.values[size:], before.values[size:])
    other = works["linear"].model
    wrong, _ = start_file(other, other.layout.initial(0), "int8")
    with pytest.raises(CodecError, match=rf"{other.fingerprint[:16]}.*{edge.fingerprint[:16]}"):
        device.adopt_start(wrong)
    device.train(plan)
    with pytest.raises(DeviceError, match=r"has trained \(rounds: 1\)"):
        device.adopt_start(start)
    monkeypatch.setattr(DeviceModel, "trainable", property(lambda _: False))
    with pytest.raises(DeviceError, match="does not train"):
        device.model.adopt_start(before, start)


def test_what_does_not_fit_is_refused_with_a_reason(device, model, views, downlink, held):
    with pytest.raises(DeviceError, match="holds a device already"):
        Device.create(device.path, model, **held(views[3]))
    with pytest.raises(DeviceError, match="expected 2 profile values"):
        model.begin(user=1, profile=[1])
    with pytest.raises(DeviceError, match=r"num_older must be in 0\.\.2"):
        model.begin(user=1, profile=[0, 0], history=[1, 2], num_older=3)
    fresh = model.begin(user=1, profile=[0, 0])
    with pytest.raises(DeviceError, match="expected queries to answer"):
        model.uplink(fresh)
    with pytest.raises(DeviceError, match="cloud and edge-mlp"):
        device.receive(ReceivedDownlink(np.zeros(3, np.float32), downlink.queries))
    with pytest.raises(DeviceError, match="expected a list of item ids"):
        device.score([])
    with pytest.raises(DeviceError, match="expected a list of whole numbers"):
        device.interact([1.5])
    with pytest.raises(DeviceError, match=r"or the \d+ shared ones"):
        device.receive(downlink, shared_weights=[0.0])


def test_values_that_the_file_refuses_are_an_error(device, model):
    for value, told in ((np.nan, "expected finite numbers"), (1e9, "refused its values")):
        with pytest.raises(DeviceError, match=told):
            model.with_weights(device.state, np.full(model.file.sizes.weights, value, np.float32))
    assert np.isfinite(device.score([1])).all()


def test_an_altered_file_is_refused_before_it_is_loaded(packed, tmp_path):
    for name in (packed("mlp").name, "manifest.json"):
        shutil.copy(packed("mlp").parent / name, tmp_path)
    path = tmp_path / packed("mlp").name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ExportError, match="damaged or altered"):
        DeviceModel(path, runtime=RUNTIME)


def test_a_missing_runtime_is_told(packed, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ExportError, match="litert is not installed here") as told:
        DeviceModel(packed("mlp"))
    assert "`--runtime tensorflow`" in str(told.value)
    assert "--litert-python" not in str(told.value)  # which no device and no cycle takes
