"""What Kotlin and browsers compare their grades, weights and further targets with.

As `test_mobile_export_android.py`: `WRITE_GOLDEN=1` writes the files in `golden/outcomes` anew.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import GradeConfig, TargetConfig, WeightConfig
from ecct_tf.data.outcomes import outcome_weights, sample_labels, target_labels
from ecct_tf.edge import build_edge_model
from mobile_export.contract.samples import samples_of
from mobile_export.contract.signatures import Port, Signature
from mobile_export.device import DeviceModel
from mobile_export.device.moments import context_rows, context_words
from mobile_export.device.personal import personal_data
from mobile_export.device.state import DeviceState
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.export import Labels, export_edge_model

GOLDEN = Path(__file__).parents[2] / (
    "mobile_export/android/ecct-edge-core/src/test/resources/golden"
)
FOLDER = GOLDEN / "outcomes"
USER, OLDER = 11, 2
# The last is one that the file does not know.
ITEMS = ["film 3", "film 1", "film 4", "film 15", "film 9", "film 26", "never seen"]
TIMES = [1_790_000_000 + place for place in range(len(ITEMS))]
CONTEXT = {
    # UTF-16 has another order of these than Python.
    "dwell": ["short", "long", "\U0001f600", None, "\uff5e", "short", "long"],
    "stars": ["good", "bad", "bad", "good", "whatever", None, "good"],
}
CANDIDATES = ["film 5", "film 35", "film 8", "never seen"]
DWELL = {"short": 0.25, "long": 1.0, "\U0001f600": 0.5, "\uff5e": 0.75}
STARS = {"good": 1.0, "bad": 0.0}


@pytest.fixture(scope="module")
def fresh(works, table, task_of, film_tokens, tmp_path_factory):
    """The linear tier with grades, weights and two further targets, as exported now."""
    work = works["linear"]
    samples = dataclasses.replace(
        work.task.samples,
        grade=GradeConfig("stars", {"good": 1.0, "bad": 0.2}, unknown=0.5, negatives=0.1),
        weight=WeightConfig("dwell", DWELL, unknown=0.3),
        targets={
            "like": TargetConfig("stars", STARS, weight=2.0),
            "dwell": TargetConfig("dwell", DWELL, negatives=0.0, loss="huber"),
        },
    )
    task = task_of(work, optimizer="sgd").changed(samples=samples)
    edge = build_edge_model(
        "linear", dataclasses.replace(work.model.spec, targets=("dwell", "like"))
    )
    (file,) = export_edge_model(
        edge,
        edge.layout.initial(3),
        table,
        task=task,
        out=tmp_path_factory.mktemp("outcomes"),
        labels=Labels({}, film_tokens, {"run": "golden", "user": None}),
    )
    return file.path


@pytest.fixture(scope="module")
def golden(fresh, golden_files):
    """Folder of the golden files."""
    return golden_files(FOLDER, fresh, _case)


def test_the_golden_file_tells_what_is_exported_now(golden, fresh):
    found, expected = (read_metadata(path.read_bytes()) for path in (golden / "edge.tflite", fresh))
    for name in ("samples", "signatures", "training", "weights", "profile", "features"):
        assert found[name] == expected[name], name


def test_the_golden_case_is_what_python_writes_now(golden):
    case, now = json.loads((golden / "case.json").read_text(encoding="utf-8")), _case()
    assert set(case) == set(now)
    for name in set(now) - {"score", "trained"}:
        assert case[name] == now[name], name
    for name in ("score", "trained"):
        for key, values in now[name].items():
            np.testing.assert_allclose(case[name][key], values, atol=1e-5)


def test_python_reads_the_golden_state(golden):
    case = json.loads((golden / "case.json").read_text(encoding="utf-8"))
    content = bytes.fromhex(case["state"])
    state = DeviceState.from_bytes(content, name="golden")
    assert state.as_bytes() == content
    assert content[4] == 3
    words = context_words(state.context, values=state.context_values)
    known = {name: values[:-1] for name, values in CONTEXT.items()}
    known["stars"][4] = None
    assert words == known


def _case():
    model = DeviceModel(FOLDER / "edge.tflite", runtime="tensorflow")
    state = model.with_interactions(
        model.begin(user=USER, profile={}), ITEMS, times=TIMES, context=CONTEXT
    )
    state = model.labelled(dataclasses.replace(state, num_older=OLDER))
    told = personal_data(state)
    return {
        "user": USER,
        "items": ITEMS,
        "times": TIMES,
        "older": OLDER,
        "context": CONTEXT,
        "candidates": CANDIDATES,
        "columns": [[name, list(words)] for name, words in model.file.kept_columns.items()],
        "state": state.as_bytes().hex(),
        "personal": [each["context"] for each in told["interactions"]],
        "waiting": told["labels"]["waiting"],
        **_draw(model.file.metadata),
        "score": _score(state),
        "trained": _trained(model.file.metadata),
    }


def _draw(metadata):
    """Labels and weights of the samples that `wire.json` has drawn."""
    draw = json.loads((GOLDEN / "wire.json").read_text(encoding="utf-8"))["draw"]
    samples = samples_of(metadata)
    columns = {"stars": ["bad", "good"], "dwell": ["long", "short", "\uff5e", "\U0001f600"]}
    codes = context_rows(CONTEXT, count=len(ITEMS), values=columns)
    # Before a position lie as many items as its history has: none is longer than the slots.
    at = codes[np.count_nonzero(draw["histories"], axis=1)]
    column = 1 - np.array(draw["labels"], int)
    rows = np.arange(len(at))
    return {
        "labels": sample_labels(at, samples)[rows, column].tolist(),
        "weights": outcome_weights(at, samples).tolist(),
        "target_labels": target_labels(at, samples)[rows, column].tolist(),
    }


def _score(state):
    rows = [int(token.removeprefix("film ")) if "film" in token else 0 for token in CANDIDATES]
    loaded = tf.lite.Interpreter(model_path=str(FOLDER / "edge.tflite"))
    metadata = read_metadata((FOLDER / "edge.tflite").read_bytes())
    example = _example(metadata, state.history, rows)
    answer = loaded.get_signature_runner("score")(
        **example_inputs(example, _signature(metadata, "score"))
    )
    return {name: value.tolist() for name, value in answer.items()}


def _trained(metadata):
    """Two epochs on the drawn samples: mean losses of each, and the weights."""
    draw = json.loads((GOLDEN / "wire.json").read_text(encoding="utf-8"))["draw"]
    draw |= _draw(metadata)
    loaded = tf.lite.Interpreter(model_path=str(FOLDER / "edge.tflite"))
    unused = {"unused": np.zeros(1, np.float32)}
    loaded.get_signature_runner("reset_optimizer")(**unused)
    step = loaded.get_signature_runner("train")
    example = _example(metadata, [3], [1])
    given = example_inputs(example, _signature(metadata, "train"))
    training = metadata["training"]
    for name in ("learning_rate", "private_learning_rate"):
        given[name] = np.array([training[name]], np.float32)
    size, count = training["batch_size"], len(draw["labels"])
    losses, of_targets = [], []
    for _ in range(2):
        total, others = 0.0, np.zeros(2)
        for start in range(0, count, size):
            used = min(size, count - start)
            for name, key, dtype in (
                ("history", "histories", np.int32),
                ("candidates", "candidates", np.int32),
                ("labels", "labels", np.float32),
                ("mask", "weights", np.float32),
                ("target_labels", "target_labels", np.float32),
            ):
                rows = np.array(draw[key][start : start + used], dtype)
                given[name] = np.pad(rows, [(0, size - used)] + [(0, 0)] * (rows.ndim - 1))
            told = step(**given)
            assert told["applied"][0] == 1
            total += used * float(told["loss"][0])
            others += used * told["target_losses"]
        losses.append(total / count)
        of_targets.append((others / count).tolist())
    weights = loaded.get_signature_runner("get_weights")(**unused)["weights"]
    return {"losses": losses, "target_losses": of_targets, "weights": weights.tolist()}


def _example(metadata, history, candidates):
    """Of a device that the cloud has sent nothing, with an unknown profile."""
    length, width = metadata["model"]["history_length"], metadata["exchange"]["cloud_dim"]
    slots = np.zeros(length, np.int32)
    slots[length - len(history) :] = history
    return DeviceExample(
        history=slots,
        candidates=np.array(candidates, np.int32),
        profile=np.zeros(len(metadata["profile"]), np.int32),
        user_embedding=np.zeros(width, np.int8),
    )


def _signature(metadata, name):
    found = metadata["signatures"][name]
    ports = [
        [Port(port["name"], port["dtype"], tuple(port["shape"]), "") for port in found[side]]
        for side in ("inputs", "outputs")
    ]
    return Signature(name, tuple(ports[0]), tuple(ports[1]), "")
