"""A device in headless Chromium is the device in Python: the same states, payloads and refusals."""

import dataclasses
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.config import GradeConfig, TargetConfig
from ecct_tf.edge import build_edge_model
from ecct_tf.wire import UplinkRecord
from ecct_tf.wire.row_codec import decoded_rows, encoded_rows
from mobile_export.device import DeviceModel
from mobile_export.device.state import DeviceState
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import Labels, export_edge_model

WEB = Path(__file__).parents[2] / "mobile_export/web"
GOLDEN = WEB.parent / "android/ecct-edge-core/src/test/resources/golden"
LITERT = importlib.util.find_spec("ai_edge_litert") is not None
RUNTIME = "litert" if LITERT else "tensorflow"
EXAMPLES = WEB.parents[1] / "examples/own_codecs"
INT4 = "own_codecs.four_bits:int4"
USER = 11
NOW = 1_790_001_000
TIMES = [NOW - before for before in (701_000, 91_000, 4_600, 2_500, 1_070, 1_060, 1_050, 1_000)]
ITEMS = ["film 3", "film 1", "never seen", "film 4", "film 15", "Amélie – 雨", "film 9", "film 26"]
ROWS = [3, 1, 4, 15, 39, 9, 26]
CANDIDATES = ["film 5", "film 35", "film 8", "never seen", "film 7", "film 2"]
STATIC = (8, 5)


@pytest.fixture(scope="module")
def node():
    """The command, once the package's own packages are installed beside it."""
    # A minute of its own: `make test` need not repeat it.
    if os.environ.get("ECCT_REQUIRE_NODE") != "1":
        pytest.skip("`make test-browser` runs it")
    command = shutil.which("node")
    if command is None or not (WEB / "node_modules").is_dir():
        pytest.fail("needs Node 20.11 or newer, LiteRT.js and Chromium: `make test-browser`")
    return command


@pytest.fixture(scope="module")
def in_chromium(node):
    """`in_chromium(module, folder, argument)`: what a module of `checks` answers in a page."""

    def in_chromium(module, folder, argument):
        done = subprocess.run(
            [node, WEB / "checks/run.mjs", WEB / "checks" / module, folder],
            input=json.dumps(argument),
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return in_chromium


@pytest.fixture(scope="module")
def static_file(works, clocked_parts, table, task_of, weights_of, tmp_path_factory):
    """`static_file(tier, clock)`: a file for a browser, with tokens."""

    def static_file(tier, *, clock, samples=None, codec="int8", **training):
        work = clocked_parts.work if clock else works[tier]
        work = work.changed(exchange=dataclasses.replace(work.exchange, codec=codec))
        items = dataclasses.replace(clocked_parts.table if clock else table, form="int8")
        task, model = task_of(work, **training), work.model
        if samples is not None:
            task = task.changed(samples=dataclasses.replace(task.samples, **samples))
            spec = dataclasses.replace(model.spec, targets=task.targets)
            model = build_edge_model(tier, spec)
        profile = {
            f"c{n}": [f"v{k}" for k in range(1, size)]
            for n, size in enumerate(work.model.spec.profile_sizes)
        }
        tokens = [f"film {k}" for k in range(1, 39)] + ["Amélie – 雨", "two\u2028lines"]
        files = export_edge_model(
            model,
            weights_of(work) if samples is None else model.layout.initial(3),
            items,
            task=task,
            out=tmp_path_factory.mktemp("web"),
            static=STATIC,
            labels=Labels(profile, tokens, {"run": "web", "user": None}),
        )
        return files[1].path

    return static_file


def asked_of(path):
    """What a device is asked, for the scenario and for Python."""
    metadata = read_metadata(path.read_bytes())
    width = metadata["exchange"]["cloud_dim"]
    embedding = (np.arange(width) * 20 - 50).astype(np.int8).tobytes()
    queries = np.array([5, 35, 8, 0], "<i4").tobytes()
    return {
        "file": path.name,
        "user": USER,
        "items": ITEMS,
        "times": TIMES,
        "older": 2,
        "profile": {column["name"]: "v1" for column in metadata["profile"]},
        "downlink": (embedding + np.float16(2.0**-7).tobytes() + queries).hex(),
        "told": {
            "cloudVersion": 3,
            "round": 5,
            "tableSha256": metadata["items"]["table_sha256"],
        },
        "candidates": CANDIDATES,
        "now": NOW,
        "createdAt": NOW,
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("tier", "clock", "optimizer"),
    [("linear", False, "sgd"), ("mlp", True, "adam"), ("attention", False, "adagrad")],
)
def test_the_browser_keeps_answers_and_learns_as_python_does(
    in_chromium, static_file, tier, clock, optimizer
):
    path = static_file(tier, clock=clock, optimizer=optimizer)
    asked = asked_of(path)
    found = in_chromium("device.mjs", path.parent, asked)
    model = DeviceModel(path, runtime=RUNTIME)

    state = DeviceState.from_bytes(bytes.fromhex(found["before"]), name="browser")
    assert state.as_bytes().hex() == found["before"]
    assert found["known"] == len(ROWS)
    assert state.history.tolist() == ROWS
    assert state.times.tolist() == [
        time for time, item in zip(TIMES, ITEMS, strict=True) if item != "never seen"
    ]
    assert (state.user, state.num_older, state.profile.tolist()) == (USER, 2, [1, 1])
    waiting = [("never seen", 2, TIMES[2])]
    assert [dataclasses.astuple(each)[:3] for each in state.labels.waiting] == waiting
    rows = [5, 35, 8, 0, 7, 2]
    expected = model.score(state, rows, now=NOW)
    logits = [score["logit"] for score in found["scores"]]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert [score["known"] for score in found["scores"]] == [row > 0 for row in rows]
    unseen = [row for row in range(1, 41) if row not in ROWS]
    ranked = model.score(state, unseen, now=NOW)
    best = [f"film {unseen[place]}" for place in np.argsort(-ranked, kind="stable")[:5]]
    named = {"film 39": "Amélie – 雨", "film 40": "two\u2028lines"}
    assert [score["item"] for score in found["best"]] == [named.get(b, b) for b in best]

    # The same state, the same bytes.
    payload = model.uplink(state)
    assert found["uplink"] == payload.hex()
    record = UplinkRecord.from_bytes(bytes.fromhex(found["record"]))
    assert record.payload == payload
    assert (record.user, record.round_number, record.cloud_version) == (USER, 5, 3)
    assert found["record"] == record.to_bytes().hex()
    assert model.envelope(state, payload, created_at_seconds=NOW) == record

    # It learned what Python learns from these samples, and answers the same bytes thereafter.
    assert found["report"]["samples"] == len(found["samples"]) > 8
    assert found["report"]["completed"]
    trained = trained_on(model, state, found["samples"])
    after = DeviceState.from_bytes(bytes.fromhex(found["after"]), name="browser")
    assert after.round_number == 1
    size = model.file.metadata["weights"]["size"]
    np.testing.assert_allclose(after.values[:size], trained.values[:size], rtol=0, atol=2e-6)
    assert np.abs(after.values[:size] - state.values[:size]).max() > 1e-4
    assert found["trainedUplink"] == model.uplink(after).hex() != found["uplink"]
    np.testing.assert_allclose(
        [score["logit"] for score in found["trainedScores"]],
        model.score(model.served(after), rows, now=NOW), atol=1e-5,
    )  # fmt: skip

    # What was kept is there again, is open once, and is gone when it is forgotten.
    assert found["again"] == found["after"]
    assert found["againUplink"] == found["trainedUplink"]
    assert "StateError" in found["secondOpener"]
    assert "another tab or worker has it" in found["secondOpener"]
    assert [each["item"] for each in found["personal"]["interactions"]] == [
        item for item in ITEMS if item != "never seen"
    ]
    assert found["personal"]["labels"]["waiting"] == [list(each) for each in waiting]
    assert found["forgotten"] is None
    assert found["anew"] == 0


def test_the_browser_trains_by_further_targets_as_python_does(in_chromium, static_file):
    stars = {"good": 1.0, "bad": 0.0}
    samples = {
        "grade": GradeConfig("stars", {"good": 1.0, "bad": 0.25}),
        "targets": {"like": TargetConfig("stars", stars, weight=2.0)},
    }
    path = static_file("mlp", clock=False, samples=samples)
    context = {"stars": ["good", "bad", "good", None, "bad", "good", "bad", "good"]}
    asked = asked_of(path)
    found = in_chromium("device.mjs", path.parent, {**asked, "context": context})
    model = DeviceModel(path, runtime=RUNTIME)
    state = DeviceState.from_bytes(bytes.fromhex(found["before"]), name="browser")
    assert state.as_bytes().hex() == found["before"]
    assert state.context[:, 0].tolist() == [2, 1, 0, 1, 2, 1, 2]
    logits = model.target_logits(state, [5, 35, 8, 0, 7, 2])
    np.testing.assert_allclose(found["targetLogits"]["like"], logits["like"], atol=1e-5)
    own = {each["candidate"]: each for each in found["samples"] if each["label"] > 0}
    assert [own[row]["targets"] for row in ROWS[2:]] == [[-1], [0], [1], [0], [1]]
    assert found["report"]["targetLosses"]["like"] > 0
    trained = trained_on(model, state, found["samples"])
    after = DeviceState.from_bytes(bytes.fromhex(found["after"]), name="browser")
    size = model.file.metadata["weights"]["size"]
    np.testing.assert_allclose(after.values[:size], trained.values[:size], rtol=0, atol=2e-6)


def test_the_browser_exchanges_through_a_codec_of_the_app(in_chromium, static_file, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    path = static_file("linear", clock=False, codec=INT4)
    shutil.copy(EXAMPLES / "web" / "four_bits.js", path.parent)
    asked = asked_of(path)
    width = read_metadata(path.read_bytes())["exchange"]["cloud_dim"]
    known = np.random.default_rng(3).standard_normal(width).astype(np.float32)
    content = encoded_rows(INT4, known)
    downlink = content.tobytes() + np.array([5, 35, 8, 0], "<i4").tobytes()
    found = in_chromium(
        "device.mjs", path.parent, {**asked, "downlink": downlink.hex(), "codec": INT4}
    )
    model = DeviceModel(path, runtime=RUNTIME, codec=INT4)
    state = DeviceState.from_bytes(bytes.fromhex(found["before"]), name="browser")
    assert state.as_bytes().hex() == found["before"]
    received = state.downlink.user_embedding
    np.testing.assert_array_equal(received, decoded_rows(INT4, content, width))
    payload = model.uplink(state)
    assert found["uplink"] == payload.hex()
    record = model.envelope(state, payload, created_at_seconds=NOW)
    assert found["record"] == record.to_bytes().hex()
    after = DeviceState.from_bytes(bytes.fromhex(found["after"]), name="browser")
    assert found["trainedUplink"] == model.uplink(after).hex() != found["uplink"]


def test_the_demo_page_recommends_trains_and_forgets_without_a_request(node, static_file):
    path = static_file("mlp", clock=True)
    done = subprocess.run(
        [node, WEB / "checks/demo.mjs", path.parent],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    *picked, trained = found["steps"]
    assert [len(step["history"]) for step in found["steps"]] == [0, 1, 2, 3, 3]
    assert trained["history"] == ["film 9", "film 6", "film 4"]
    assert "loss" in trained["training"]
    shown = [step["recommended"] for step in found["steps"]]
    assert all(one != next_one for one, next_one in itertools.pairwise(shown))
    assert not any(line.startswith("film 9 ") for line in trained["recommended"])
    payload = bytes.fromhex(trained["uplink"])
    metadata = read_metadata(path.read_bytes())
    assert len(payload) == 4 * (1 + 4) + 4 * metadata["exchange"]["embedding_dim"] + 8 + 4 + 2
    assert trained["uplink"] != picked[0]["uplink"]
    for step in (*found["steps"], found["kept"], found["forgotten"]):
        assert step["network"] == "Requests since the page was ready: 0."
    assert found["kept"]["history"] == trained["history"]
    assert found["forgotten"]["history"] == []
    assert found["forgotten"]["recommended"] == picked[0]["recommended"]


def test_a_browser_that_is_killed_loses_nothing_that_was_confirmed(node, static_file):
    path = static_file("linear", clock=False)
    done = subprocess.run(
        [node, WEB / "checks/kills.mjs", path.parent, path.name, "5"],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert len(rounds) == 6
    assert rounds[-1]["found"] >= 3
    for told in rounds:
        # The call under way when it was killed counts as a whole, or not at all.
        assert told["found"] - told["confirmed"] in (0, 1)


def test_chromium_judges_signed_publications_as_python_does(in_chromium, tmp_path):
    table = json.loads((GOLDEN / "signatures.json").read_text(encoding="utf-8"))
    for case, told in zip(table["cases"], in_chromium("signed.mjs", tmp_path, table), strict=True):
        assert bool(told["problem"]) == bool(case["refused"]), told
        assert case["refused"] in told["problem"]
        issued = int(re.search(r'"issued_at": (\d+)|$', case["text"])[1] or 0)
        assert told["kept"] == (case["newest"] if case["refused"] else issued)
        # What was in the database before it had a place for this.
        assert told["state"] == [1, 2, 3]


def trained_on(model, state, samples):
    """The state after a round of `samples`, by Python's runtime."""
    ports = {port["name"] for port in model.file.metadata["signatures"]["train"]["inputs"]}
    size = model.file.metadata["training"]["batch_size"]
    rows = STATIC[0]
    given = model.begin_training(state)
    for name in ("learning_rate", "private_learning_rate"):
        given[name] = np.array([model.file.metadata["training"][name]], np.float32)
    for start in range(0, len(samples), size):
        part = samples[start : start + size]

        def column(name, dtype, part=part):
            values = np.array([sample[name] for sample in part], dtype)
            return np.pad(values, [(0, rows - len(part))] + [(0, 0)] * (values.ndim - 1))

        batch = {
            "history": column("history", np.int32),
            "candidates": column("candidate", np.int32),
            "labels": column("label", np.float32),
            "mask": column("weight", np.float32),
            "clock": column("clock", np.float32),
            "target_labels": column("targets", np.float32),
        }
        model.train_batch({**given, **{name: batch[name] for name in batch if name in ports}})
    return model.end_training(state)
