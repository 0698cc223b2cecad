"""A runtime of its own, LiteRT.js in Node, computes what LiteRT does: inference and training."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.data.clock import clock_reading
from mobile_export.making.examples import DeviceExample, example_inputs

FOLDER = Path(__file__).parent / "browser"
UNUSED = {"unused": np.zeros(1, np.float32)}
STATIC = (6, 4)
NOW = 1_790_000_000


@pytest.fixture(scope="module")
def node():
    """The command, once the package is installed beside `run.mjs`."""
    missing = None
    command = shutil.which("node")
    if command is None:
        missing = "needs Node 20 or newer"
    elif not (FOLDER / "node_modules").is_dir():
        missing = "needs LiteRT.js: `make test-browser` installs it"
    if missing and os.environ.get("ECCT_REQUIRE_NODE") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    return command


def encoded(arrays):
    return {
        name: {"dtype": str(array.dtype), "data": base64.b64encode(array.tobytes()).decode()}
        for name, array in arrays.items()
    }


def decoded(arrays):
    return {
        name: np.frombuffer(base64.b64decode(part["data"]), part["dtype"])
        for name, part in arrays.items()
    }


def in_node(node, path, calls, *, layer):
    """The outputs of each call, flat."""
    request = {"layer": layer, "calls": [{"signature": n, "inputs": encoded(i)} for n, i in calls]}
    done = subprocess.run(
        [node, FOLDER / "run.mjs", path],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [decoded(reply) for reply in json.loads(done.stdout)]


def in_litert(content, calls):
    """The same in LiteRT where it is installed, or in TensorFlow's copy of it."""
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError:
        litert = tf.lite
    interpreter = litert.Interpreter(model_content=content)
    runners = {name: interpreter.get_signature_runner(name) for name, _ in calls}
    return [runners[name](**inputs) for name, inputs in calls]


@pytest.mark.parametrize(
    ("tier", "codec", "layer", "clock"),
    [
        ("linear", "float16", "api", False),
        ("mlp", "int8", "wasm", True),
        ("attention", "float32", "api", False),
    ],
)
def test_static_files_infer_and_train_alike(
    node, works, clocked_parts, exported, tmp_path, tier, codec, layer, clock
):
    # The loss of the model with a clock reads whole positions, of four.
    static = (8, 4) if clock else STATIC
    graph, content = exported(tier, static=static, codec=codec, clock=clock, optimizer="adam")
    spec = works[tier].model.spec
    example = DeviceExample(
        history=np.array([0, 0, 3, 9, 4, 11], np.int32),
        candidates=np.array([5, 1, 40, 7], np.int32),
        profile=np.ones(len(spec.profile_sizes), np.int32),
        user_embedding=np.arange(spec.cloud_dim).astype(np.int8),
        user_embedding_scale=2.0**-7,
        clock=clock_reading(
            np.array([NOW - 90_000, NOW - 4_000, NOW - 60, NOW]),
            now=NOW + 5,
            config=clocked_parts.config.features,
        ),
    )
    inputs = {name: example_inputs(example, part) for name, part in graph.contract.items()}
    asked = [(name, inputs[name]) for name in ("infer", "score", "uplink")]
    train, save = ("train", inputs["train"]), ("save", UNUSED)
    # What the state is after one step, to go back to.
    state = in_litert(content, [train, save])[1]["state"]
    restored = ("restore", {"state": state})
    weights = ("get_weights", UNUSED)
    # A label that is no number: its row counts for nothing.
    labels, mask = inputs["train"]["labels"].copy(), inputs["train"]["mask"].copy()
    labels[1], mask[1] = np.nan, 0
    odd, masked = (
        ("train", {**inputs["train"], name: part})
        for name, part in (("labels", labels), ("mask", mask))
    )
    calls = [*asked, train, train, train, save, *asked, restored, save, train, weights]
    calls += [restored, odd, weights, restored, masked, weights]
    path = tmp_path / "edge.tflite"
    path.write_bytes(content)
    ours, theirs = in_litert(content, calls), in_node(node, path, calls, layer=layer)
    for place, ((name, _), expected, found) in enumerate(zip(calls, ours, theirs, strict=True)):
        assert set(found) == set(expected)
        for port, value in expected.items():
            assert found[port].dtype == value.dtype, (name, port)
            if name == "uplink" and place < len(asked):
                # The same state, a fixed order of sums: the same bits.
                assert found[port].tobytes() == value.tobytes(), port
            # Relative for the one number above 1, the norm of a gradient. After training, whose
            # sums have no fixed order, a number near the middle of two codes may have either.
            encoded = name == "uplink" and np.issubdtype(value.dtype, np.integer)
            np.testing.assert_allclose(
                found[port],
                value.ravel(),
                rtol=1e-6,
                atol=1 if encoded else 1e-6,
                err_msg=f"{name}: {port}",
            )
    # And it did learn, and the state came back bit by bit.
    assert np.abs(theirs[7]["logit"] - theirs[0]["logit"]).max() > 1e-3
    assert theirs[11]["state"].tobytes() == state.tobytes()
    learned, without = theirs[-4]["weights"], theirs[-1]["weights"]
    assert np.isfinite(learned).all()
    if not clock:
        assert learned.tobytes() == without.tobytes()
