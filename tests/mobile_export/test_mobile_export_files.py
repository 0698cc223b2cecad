"""Files as `export_edge_model` writes them: operators, packing, manifest, verification."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.errors import ConfigError, ExportError
from ecct_tf.knowledge.table_files import item_table_file, transmit
from ecct_tf.locks import FileLock
from ecct_tf.wire import digest_of
from mobile_export.checking.behaviour import check_outputs
from mobile_export.checking.inspection import inspection_tables, tensor_sizes
from mobile_export.checking.reference import Reference
from mobile_export.checking.synthetic import synthetic_examples
from mobile_export.checking.verification import contract_of, verify_file
from mobile_export.contract.runtimes import runtime_needs
from mobile_export.flatbuffer.late_tables import LateTables
from mobile_export.flatbuffer.packing import (
    associated_files,
    check_digest,
    expected_digest,
    read_metadata,
    vocabulary_rows,
)
from mobile_export.flatbuffer.schema import read_model, signature_names, write_model
from mobile_export.making import export
from mobile_export.making.conversion import check_operators, convert
from mobile_export.making.examples import DeviceExample
from mobile_export.making.export import Labels, export_edge_model
from mobile_export.making.labels import column_files
from mobile_export.making.variants import default_variant
from mobile_export.runtime.interpreter import Interpreter

VARIANTS = ("trainable-int8", "trainable-float32")


@pytest.fixture(scope="module")
def labels(works):
    sizes = works["mlp"].model.spec.profile_sizes
    profile = {f"c{n}": [f"v{k}" for k in range(1, size)] for n, size in enumerate(sizes)}
    # As in ids that people have: a separator of lines, for all readers but a line feed's.
    items = [f"film\u2028{k}" for k in range(1, 41)]
    return Labels(profile, items, {"run": "test", "user": None})


@pytest.fixture(scope="module")
def files(works, table, task_of, weights_of, labels, tmp_path_factory):
    """Two variants of the mlp tier."""
    work = works["mlp"]
    return export_edge_model(
        work.model,
        weights_of(work),
        table,
        task=task_of(work),
        out=tmp_path_factory.mktemp("export"),
        variants=VARIANTS,
        labels=labels,
    )


def test_a_vocabulary_s_file_is_named_by_no_path():
    names = ("age", "../to/wn", "..\\to\\wn", ".. to\nwn", "größe (cm)", "/")
    files = column_files(Labels({name: ["x"] for name in names}, [], {}))
    assert list(files.values()) == [
        "profile_age.txt",
        "profile__to_wn.txt",
        "profile__to_wn_2.txt",
        "profile_to_wn.txt",
        "profile_größe (cm).txt",
        "profile__.txt",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variants": "trainable-int8"}, r"a list of names, got .*; give \['trainable-int8'\]"),
        ({"static": 3}, r"static: expected training rows B and candidates C, .* got 3"),
        ({"static": (0, 5)}, r"of at least 1 such as \(32, 100\), got \(0, 5\)"),
        ({"static": (8.0, 5)}, r"static: expected .* got \(8\.0, 5\)"),
        ({"static": "8,5"}, r"static: expected .* got '8,5'"),
    ],
)
def test_what_is_no_variant_and_no_shape_is_refused(
    options, words, works, table, task_of, weights_of, tmp_path
):
    work = works["mlp"]
    with pytest.raises(ConfigError, match=words):
        export_edge_model(
            work.model, weights_of(work), table, task=task_of(work), out=tmp_path, **options
        )
    assert not list(tmp_path.iterdir())


# The files of the mlp tier in both encodings are exported anyway.
@pytest.mark.slow
@pytest.mark.current
@pytest.mark.parametrize(
    ("tier", "encoding"),
    [("linear", "int8"), ("mlp", "int8"), ("mlp", "float32"), ("attention", "float32")],
)
def test_every_operator_is_builtin(request, tier, encoding):
    if tier == "mlp":
        files = request.getfixturevalue("files")
        content = files[VARIANTS.index(f"trainable-{encoding}")].path.read_bytes()
    else:
        content = request.getfixturevalue("exported")(tier, encoding)[1]
    counts = check_operators(content)
    assert set(counts) >= {"infer", "score", "train", "uplink"}
    names = {name for found in counts.values() for name in found}
    assert not {name for name in names if name.startswith(("CUSTOM", "UNKNOWN"))}


class _Refused(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        # The gradient of tf.nn.relu.
        call = tf.function(lambda x: tf.raw_ops.ReluGrad(gradients=x, features=x))
        self.functions = {"infer": call.get_concrete_function(tf.TensorSpec([2], tf.float32))}


def test_an_operator_that_is_not_builtin_is_refused_by_name():
    with pytest.raises(ExportError, match=r"the operator ReluGrad.*Write .*\.relu instead"):
        convert(_Refused(), precision="float32")


class _Stateful(tf.Module):
    """Functions over a layer that the module does not hold, as a forward function closes over."""

    def __init__(self, layer) -> None:
        super().__init__()
        call = tf.function(layer)
        self.functions = {"infer": call.get_concrete_function(tf.TensorSpec([2, 3], tf.float32))}


def _of_keras():
    layer = tf.keras.layers.Dense(3)
    layer.build((None, 3))
    return layer


def _of_a_variable():
    variable = tf.Variable(tf.ones([3]))
    return lambda values: values * variable


def _of_a_table():
    keys = tf.constant([1], tf.int64)
    start = tf.lookup.KeyValueTensorInitializer(keys, keys)
    table = tf.lookup.StaticHashTable(start, default_value=0)
    return lambda values: tf.cast(table.lookup(tf.cast(values, tf.int64)), tf.float32)


@pytest.mark.parametrize("make", [_of_keras, _of_a_variable, _of_a_table])
def test_a_model_that_keeps_weights_outside_of_its_layout_is_refused_with_the_way_out(make):
    layer = make()
    with pytest.raises(ExportError, match=r"as layers of Keras do: expected all .* as a Weight"):
        convert(_Stateful(layer), precision="float32")


def test_infer_comes_first_and_the_manifest_vouches(files):
    for file in files:
        content = file.path.read_bytes()
        assert signature_names(read_model(content))[0] == "infer"
        assert len(content) == file.num_bytes
        check_digest(content, expected_digest(file.path), name="it")
        altered = bytes([*content[:-1], content[-1] ^ 1])
        with pytest.raises(ExportError, match="damaged or altered"):
            check_digest(altered, expected_digest(file.path), name="it")


def test_a_zip_reader_finds_metadata_and_vocabularies(files, labels):
    with zipfile.ZipFile(files[0].path) as archive:
        assert archive.testzip() is None
        items = vocabulary_rows(archive.read("items.txt").decode())
        told = json.loads(archive.read("ecct_edge.json"))
    # Only the zip tells in words what inputs mean.
    assert told["signatures"]["infer"]["inputs"][0].pop("meaning") == "what came before each row"
    inputs = read_metadata(files[0].path.read_bytes())["signatures"]["infer"]["inputs"]
    assert told["signatures"]["infer"]["inputs"][0] == inputs[0]
    assert items == ["<padding>", *labels.items]
    assert "profile_c0.txt" in associated_files(files[0].path)


def test_metadata_tell_how_the_file_is_used(files, works):
    found = read_metadata(files[0].path.read_bytes())
    assert found["schema"] == "ecct-edge/1"
    assert found["weights"]["size"] == works["mlp"].model.layout.size
    assert found["training"]["optimizer"] == works["mlp"].training.optimizer
    assert found["items"]["rows"] == 41
    assert found["provenance"] == {"run": "test", "user": None}


def test_int8_keeps_the_table_in_a_quarter(files, table):
    sizes = {file.variant: file.num_bytes for file in files}
    assert sizes["trainable-int8"] < sizes["trainable-float32"]
    rows = table.num_items + 1
    quantised, dense = (
        [entry for entry in tensor_sizes(file.path.read_bytes()) if entry[2][:1] == [rows]]
        for file in files
    )
    # Beside the values stand scales, float16 bits.
    assert {entry[1] for entry in quantised} == {"INT8", "INT16"}
    assert {entry[1] for entry in dense} == {"FLOAT32"}
    values = sum(entry[0] for entry in quantised if entry[1] == "INT8")
    assert 0 < 4 * values <= sum(entry[0] for entry in dense)


def test_the_same_export_gives_the_same_bytes_and_has_the_manifest_alone(
    files, works, table, task_of, weights_of, labels, monkeypatch
):
    known_files, locked = export.known_files, []

    def read(out):
        locked.append(not FileLock(out / ".manifest.lock").acquire(wait=False))
        return known_files(out)

    monkeypatch.setattr(export, "known_files", read)
    work = works["mlp"]
    (again,) = export_edge_model(
        work.model,
        weights_of(work),
        table,
        task=task_of(work),
        out=files[0].path.parent / "again",
        variants=VARIANTS[:1],
        labels=labels,
    )
    assert again.sha256 == files[0].sha256
    assert locked == [True]
    assert not list(again.path.parent.glob(".*"))


def test_the_card_lists_every_file(files):
    card = (files[0].path.parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    for file in files:
        assert f"| `{file.path.name}` | {file.num_bytes:,} |" in card
    assert "    - CompiledModel: LiteRT 2.1.5 or newer; before calls, resize_input" in card
    # What does not hold is left out.
    assert "None" not in card
    assert "False" not in card


def test_a_file_without_training_or_open_shapes_needs_less():
    port = {"name": "candidates", "shape": [4]}
    interpreter, compiled = runtime_needs({"signatures": {"infer": {"inputs": [port]}}})
    assert (interpreter.version, interpreter.before) == (
        "LiteRT 1.1.2 or newer",
        "nothing: all shapes are fixed",
    )
    assert compiled.version == "not tested without `train`"


def test_inspection_shows_signatures_operators_constants_and_metadata(files):
    titles = [table.title for table in inspection_tables(files[0].path)]
    assert titles == ["Signatures", "Runtimes", "Operators", "Largest constants", "Metadata"]


@pytest.mark.slow
@pytest.mark.current
def test_a_file_passes_verification_and_another_source_fails_it(
    files, works, table, task_of, weights_of
):
    work, path = works["mlp"], files[0].path
    examples = synthetic_examples(path)
    reference = Reference(work.model, weights_of(work), table, task_of(work), examples)
    wrong = Reference(work.model, weights_of(work) * 2, table, task_of(work), examples)
    with Interpreter("tensorflow") as interpreter:
        checks = verify_file(
            path, [interpreter], examples=examples, reference=reference, damaged=20, hostile=60
        )
        again = verify_file(
            path, [interpreter], examples=examples, reference=wrong, damaged=1, hostile=1
        )
    assert [check.name for check in checks if check.passed] == [
        "hash", "structure", "operators", "associated files", "settings", "damaged copies",
        "signatures",
        "output parity", "save and restore", "guards",
    ]  # fmt: skip
    assert [check.name for check in checks if not check.passed] == []
    assert [check.name for check in again if check.passed is False] == ["output parity"]


def test_an_altered_file_fails_verification(files, tmp_path):
    path = tmp_path / files[0].path.name
    content = bytearray(files[0].path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    (tmp_path / "manifest.json").write_bytes((files[0].path.parent / "manifest.json").read_bytes())
    checks = verify_file(path, [], examples=[], damaged=1)
    assert checks[0].name == "hash"
    assert checks[0].passed is False


def test_an_unknown_variant_is_refused(works, table, task_of, weights_of, tmp_path):
    work = works["mlp"]
    with pytest.raises(ConfigError, match="expected a variant out of trainable-int8"):
        export_edge_model(
            work.model,
            weights_of(work),
            table,
            task=task_of(work),
            out=tmp_path,
            variants=["int3"],
        )


def test_weights_that_are_not_finite_are_refused(works, table, task_of, weights_of, tmp_path):
    work = works["mlp"]
    with pytest.raises(ConfigError, match="diverged"):
        export_edge_model(
            work.model,
            weights_of(work) * np.float32(np.nan),
            table,
            task=task_of(work),
            out=tmp_path,
        )


@pytest.mark.slow
def test_int8_activations_cost_attention_little(works, table, task_of, weights_of, tmp_path):
    work = works["attention"]
    task = task_of(work)
    examples = _made_up(task, table, work.model.spec.profile_sizes)
    (file,) = export_edge_model(
        work.model,
        weights_of(work),
        table,
        task=task,
        out=tmp_path,
        variants=["inference-int8"],
        examples=examples,
    )
    # Inputs of the hidden layer, the embedding and the head.
    assert file.operators["score"]["QUANTIZE"] >= 3
    reference = Reference(work.model, weights_of(work), table, task, examples)
    metadata = read_metadata(file.path.read_bytes())
    with Interpreter("tensorflow") as interpreter:
        interpreter.load(file.path)
        check_outputs(interpreter, metadata, contract_of(metadata), reference)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["int4", "pq4", "fine", "lean"])
def test_a_table_in_a_smaller_form_goes_into_the_file_as_it_crossed(
    works, algorithm, table, task_of, weights_of, tmp_path, form
):
    work = works["linear"]
    received = transmit(algorithm.cloud.publish(), form, "int8").table
    assert [block and block.name for _, block in received.cloud_copies][:1] == ["preference"]
    task = task_of(work)
    (file,) = export_edge_model(
        work.model,
        weights_of(work),
        received,
        task=task,
        out=tmp_path,
        variants=[default_variant(received)],
    )
    metadata = read_metadata(file.path.read_bytes())
    assert metadata["items"]["encoding"] == form
    published = item_table_file(algorithm.cloud.publish(), form).to_bytes()
    assert metadata["items"]["table_sha256"] == digest_of(published)
    examples = _made_up(task, table, work.model.spec.profile_sizes)
    reference = Reference(work.model, weights_of(work), received, task, examples)
    with Interpreter("tensorflow") as interpreter:
        interpreter.load(file.path)
        check_outputs(interpreter, metadata, contract_of(metadata), reference)


def test_whole_tables_take_the_places_of_their_stand_ins():
    tables = LateTables()
    values, bits = np.arange(60, dtype=np.int8).reshape(20, 3), np.arange(20, dtype=np.int16)
    stand_ins = [tables.stand_in(each) for each in (values, bits, values.copy(), values + 1)]
    assert [each.shape for each in stand_ins] == [(8, 3), (8,), (8, 3), (8, 3)]
    np.testing.assert_array_equal(stand_ins[0], stand_ins[2])
    assert (stand_ins[0] != stand_ins[3]).any()
    # What the converter might fold, and what is no larger, stands for itself.
    for table in (values.astype(np.float32), values[:8], values[:, :0]):
        assert tables.stand_in(table) is table

    module = tf.Module()
    look_up = tf.function(
        lambda ids: (
            tf.cast(tf.gather(tf.constant(stand_ins[0]), ids), tf.float32)
            + tf.cast(tf.gather(tf.constant(stand_ins[1]), ids), tf.float32)[:, None]
        )
    )
    module.functions = {"infer": look_up.get_concrete_function(tf.TensorSpec([2], tf.int32))}
    model = read_model(convert(module, precision="float32"))
    tables.put(model)
    loaded = tf.lite.Interpreter(model_content=write_model(model))
    found = loaded.get_signature_runner("infer")(ids=np.array([19, 8], np.int32))
    np.testing.assert_array_equal(*found.values(), values[[19, 8]] + [[19], [8]])


def _made_up(task, table, profile_sizes):
    rng = np.random.default_rng(1)
    length, width = task.features.history_length, task.exchange.cloud_dim
    return [
        DeviceExample(
            history=rng.integers(0, table.num_items + 1, length).astype(np.int32),
            candidates=rng.integers(1, table.num_items + 1, 16).astype(np.int32),
            profile=np.array([rng.integers(size) for size in profile_sizes], np.int32),
            user_embedding=rng.integers(-127, 128, width).astype(np.int8),
            user_embedding_scale=2.0**-8,
        )
        for _ in range(8)
    ]
