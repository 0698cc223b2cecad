"""Item rows, adapters, guards, the wire form and the layering, each by itself."""

import dataclasses
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.errors import CodecError
from ecct_tf.knowledge import Block, ExchangeSpec, ItemTable
from ecct_tf.knowledge.table_files import transmit
from mobile_export.contract.signatures import Sizes, signatures
from mobile_export.contract.wire import pack_uplink, unpack_uplink
from mobile_export.making import guards, items
from mobile_export.making.conversion import convert
from mobile_export.making.items import ItemStore, TableEncoding, exact_encoding
from mobile_export.making.parameters import low_rank
from mobile_export.making.variants import default_variant


def small_table():
    rng = np.random.default_rng(0)

    def rows(width):
        return rng.standard_normal((9, width)).astype(np.float32)

    both = rows(3)
    return ItemTable(
        blocks=(Block("a", rows(2), rows(2)), Block("s", both, both)),
        attributes=rows(1),
        cloud=rows(4),
        bias=rows(1)[:, 0],
        feature_mean=np.zeros(4, np.float32),
        feature_scale=np.ones(4, np.float32),
    )


@pytest.mark.parametrize("encoding", get_args(TableEncoding))
def test_gathered_rows_are_the_decoded_ones(encoding):
    store = ItemStore(small_table(), encoding)
    ids = np.array([[8, 0], [3, 3]], np.int32)
    for name, array in store.decoded()._asdict().items():
        if np.ndim(array) and len(array) == 9:
            gathered = tf.gather(getattr(store.tensors(), name), ids)
            np.testing.assert_array_equal(gathered, array[ids], err_msg=name)


def test_a_table_that_crossed_as_int8_stays_as_it_is():
    received = small_table().transmitted("int8")
    exact = ItemStore(received, "float32").decoded()
    for name, array in ItemStore(received, "int8").decoded()._asdict().items():
        np.testing.assert_array_equal(array, getattr(exact, name), err_msg=name)


def test_a_table_that_crossed_as_compact_stays_as_it_is_in_int4():
    received = transmit(small_table(), "auto", "int8").table
    assert (received.form, exact_encoding(received)) == ("compact", "int4")
    assert default_variant(received) == "trainable-int4"


@pytest.mark.parametrize("form", ["int4", "pq2", "pq8"])
def test_a_table_is_kept_in_the_form_in_which_it_crossed(form):
    small = small_table()
    # Columns of the cloud embedding that are a block's target, before and after its own.
    cloud = np.concatenate([small.cloud, small.blocks[0].target], axis=1)
    received = transmit(dataclasses.replace(small, cloud=cloud), form, "int8").table
    assert exact_encoding(received) == form
    assert default_variant(received) == f"trainable-{form}"
    store, ids = ItemStore(received, form), np.array([[8, 0], [3, 3]], np.int32)
    exact = ItemStore(received, "float32").decoded()
    for name, array in store.decoded()._asdict().items():
        np.testing.assert_array_equal(array, getattr(exact, name), err_msg=name)
        if np.ndim(array) and len(array) == 9:
            gathered = tf.gather(getattr(store.tensors(), name), ids)
            np.testing.assert_array_equal(gathered, array[ids], err_msg=name)


@pytest.mark.parametrize("form", ["int4", "pq4", "lean"])
def test_a_runtime_reads_rows_in_smaller_forms_with_builtin_operators(form):
    small = small_table()
    cloud = np.concatenate([small.blocks[0].target, small.cloud], axis=1)
    store = ItemStore(dataclasses.replace(small, cloud=cloud), form)

    def read(ids):
        tensors = store.tensors()
        return {name: tf.gather(getattr(tensors, name), ids) for name in ("target", "cloud")}

    module = tf.Module()
    function = tf.function(read, autograph=False)
    module.functions = {"infer": function.get_concrete_function(tf.TensorSpec([None], tf.int32))}
    loaded = tf.lite.Interpreter(model_content=convert(module, precision="float32"))
    ids = np.array([8, 0, 3], np.int32)
    found = loaded.get_signature_runner("infer")(ids=ids)
    for name, rows in found.items():
        np.testing.assert_array_equal(rows, getattr(store.decoded(), name)[ids], err_msg=name)


def test_codebooks_are_kept_as_float32_where_they_are_small(monkeypatch):
    store, ids = ItemStore(small_table(), "pq4"), np.array([[8, 0], [3, 3]], np.int32)
    (part, *_) = store.tensors().target.parts
    assert part.books.dtype == tf.int16
    # As if the codes of nine items were twenty times as many.
    monkeypatch.setattr(items, "_BOOKS_SHARE", 0)
    tensors = store.tensors()
    (part, *_) = tensors.target.parts
    assert part.books.dtype == tf.float32
    np.testing.assert_array_equal(tf.gather(tensors.target, ids), store.decoded().target[ids])


def test_a_table_in_no_form_of_the_library_is_kept_exactly():
    table = dataclasses.replace(small_table(), form="my_pkg:form")
    assert exact_encoding(table) == "float32"
    assert default_variant(table) == "trainable-float32"
    assert default_variant(small_table()) == "trainable-int8"


@pytest.mark.parametrize("encoding", ["int8", "int4", "pq4", "lean"])
def test_a_table_without_attributes_or_bias_stores_none(encoding):
    table = small_table()
    bare = dataclasses.replace(
        table, attributes=np.zeros((9, 0), np.float32), bias=np.zeros(9, np.float32)
    )
    tensors, ids = ItemStore(bare, encoding).tensors(), np.array([[8, 0], [3, 3]], np.int32)
    assert tf.gather(tensors.attributes, ids).shape == (2, 2, 0)
    np.testing.assert_array_equal(tf.gather(tensors.bias, ids), np.zeros((2, 2)))
    assert ItemStore(bare, encoding).decoded().attributes.shape == (9, 0)


def test_int4_rows_are_within_half_a_step():
    table = small_table()
    decoded = ItemStore(table, "int4").decoded()
    step = np.abs(table.cloud).max(axis=1, keepdims=True) / 7
    assert (np.abs(decoded.cloud - table.cloud) <= 0.502 * step).all()
    assert np.abs(decoded.cloud - table.cloud).max() > 0.01


def test_adapters_start_as_the_int8_base(works, weights_of):
    work = works["mlp"]
    weights = weights_of(work)
    found = low_rank(work.model, weights, sharing="backbone", rank=2)
    assert found.size < len(weights)
    flat = found.expand(tf.constant(found.start), tf.constant(0)).numpy()
    named, expected = work.model.layout.to_dict(flat), work.model.layout.to_dict(weights)
    np.testing.assert_array_equal(named["head/inputs"], expected["head/inputs"])
    kernel, base = expected["hidden/kernel"], named["hidden/kernel"]
    assert (np.abs(kernel - base) <= 0.51 * np.abs(kernel).max(axis=0) / 127).all()
    assert np.abs(kernel - base).max() > 0


def test_guards_keep_what_is_sound_and_zero_the_rest():
    assert guards.known_ids(tf.constant([-1, 0, 4, 5, 2**31 - 1]), 5).numpy().tolist() == [
        0, 0, 4, 0, 0,
    ]  # fmt: skip
    values = tf.constant([np.nan, np.inf, -np.inf, 2.0, -2.5])
    assert guards.bounded_or_zero(values, 2.5).numpy().tolist() == [0, 0, 0, 2.0, -2.5]
    assert guards.unit(tf.constant([np.nan, -1.0, 0.5, 9.0])).numpy().tolist() == [0, 0, 0.5, 1]
    norm = guards.norm(tf.constant([3.0, 4.0]))
    assert norm.numpy().tolist() == [5.0]
    assert guards.at_most(norm, 5.0).numpy().tolist() == [1.0]
    assert guards.at_most(norm, 4.9).numpy().tolist() == [0.0]
    for bad in (np.nan, np.inf, 1e20):
        assert guards.at_most(guards.norm(tf.constant([3.0, bad])), 1e3).numpy().tolist() == [0.0]


def test_a_refused_vector_leaves_the_old_one_whatever_it_holds():
    old, new = tf.constant([1.0, 2.0]), tf.constant([np.nan, 3.0])
    assert guards.whole(tf.constant([0.0]), new, old).numpy().tolist() == [1.0, 2.0]
    assert guards.whole(tf.constant([1.0]), old, new).numpy().tolist() == [1.0, 2.0]


def sizes(codec, *, with_logits=True):
    return Sizes(
        history_length=6,
        profile_columns=1,
        cloud_dim=4,
        embedding_dim=3,
        num_queries=2,
        codec=codec,
        with_logits=with_logits,
        with_noise=False,
        weights=10,
        state=31,
    )


@pytest.mark.parametrize("codec", ["float32", "float16", "int8"])
@pytest.mark.parametrize("with_logits", [True, False])
def test_an_uplink_on_the_wire_is_what_the_exchange_encodes(codec, with_logits):
    spec = ExchangeSpec(4, 3, 2, codec=codec, with_logits=with_logits)
    rng = np.random.default_rng(0)
    uplink = spec.make_uplink(
        tf.constant([7]),
        tf.constant([[5, 1]]),
        rng.standard_normal((1, 2, 3)).astype(np.float32),
        rng.standard_normal((1, 2)).astype(np.float32),
        noise_seed=tf.constant(0),
    )

    def readable(part):
        array = part.numpy()
        return array.view(np.uint16).astype(np.int32) if array.dtype == np.float16 else array

    outputs = {"items": uplink.items.numpy()[0], "embeddings": readable(uplink.embeddings[0])[0]}
    if codec == "int8":
        outputs["embedding_scales"] = readable(uplink.embeddings[1])[0, :, 0]
    if with_logits:
        outputs["logits"] = readable(uplink.logits[0])[0]
        if codec == "int8":
            outputs["logit_scale"] = readable(uplink.logits[1])[0]
    form = sizes(codec, with_logits=with_logits)
    content = pack_uplink(7, outputs, form)
    assert len(content) == spec.uplink_bytes
    read = unpack_uplink(content, form)
    assert (read.user, read.items.tolist()) == (7, [5, 1])
    for got, expected in zip(
        (*read.embeddings, *read.logits), (*uplink.embeddings, *uplink.logits), strict=True
    ):
        np.testing.assert_array_equal(got, expected[0])
    with pytest.raises(CodecError, match=f"expected {len(content)} bytes"):
        unpack_uplink(content[:-1], form)


def test_every_signature_has_an_input_and_unique_names():
    for trainable in (True, False):
        found = signatures(sizes("int8"), trainable=trainable)
        assert next(iter(found)) == "infer"
        for signature in found.values():
            names = [port.name for port in signature.inputs]
            assert names
            assert len(set(names)) == len(names)


def test_the_package_needs_no_federated_learning_and_a_device_no_tensorflow():
    script = """
import sys
sys.modules["tensorflow_federated"] = None
sys.modules["tensorflow_recommenders"] = None
import mobile_export.contract.signatures, mobile_export.contract.wire
import mobile_export.runtime.interpreter
assert "tensorflow" not in sys.modules
import mobile_export.making.export
import mobile_export.checking.verification, mobile_export.checking.synthetic
upper = ("ecct_tf.federated", "ecct_tf.simulation", "cloud")
loaded = [name for name in sys.modules if ".".join(name.split(".")[:2]) in upper]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True)
