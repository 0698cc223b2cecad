"""LiteRT's CompiledModel runs the same files as its Interpreter, to the same bits."""

import importlib.util
import sys

import numpy as np
import pytest

from ecct_tf.errors import DeviceError, ExportError
from mobile_export.checking.synthetic import synthetic_examples
from mobile_export.checking.verification import verify_file
from mobile_export.device import Device, DeviceModel, ReceivedDownlink, TrainingPlan
from mobile_export.making.examples import example_inputs
from mobile_export.runtime.interpreter import Interpreter
from mobile_export.runtime.loaded_file import LoadedFile

UNUSED = {"unused": np.zeros(1, np.float32)}

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="needs ai-edge-litert"
)


def batches(file, path):
    """50 batches for `train`, the last ones shorter where the caller decides."""
    rng = np.random.default_rng(1)
    (example,) = synthetic_examples(path)[:1]
    given = example_inputs(example, file.contract["train"])
    for step in range(50):
        # Whole positions of three negatives, as the loss of one of the files reads them.
        rows = file.sizes.batch or (8 if step < 40 else 4)
        drawn = {
            "history": rng.integers(0, 41, (rows, file.sizes.history_length)).astype(np.int32),
            "candidates": rng.integers(1, 41, rows).astype(np.int32),
            "labels": rng.integers(0, 2, rows).astype(np.float32),
            "mask": np.ones(rows, np.float32),
            "learning_rate": np.array([0.05], np.float32),
        }
        if "clock" in given:
            drawn["clock"] = rng.random((rows, file.sizes.clock_width)).astype(np.float32)
        yield {**given, **drawn}


@pytest.fixture(params=["linear", "mlp", "attention", "mlp static", "clock"])
def path(request, packed, clocked):
    if request.param == "clock":
        return clocked.path
    tier, _, static = request.param.partition(" ")
    return packed(tier, static=bool(static))


@needs_litert
def test_fifty_steps_and_every_answer_are_equal_to_the_bit(path):
    files = [LoadedFile(path, runtime=runtime) for runtime in ("litert", "litert-compiled")]

    def same(name, inputs):
        found, expected = (file.call(name, inputs) for file in reversed(files))
        assert found.keys() == expected.keys()
        for output, values in expected.items():
            assert found[output].shape == values.shape
            assert found[output].tobytes() == values.tobytes(), (name, output)
        return found

    begun = same("save", UNUSED)["state"]
    for inputs in batches(files[0], path):
        assert same("train", inputs)["applied"] == 1
    trained = same("save", UNUSED)["state"]
    assert np.abs(trained - begun).max() > 1e-3
    for example in synthetic_examples(path)[:2]:
        for name in ("infer", "score", "uplink"):
            same(name, example_inputs(example, files[0].contract[name]))
    assert same("restore", {"state": begun})["accepted"] == 1
    assert same("save", UNUSED)["state"].tobytes() == begun.tobytes()
    weights = trained[: files[0].sizes.weights] / 2
    assert same("set_weights", {"weights": weights})["accepted"] == 1
    assert same("get_weights", UNUSED)["weights"].tobytes() == weights.tobytes()
    assert same("reset_optimizer", UNUSED)["step"] == 0


@needs_litert
def test_a_device_goes_on_in_the_other_runtime(packed, tmp_path):
    models = [DeviceModel(packed("mlp"), runtime=r) for r in ("litert", "litert-compiled")]
    width = models[0].file.sizes.cloud_dim
    downlink = ReceivedDownlink(np.arange(width).astype(np.int8), [5, 1, 40, 7], scale=2.0**-6)
    lives = []
    for order in ([0, 0], [1, 1], [1, 0]):
        path = tmp_path / f"{order}.state"
        given = {"user": 7, "profile": [1, 2], "history": [3, 1, 4, 15, 9, 2]}
        Device.create(path, models[order[0]], **given)
        answers = []
        for model in (models[each] for each in order):
            device = Device(path, model)
            answers.append(device.take_part(downlink, TrainingPlan(seed=3))[1])
        scored = device.score(np.arange(1, 30))
        assert len(device.recommend(7)) == 7
        lives.append((answers, scored.tobytes(), device.state.as_bytes()))
    assert lives[0] == lives[1] == lives[2]


@needs_litert
def test_wrong_inputs_are_refused_and_the_next_call_is_sound(packed):
    file = LoadedFile(packed("mlp"), runtime="litert-compiled")
    state = file.call("save", UNUSED)["state"]
    for name, inputs in (
        ("restore", {"state": state[:-3]}),
        ("restore", {"state": state.astype(np.float64)}),
        ("restore", {"weights": state}),
        ("save", {"unused": np.zeros(4, np.float32)}),
    ):
        with pytest.raises(DeviceError, match=f"{name} was refused"):
            file.call(name, inputs)
        assert file.call("restore", {"state": state})["accepted"] == 1
    assert file.call("save", UNUSED)["state"].tobytes() == state.tobytes()


@needs_litert
@pytest.mark.parametrize("static", [False, True])
def test_verify_looks_into_it_as_well(static, packed):
    path = packed("mlp", static=static)
    with Interpreter("litert-compiled") as compiled:
        checks = verify_file(
            path, [compiled], examples=synthetic_examples(path), damaged=2, hostile=20
        )
    inside = [check for check in checks if "CompiledModel" in check.where]
    assert len(inside) >= 3
    assert [check for check in inside if check.passed is False] == []


def test_where_there_is_no_litert_it_says_so(packed, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ExportError, match="litert-compiled is not installed here"):
        LoadedFile(packed("mlp"), runtime="litert-compiled")
