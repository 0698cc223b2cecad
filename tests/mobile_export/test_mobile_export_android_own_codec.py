"""What Kotlin and browsers compare codecs with: the library's, and those that an app brings.

As `test_mobile_export_android.py`: `WRITE_GOLDEN=1` writes the files in `golden/own_codec` anew.
"""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import CODECS
from ecct_tf.edge import pad_history
from ecct_tf.knowledge.codecs import build_codec, codec_of
from ecct_tf.wire import DownlinkFile, by_place
from ecct_tf.wire.row_codec import encoded_rows
from mobile_export.contract.wire import pack_uplink
from mobile_export.device import DeviceModel, ReceivedDownlink
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.export import Labels, export_edge_model

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "mobile_export/android/ecct-edge-core/src/test/resources/golden/own_codec"
EXAMPLES = ROOT / "examples" / "own_codecs"
INT4 = "own_codecs.four_bits:int4"
BRIEF = "my_pkg.codecs:brief"
USER, OLDER = 11, 2
ITEMS = ["film 3", "film 1", "film 4", "film 15", "film 9", "film 26"]
QUERIES = [5, 35, 8, 0]
CREATED_AT = 1_790_000_000


@pytest.fixture(scope="module", autouse=True)
def _example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield


@pytest.fixture(scope="module")
def fresh(works, table, weights_of, film_tokens, tmp_path_factory):
    """The linear tier of a run that exchanges through `int4`, as exported now."""
    work = works["linear"]
    work = work.changed(exchange=dataclasses.replace(work.exchange, codec=INT4))
    (file,) = export_edge_model(
        work.model,
        weights_of(work),
        dataclasses.replace(table.transmitted("int8"), form="int8"),
        task=work.task,
        out=tmp_path_factory.mktemp("own_codec"),
        labels=Labels({}, film_tokens, {"run": "golden", "user": None}),
    )
    return file.path


@pytest.fixture(scope="module")
def golden(fresh, golden_files):
    """Folder of the golden files."""
    return golden_files(FOLDER, fresh, _case)


def test_the_golden_case_is_what_python_writes_now(golden):
    assert json.loads((golden / "case.json").read_text(encoding="utf-8")) == _case()


def test_the_golden_file_names_the_codec_that_is_exported_now(golden, fresh):
    models = [
        DeviceModel(path, runtime="tensorflow", codec=INT4)
        for path in (golden / "edge.tflite", fresh)
    ]
    found, expected = ({**model.file.metadata, "versions": None} for model in models)
    assert found["exchange"]["codec"] == INT4
    for name in ("exchange", "signatures", "schema", "weights", "training"):
        assert found[name] == expected[name], name


@pytest.mark.parametrize(
    ("language", "path"),
    [
        ("kotlin", "mobile_export/android/ecct-edge-core/src/test/kotlin/ecct/edge/Brief.kt"),
        ("js", "mobile_export/web/test/brief.mjs"),
    ],
)
def test_the_codec_of_the_docs_is_the_one_that_the_tests_of_devices_run(language, path):
    (block,) = _blocks(language, "rief")
    assert block.strip() in (ROOT / path).read_text(encoding="utf-8")


def _blocks(language, word):
    text = (ROOT / "docs" / "extend_codec.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [block for block in blocks if word in block]


def _brief():
    """The codec that the docs show."""
    (block,) = _blocks("python", "def brief")
    space = {}
    exec(compile(block, "extend_codec.md", "exec"), space)
    return codec_of(space["brief"](), name=BRIEF, module=None)


def _case():
    """All that the tests of Kotlin and browsers compare with."""
    model = DeviceModel(FOLDER / "edge.tflite", runtime="tensorflow", codec=INT4)
    sizes = model.file.sizes
    state = model.with_interactions(model.begin(user=USER, profile={}), ITEMS)
    published = _downlinks(model.file.table_sha256, sizes.cloud_dim)
    received = ReceivedDownlink.read(published, USER, codec=INT4)
    state = model.receive(dataclasses.replace(state, num_older=OLDER), received)
    state = model.labelled(state)
    outputs = _outputs(model, state)
    payload = model.uplink(state)
    assert payload == pack_uplink(USER, outputs, model.file.sizes)
    record = model.envelope(state, payload, created_at_seconds=CREATED_AT).to_bytes()
    return {
        "codec": INT4,
        "user": USER,
        "items": ITEMS,
        "older": OLDER,
        "downlink_file": published.to_bytes().hex(),
        "user_embedding": received.user_embedding.tolist(),
        "uplink": {name: value.tolist() for name, value in outputs.items()},
        "record": {"created_at_seconds": CREATED_AT, "bytes": record.hex()},
        "by_place": by_place(record).hex(),
        # With weights of zeros, as the tests without a runtime have them.
        "state": dataclasses.replace(state, values=np.zeros_like(state.values)).as_bytes().hex(),
        "rows": [_rows(build_codec(name)) for name in (*CODECS, INT4)] + [_rows(_brief())],
    }


def _outputs(model, state):
    """Of the signature `uplink`, as numbers: the codec is none of the file's business."""
    runner = tf.lite.Interpreter(model_path=str(FOLDER / "edge.tflite")).get_signature_runner(
        "uplink"
    )
    history = pad_history(state.history, model.file.metadata["model"]["history_length"])
    example = DeviceExample(
        history=history,
        candidates=np.array(QUERIES, np.int32),
        profile=state.profile,
        user_embedding=state.downlink.user_embedding,
    )
    return runner(**example_inputs(example, model.file.contract["uplink"]))


def _downlinks(table_sha256, width):
    """Of three users, of whom the golden one is the second."""
    rows = np.random.default_rng(7).standard_normal((3, width)).astype(np.float32)
    return DownlinkFile.build(
        keys_are="users",
        cloud_version=3,
        round_number=5,
        table_sha256=table_sha256,
        codec=INT4,
        keys=np.array([3, USER, 20], np.int32),
        embeddings=(encoded_rows(INT4, rows),),
        queries=np.array([[1, 2, 3, 4], QUERIES, [0, 0, 0, 0]], np.int32),
        cloud_dim=width,
    )


def _rows(codec):
    """Rows of numbers, and what the codec makes of them in TensorFlow: bytes, then numbers."""
    rng = np.random.default_rng(5)
    drawn = [
        rng.standard_normal(width) * 10.0**power for width, power in ((7, 0), (24, -3), (1, 3))
    ]
    # Halves between steps, which go to the even one; small ones; the largest float16 and beyond.
    given = [*drawn, [7.0, 0.5, 1.5, -2.5, -0.0], [1e-9, -3e-8, 0.0], [65504.0, 65520.0, -3e38]]
    found = []
    for row in given:
        values = np.asarray(row, np.float32)
        encoded = codec.encode(tf.constant(values))
        found.append(
            {
                "values": values.tolist(),
                "bytes": b"".join(np.asarray(part).tobytes() for part in encoded).hex(),
                "decoded": np.asarray(codec.decode(encoded, len(values))).tolist(),
            }
        )
    return {"codec": codec.name, "rows": found}
