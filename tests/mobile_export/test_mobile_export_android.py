"""The golden files that the Kotlin tests read are what Python writes and reads today.

`make test-android` compares them with what Kotlin writes, byte for byte; both together say
that each side reads what the other writes. After a change of a format, write them anew:
`WRITE_GOLDEN=1 make test ARGS="tests/mobile_export -k android"`, and run both again.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.data.clock import clock_reading, clock_readings
from ecct_tf.edge import pad_history
from ecct_tf.knowledge import Block
from ecct_tf.wire import DownlinkFile, UplinkForm, UplinkRecord, pack_uplink
from mobile_export.contract.signatures import Port, Signature
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.flatbuffer.packing import associated_files, check_digest, expected_digest
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.export import Labels, export_edge_model

GOLDEN = (
    Path(__file__).parents[2] / "mobile_export/android/ecct-edge-core/src/test/resources/golden"
)
USER = 11
HISTORY = [3, 1, 4, 15, 9, 26]
OLDER = 2
CANDIDATES = [5, 35, 8, 0]
PROFILE = 1
CREATED_AT = 1_790_000_000
# An hour, a day and a week before; the last three in one session.
TIMES = [CREATED_AT - before for before in (700_000, 90_000, 3_600, 1_500, 70, 0)]
NOW = CREATED_AT + 1_000


@pytest.fixture(scope="module")
def make(task_of, weights_of, film_tokens, tmp_path_factory):
    """`make(work, table)`: a file with tokens that a careless reader would split or lose."""

    def make(work, table):
        sizes = work.model.spec.profile_sizes
        profile = {f"c{n}": [f"v{k}" for k in range(1, size)] for n, size in enumerate(sizes)}
        (file,) = export_edge_model(
            work.model,
            weights_of(work),
            _drawn(table),
            task=task_of(work),
            out=tmp_path_factory.mktemp("android"),
            labels=Labels(profile, film_tokens, {"run": "golden", "user": None}),
        )
        return file.path

    return make


@pytest.fixture(scope="module")
def fresh(make, works, table):
    """The mlp tier as exported now."""
    return make(works["mlp"], table)


@pytest.fixture(scope="module")
def fresh_clocked(make, clocked):
    """The same with a clock."""
    return make(clocked.work, clocked.table)


@pytest.fixture(scope="module")
def golden(fresh, works, golden_files):
    """Folder of the golden files."""
    return golden_files(GOLDEN, fresh, lambda: _case(GOLDEN, works))


@pytest.fixture(scope="module")
def golden_clocked(fresh_clocked, clocked, golden, golden_files):
    """Folder of the golden files of a model with a clock."""
    folder = golden / "clock"
    return golden_files(folder, fresh_clocked, lambda: _clocked_case(folder, clocked))


@pytest.fixture(scope="module")
def case(golden):
    return json.loads((golden / "case.json").read_text(encoding="utf-8"))


def test_the_golden_file_is_what_is_exported_now(golden, fresh):
    _check_exported(golden, fresh)


def test_the_golden_file_with_a_clock_is_what_is_exported_now(golden_clocked, fresh_clocked):
    _check_exported(golden_clocked, fresh_clocked)
    path = golden_clocked / "edge.tflite"
    check_digest(path.read_bytes(), expected_digest(path), name=path.name)


def _check_exported(golden, fresh):
    found, expected = associated_files(golden / "edge.tflite"), associated_files(fresh)
    assert set(found) == set(expected)
    for name in set(expected) - {"ecct_edge.json"}:
        assert found[name] == expected[name]
    metadata = [json.loads(files["ecct_edge.json"]) for files in (found, expected)]
    for part in metadata:
        del part["versions"]
    assert metadata[0] == metadata[1]


def test_the_golden_manifest_vouches_for_it(golden):
    path = golden / "edge.tflite"
    check_digest(path.read_bytes(), expected_digest(path), name=path.name)


def test_the_golden_case_is_what_python_writes_now(golden, case, works):
    now = _case(golden, works)
    assert set(case) == set(now)
    for name in set(now) - {"score", "trained"}:
        assert case[name] == now[name], name
    for name in ("score", "trained"):
        for key, values in now[name].items():
            np.testing.assert_allclose(case[name][key], values, atol=1e-5)


def test_the_golden_case_with_a_clock_is_what_python_writes_now(golden_clocked, clocked):
    case = json.loads((golden_clocked / "case.json").read_text(encoding="utf-8"))
    now = _clocked_case(golden_clocked, clocked)
    assert set(case) == set(now)
    assert (case["times"], case["now"], case["state"]) == (now["times"], now["now"], now["state"])
    for name in ("score", "trained"):
        for key, values in now[name].items():
            np.testing.assert_allclose(case[name][key], values, atol=1e-5)
    for found, expected in zip(case["readings"], now["readings"], strict=True):
        np.testing.assert_allclose(found.pop("reading"), expected.pop("reading"), rtol=1e-6)
        assert found == expected
    np.testing.assert_allclose(case["clocks"], now["clocks"], rtol=1e-6)
    assert case["uplink"] == now["uplink"]


def test_python_reads_the_golden_state_with_times(golden_clocked):
    case = json.loads((golden_clocked / "case.json").read_text(encoding="utf-8"))
    content = bytes.fromhex(case["state"])
    state = DeviceState.from_bytes(content, name="golden")
    assert state.as_bytes() == content
    assert content[4] == 2
    assert state.times.tolist() == [*TIMES[:-1], 0]


def test_python_reads_the_golden_state(case):
    content = bytes.fromhex(case["state"]["bytes"])
    state = DeviceState.from_bytes(content, name="golden")
    assert state.as_bytes() == content
    assert (state.user, state.num_older, state.round_number) == (USER, OLDER, 5)
    assert state.history.tolist() == HISTORY
    assert state.downlink.queries.tolist() == [7, 0, 40, 2]


def test_python_reads_the_golden_state_with_a_start(case):
    content = bytes.fromhex(case["state"]["with_start"])
    state = DeviceState.from_bytes(content, name="golden")
    assert state.as_bytes() == content
    np.testing.assert_array_equal(state.start, state.values[: len(state.start)] / 2)
    assert dataclasses.replace(state, start=[]).as_bytes().hex() == case["state"]["bytes"]


def test_python_reads_the_golden_downlinks(case):
    file = DownlinkFile.from_bytes(bytes.fromhex(case["downlink_file"]))
    assert file.only(USER).records.tobytes().hex() == case["downlink"]


def test_python_reads_the_golden_record(case):
    record = UplinkRecord.from_bytes(bytes.fromhex(case["record"]["bytes"]))
    assert record.payload == bytes.fromhex(case["uplink"]["bytes"])
    assert (record.user, record.round_number, record.cloud_version) == (USER, 5, 3)


def _drawn(table):
    """A table of the shapes of `table`: a fitted one has other last bits on other processors."""
    rng = np.random.default_rng(7)

    def drawn(array):
        return rng.integers(-127, 128, array.shape).astype(np.float32) / np.float32(256)

    blocks = []
    for block in table.blocks:
        source = drawn(block.source)
        target = source if block.is_symmetric else drawn(block.target)
        blocks.append(Block(block.name, source, target))
    return dataclasses.replace(
        table,
        blocks=tuple(blocks),
        attributes=drawn(table.attributes),
        cloud=drawn(table.cloud),
        bias=drawn(table.bias),
        feature_mean=drawn(table.feature_mean),
        feature_scale=1 + drawn(table.feature_scale) / 2,
        logit_mean=-2.5,
        logit_scale=0.5,
    )


def _case(folder, works):
    """All that the Kotlin tests compare with."""
    path = folder / "edge.tflite"
    files = associated_files(path)
    metadata = json.loads(files["ecct_edge.json"])
    work = works["mlp"]
    example = _example(metadata)
    loaded = tf.lite.Interpreter(model_path=str(path))

    def run(name):
        return _run(loaded, metadata, name, example)

    form = _form(work.exchange.codec, work.exchange.with_logits, work.exchange.num_queries)
    outputs = run("uplink")
    payload = pack_uplink(USER, {k: np.array(v) for k, v in outputs.items()}, form)
    record = UplinkRecord(
        user=USER, round_number=5, cloud_version=3, created_at_seconds=CREATED_AT, form=form,
        payload=payload,
    )  # fmt: skip
    draw = json.loads((folder / "wire.json").read_text(encoding="utf-8"))["draw"]
    tokens = files["items.txt"].removesuffix("\n").split("\n")
    columns = [column["name"] for column in metadata["profile"]]
    return {
        "user": USER,
        "history": [tokens[row] for row in HISTORY],
        "older": OLDER,
        "candidates": [tokens[row] if row else "never seen" for row in CANDIDATES],
        "profile": dict.fromkeys(columns, f"v{PROFILE}"),
        "downlink": _downlink_bytes(example).hex(),
        "downlink_file": _downlink_file(metadata, example).to_bytes().hex(),
        "score": run("score"),
        "uplink": {"outputs": outputs, "bytes": payload.hex()},
        "record": {"created_at_seconds": CREATED_AT, "bytes": record.to_bytes().hex()},
        "state": _states(_state(path, metadata, example), metadata["weights"]["size"]),
        "trained": _trained(loaded, example, metadata, draw),
    }  # fmt: skip


def _states(state, size):
    """As bytes, without and with the weights that the device started with."""
    started = dataclasses.replace(state, start=state.values[:size] / 2)
    return {"bytes": state.as_bytes().hex(), "with_start": started.as_bytes().hex()}


def _run(loaded, metadata, name, example):
    runner = loaded.get_signature_runner(name)
    outputs = runner(**example_inputs(example, _signature(metadata, name)))
    return {key: value.tolist() for key, value in outputs.items()}


def _clocked_case(folder, clocked):
    """What the Kotlin tests of a model with a clock compare with."""
    path = folder / "edge.tflite"
    metadata = json.loads(associated_files(path)["ecct_edge.json"])
    features, times = clocked.config.features, np.array(TIMES)
    asked = clock_reading(times, now=NOW, config=features)
    example = dataclasses.replace(_example(metadata), clock=asked)
    loaded = tf.lite.Interpreter(model_path=str(path))
    wire = json.loads((GOLDEN / "wire.json").read_text(encoding="utf-8"))
    # Its loss reads whole positions.
    draw = wire["draw_of_positions"]
    # Before a position lie as many items as its history has: none is longer than the slots.
    places = np.count_nonzero(draw["histories"], axis=1)
    draw["clocks"] = clock_readings(times, places, config=features).tolist()
    requests = [
        (TIMES, NOW),
        (TIMES[:1], TIMES[1]),
        ([], NOW),
        ([*TIMES, NOW + 50, NOW + 60], NOW),
        ([0, *TIMES[:5]], NOW),
        ([0, *TIMES], NOW),
        (TIMES, 31_535_999),
    ]
    state = _state(path, metadata, example)
    return {
        "times": TIMES,
        "now": NOW,
        "readings": [
            {
                "times": list(given),
                "now": now,
                "reading": clock_reading(np.array(given), now=now, config=features).tolist(),
            }
            for given, now in requests
        ],
        "clocks": draw["clocks"],
        "score": _run(loaded, metadata, "score", example),
        "uplink": _run(loaded, metadata, "uplink", example),
        "state": dataclasses.replace(state, times=[*TIMES[:-1], 0]).as_bytes().hex(),
        "trained": _trained(loaded, example, metadata, draw),
    }


def _trained(loaded, example, metadata, draw):
    """Two epochs on the drawn samples: mean loss of each, and the weights."""
    training = metadata["training"]
    run = {name: loaded.get_signature_runner(name) for name in metadata["signatures"]}
    run["reset_optimizer"](unused=np.zeros(1, np.float32))
    given = example_inputs(example, _signature(metadata, "train"))
    for name in ("learning_rate", "private_learning_rate"):
        given[name] = np.array([training[name]], np.float32)
    size, samples = training["batch_size"], len(draw["labels"])
    losses = []
    for _ in range(2):
        total = 0.0
        for start in range(0, samples, size):
            used = min(size, samples - start)
            for name, key, dtype in (
                ("history", "histories", np.int32),
                ("candidates", "candidates", np.int32),
                ("labels", "labels", np.float32),
                ("clock", "clocks", np.float32),
            ):
                if key not in draw:
                    continue
                rows = np.array(draw[key][start : start + used], dtype)
                given[name] = np.pad(rows, [(0, size - used)] + [(0, 0)] * (rows.ndim - 1))
            given["mask"] = (np.arange(size) < used).astype(np.float32)
            total += used * float(run["train"](**given)["loss"][0])
        losses.append(total / samples)
    weights = run["get_weights"](unused=np.zeros(1, np.float32))["weights"]
    return {"losses": losses, "weights": weights.tolist()}


def _signature(metadata, name):
    found = metadata["signatures"][name]
    ports = [
        [Port(port["name"], port["dtype"], tuple(port["shape"]), "") for port in found[side]]
        for side in ("inputs", "outputs")
    ]
    return Signature(name, tuple(ports[0]), tuple(ports[1]), "")


def _example(metadata):
    width = metadata["exchange"]["cloud_dim"]
    return DeviceExample(
        history=pad_history(np.array(HISTORY, np.int32), metadata["model"]["history_length"]),
        candidates=np.array(CANDIDATES, np.int32),
        profile=np.full(len(metadata["profile"]), PROFILE, np.int32),
        user_embedding=(np.arange(width) * 20 - 50).astype(np.int8),
        user_embedding_scale=2.0**-7,
    )


def _downlink_bytes(example):
    scale = np.array([example.user_embedding_scale], "<f2")
    queries = np.array(CANDIDATES, "<i4")
    return example.user_embedding.tobytes() + scale.tobytes() + queries.tobytes()


def _downlink_file(metadata, example):
    """Three users of whom the golden one is the second."""
    width = len(example.user_embedding)
    return DownlinkFile.build(
        keys_are="users",
        cloud_version=3,
        round_number=5,
        table_sha256=metadata["items"]["table_sha256"],
        codec="int8",
        keys=np.array([3, USER, 20], np.int32),
        embeddings=(
            np.stack([np.ones(width, np.int8), example.user_embedding, np.zeros(width, np.int8)]),
            np.array([[0.5], [example.user_embedding_scale], [1.0]], np.float16),
        ),
        queries=np.array([[1, 2, 3, 4], CANDIDATES, [0, 0, 0, 0]], np.int32),
    )


def _layout(metadata):
    """How the weights lie, as `LoadedFile` tells it."""
    parts = [metadata["tier"], metadata["weights"], metadata["variant"]["adapters"]]
    parts.append(metadata["training"]["optimizer"])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _state(path, metadata, example):
    (size,) = metadata["signatures"]["save"]["outputs"][0]["shape"]
    return DeviceState(
        model=expected_digest(path),
        layout=_layout(metadata),
        user=USER,
        profile=example.profile,
        history=np.array(HISTORY, np.int32),
        num_older=OLDER,
        values=(np.arange(size) * 2.0**-10).astype(np.float32),
        downlink=ReceivedDownlink(
            example.user_embedding,
            np.array([7, 0, 40, 2], np.int32),
            scale=2.0**-7,
            cloud_version=3,
            round_number=5,
            table_sha256=metadata["items"]["table_sha256"],
        ),
        round_number=5,
    )


def _form(codec, with_logits, queries):
    return UplinkForm(queries=queries, embedding_dim=3, codec=codec, with_logits=with_logits)
