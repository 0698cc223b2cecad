import dataclasses
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ecct_tf.config import CODECS, ExchangeConfig, load_config
from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.knowledge import ExchangeSpec, RowCodec, build_codec, codec_origin, codecs
from ecct_tf.knowledge.codec_origin import changed_codecs, check_codecs, codec_origins
from ecct_tf.wire.row_codec import custom_codec

FINITE = st.floats(-1e6, 1e6, width=32)
TENSORS = arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=5), elements=FINITE)
SMALLEST_NORMAL, SMALLEST = 2.0**-14, 2.0**-24  # of float16


def cross(name, values):
    codec = build_codec(name)
    return np.asarray(codec.decode(codec.encode(tf.constant(values)), np.shape(values)[-1]))


@settings(max_examples=60, deadline=None)
@given(TENSORS)
def test_float32_is_exact(values):
    np.testing.assert_array_equal(cross("float32", values), values)


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(max_dims=3, max_side=5),
        elements=st.floats(-65504, 65504, width=32),
    )
)
def test_float16_is_relatively_close(values):
    # 11 bits of mantissa; below the smallest normal number the step is constant.
    bound = np.maximum(np.abs(values) * 2.0**-11, SMALLEST)
    assert (np.abs(cross("float16", values) - values) <= bound).all()


@settings(max_examples=60, deadline=None)
@given(TENSORS)
def test_int8_is_within_half_a_step_of_its_row(values):
    codec = build_codec("int8")
    quantised, scale = codec.encode(tf.constant(values))
    scale = np.asarray(scale, np.float64)
    peak = np.abs(values).max(axis=-1, keepdims=True)
    error = np.abs(cross("int8", values) - values)
    assert (error <= scale * 0.5 + peak * 1e-6).all()
    # The step itself is the row's, up to the precision of a float16.
    np.testing.assert_allclose(scale, np.maximum(peak / 127.0, SMALLEST_NORMAL), rtol=2.0**-10)
    assert np.abs(np.asarray(quantised, np.int32)).max() <= 127


def test_int8_by_hand():
    values = np.array([[127.0, -63.4, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    quantised, scale = build_codec("int8").encode(tf.constant(values))
    assert quantised.numpy().tolist() == [[127, -63, 0, 0], [0, 0, 0, 0]]
    assert scale.numpy().tolist() == [[1.0], [SMALLEST_NORMAL]]


def test_int8_divides_by_the_scale_that_the_receiver_reads():
    # The exact scale is 1.0004, which float16 writes as 1; 120.52 / 1.0004 would round to 120.
    quantised, scale = build_codec("int8").encode(tf.constant([[127.0 * 1.0004, 120.52]]))
    assert scale.numpy().tolist() == [[1.0]]
    assert quantised.numpy().tolist() == [[127, 121]]


@pytest.mark.parametrize("name", CODECS)
def test_zero_rows_stay_zero(name):
    assert not cross(name, np.zeros((2, 3), np.float32)).any()


@pytest.mark.parametrize(("name", "largest"), [("float16", 65504.0), ("int8", 127 * 65504.0)])
def test_huge_values_are_clipped_and_finite(name, largest):
    values = np.array([[3e38, -3e38, 1.0]], np.float32)
    assert cross(name, values)[0, :2].tolist() == [largest, -largest]
    assert np.isfinite(cross(name, values)).all()


@pytest.mark.parametrize("shape", [(7,), (2, 7), (3, 2, 7)])
@pytest.mark.parametrize("name", CODECS)
def test_declared_form_is_the_real_one(name, shape):
    codec = build_codec(name)
    encoded = [part.numpy() for part in codec.encode(tf.ones(shape))]
    assert tuple(part.dtype.type for part in encoded) == codec.dtypes
    assert tuple(part.shape for part in encoded) == codec.shapes(shape)
    rows = int(np.prod(shape[:-1]))
    assert codec.encoded_bytes(rows, 7) == sum(part.nbytes for part in encoded)


@pytest.mark.parametrize(("name", "size"), [("float32", 140), ("float16", 70), ("int8", 45)])
def test_bytes_by_hand(name, size):
    assert build_codec(name).encoded_bytes(5, 7) == size


def test_unknown_codec():
    with pytest.raises(ConfigError, match="a codec out of float32, float16, int8, or module:name"):
        build_codec("zip")


def _signs(values):
    """A bit is wasted on nothing: 0 or 1 for each number, and no scale."""
    return tf.cast(values > 0.0, tf.uint8)


def _lost(content, width):
    del width
    return 2.0 * tf.cast(content, tf.float32) - 1.0


def _module(monkeypatch):
    module = types.ModuleType("my_codecs")
    plain = RowCodec(lambda width: width, _signs, _lost, error=0.99)
    module.signs = lambda: plain
    module.nothing = lambda: None
    module.fails = lambda: {}["scale"]
    module.exact = lambda: dataclasses.replace(plain, error=0.0)
    module.longer = lambda: dataclasses.replace(plain, row_bytes=lambda width: width + 1)
    module.half = lambda: dataclasses.replace(plain, row_bytes=lambda width: width / 2)
    module.bits = lambda: dataclasses.replace(plain, encode=lambda values: values > 0.0)
    module.sure = lambda: dataclasses.replace(plain, error=-1.0)
    module.doubles = lambda: dataclasses.replace(
        plain, decode=lambda content, width: tf.cast(_lost(content, width), tf.float64)
    )
    for name in ("signs", "nothing", "fails", "exact", "longer", "half", "bits", "sure", "doubles"):
        getattr(module, name).__module__ = "my_codecs"
    monkeypatch.setitem(sys.modules, "my_codecs", module)
    build_codec.cache_clear()
    custom_codec.cache_clear()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "return an ecct_tf.knowledge.RowCodec, got NoneType"),
        ("fails", "its function failed: KeyError: 'scale'"),
        ("exact", "within 0 of the largest of their row"),
        ("longer", r"expected \[8\] uint8 of \[7\] float32, as row_bytes says, got \(7,\) uint8"),
        ("half", "row_bytes.1.: expected a whole number above 0, got 0.5"),
        ("bits", r"got \(7,\) bool"),
        ("sure", "error: expected the largest error as a share"),
        ("doubles", r"decode: expected \[7\] float32, got \(7,\) float64"),
        ("missing", "function missing in the module my_codecs"),
    ],
)
def test_what_is_no_codec_is_refused(name, words, monkeypatch):
    _module(monkeypatch)
    with pytest.raises(ConfigError, match=words):
        build_codec(f"my_codecs:{name}")


def test_a_codec_of_ones_own_has_the_bytes_that_it_says(monkeypatch):
    _module(monkeypatch)
    monkeypatch.setattr(codecs, "_try", lambda *_, **__: None)
    codec = build_codec("my_codecs:signs")
    assert codec.encoded_bytes(3, 5) == 15
    encoded = codec.encode(tf.constant([[0.5, -2.0]]))
    assert encoded[0].numpy().tolist() == [[1, 0]]
    assert codec.decode(encoded, 2).numpy().tolist() == [[1.0, -1.0]]
    spec = ExchangeSpec(
        cloud_dim=5, embedding_dim=3, num_queries=2, codec="my_codecs:signs", answer_by="item"
    )
    # Id and items, two embeddings of three bytes, two logits of one.
    assert spec.uplink_bytes == 4 + 8 + 6 + 2
    assert spec.known_bytes == 5
    uplink = spec.make_uplink(
        tf.constant([0]), tf.constant([[1, 2]]), tf.ones([1, 2, 3]), tf.ones([1, 2])
    )
    spec.check_uplink(uplink)
    assert sum(part.numpy().nbytes for part in (*uplink.embeddings, *uplink.logits)) == 8


@pytest.mark.parametrize("name", [*CODECS, "my_codecs:signs"])
def test_rows_of_another_length_are_refused(name, monkeypatch):
    _module(monkeypatch)
    monkeypatch.setattr(codecs, "_try", lambda *_, **__: None)
    codec = build_codec(name)
    first, *others = codec.encode(tf.ones([2, 7]))
    with pytest.raises(CodecError, match="expected rows of 7 numbers as 7 "):
        codec.decode((first[:, :-1], *others), 7)


def test_no_numbers_are_no_bytes(monkeypatch):
    _module(monkeypatch)
    monkeypatch.setattr(codecs, "_try", lambda *_, **__: None)
    codec = build_codec("my_codecs:signs")
    assert codec.encoded_bytes(1, 0) == 0
    assert codec.decode(codec.encode(tf.ones([3, 0])), 0).shape == (3, 0)


def test_only_codecs_of_ones_own_are_recorded(monkeypatch):
    origin = {"target": "my_codecs:signs", "version": None, "source_sha256": "1" * 64}
    monkeypatch.setattr(codec_origin, "origin_of", lambda target, **_: {**origin, "target": target})
    own = ExchangeConfig(codec="my_codecs:signs", item_table="int8")
    assert codec_origins(ExchangeConfig()) == {}
    assert codec_origins(own) == {"my_codecs:signs": origin}
    assert changed_codecs(own, {"my_codecs:signs": origin}) == []
    other = {"my_codecs:signs": {**origin, "source_sha256": "0" * 64}}
    (change,) = changed_codecs(own, other)
    assert change.startswith("codec 'my_codecs:signs': source SHA-256 0000")


def test_a_codec_of_ones_own_writes_no_item_table():
    own = "exchange.codec=my_codecs:signs"
    with pytest.raises(ConfigError, match=f"exchange.item_table: got null with {own}"):
        load_config(overrides=[own, "exchange.item_table=null"])
    assert load_config(overrides=[own]).exchange.item_table == "auto"


def test_without_a_numpy_form_it_stays_within_simulations(monkeypatch):
    _module(monkeypatch)
    monkeypatch.setattr(codecs, "_try", lambda *_, **__: None)
    own = ExchangeConfig(codec="my_codecs:signs", item_table="int8")
    check_codecs(own, arrays=False)
    logged = dataclasses.replace(own, uplink_log="log")
    for exchange, on_devices in ((own, True), (logged, False)):
        with pytest.raises(ConfigError, match=r"my_codecs:signs.: expected encode_array and dec"):
            check_codecs(exchange, arrays=on_devices)


def test_a_numpy_form_that_differs_is_refused(monkeypatch):
    _module(monkeypatch)
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "own_codecs")
    from own_codecs.four_bits import int4

    good, module = int4(), sys.modules["my_codecs"]

    def halved(content, width):
        return good.decode_array(content, width) * np.float32(0.5)

    module.other = lambda: dataclasses.replace(good, decode_array=halved)
    with pytest.raises(ConfigError, match="to equal encode and decode to the last bit"):
        build_codec("my_codecs:other")
