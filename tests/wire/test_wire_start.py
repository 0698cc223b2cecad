"""Files of starting weights: the layout by hand, codecs, damage, and other architectures."""

import dataclasses
import hashlib
import struct

import numpy as np
import pytest

from ecct_tf.edge import EdgeSpec, build_edge_model
from ecct_tf.edge.layout import Weight, WeightLayout
from ecct_tf.edge.start_files import start_file
from ecct_tf.errors import CodecError
from ecct_tf.wire import Publication, PublishedFile, StartFile

FINGERPRINT = "ab" * 32


def small(codec="int8"):
    """A matrix of two rows of two, and a vector of one."""
    values = np.array([1, -2, 3, 4, 5], {"int8": np.int8, "float16": "f2", "float32": "f4"}[codec])
    scales = np.array([0.5, 2.0, 0.25] if codec == "int8" else [], np.float16)
    return StartFile(codec, "é", FINGERPRINT, ((2, 2), (1, 1)), values, scales)


@pytest.fixture(scope="module")
def model():
    return build_edge_model("linear", EdgeSpec(4, 3, 1, (3,), 2, embedding_dim=3, profile_dim=2))


def test_the_layout_is_the_documented_one():
    body = struct.pack("<4sHBBII", b"ECSW", 1, 2, 2, 5, 2) + bytes([0xAB]) * 32
    body += "é".encode() + struct.pack("<IIII", 2, 2, 1, 1)
    body += struct.pack("<5b", 1, -2, 3, 4, 5) + struct.pack("<3e", 0.5, 2.0, 0.25)
    assert small().to_bytes() == body + hashlib.sha256(body).digest()


@pytest.mark.parametrize("codec", ["int8", "float16", "float32"])
def test_what_is_written_is_read(codec):
    read = StartFile.from_bytes(small(codec).to_bytes())
    assert read.to_bytes() == small(codec).to_bytes()
    assert (read.codec, read.tier, read.fingerprint) == (codec, "é", FINGERPRINT)
    scaled = [0.5, -1.0, 6.0, 8.0, 1.25]
    np.testing.assert_array_equal(read.weights, scaled if codec == "int8" else [1, -2, 3, 4, 5])


def test_a_damaged_file_and_one_that_is_not_laid_out_as_it_says_are_refused():
    content = small().to_bytes()
    torn = bytearray(content)
    torn[60] ^= 1
    with pytest.raises(CodecError, match="damaged"):
        StartFile.from_bytes(bytes(torn))
    for body in (content[:40], content[:-33], content[:-32] + b"\0\0"):
        with pytest.raises(CodecError, match="starting weights: expected"):
            StartFile.from_bytes(body + hashlib.sha256(body).digest())
    infinite = small("float32")
    infinite.values[0] = np.inf
    with pytest.raises(CodecError, match="finite"):
        StartFile.from_bytes(infinite.to_bytes())


@pytest.mark.parametrize("codec", ["float32", "float16", "int8"])
def test_the_stated_error_is_that_of_the_codec(model, codec):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=model.layout.size).astype(np.float32)
    file, error = start_file(model, weights, codec)
    assert file.tier == "linear"
    assert error == np.abs(file.weights - weights).max()
    peak = np.abs(weights).max()
    # Half a step: of 11 bits of mantissa, and of 127 steps up to the largest of the row.
    most = {"float32": 0.0, "float16": peak * 2.0**-11, "int8": 0.502 * peak / 127}[codec]
    assert error <= most
    assert (error > 0) == (codec != "float32")


def test_a_weight_that_is_one_number_crosses_too(model):
    layout = WeightLayout((Weight("kernel", (2, 2), "backbone"), Weight("gain", (), "head")))
    numbers = np.array([1, -2, 3, 4, 5], np.float32)
    for codec in ("int8", "float32"):
        file, error = start_file(dataclasses.replace(model, layout=layout), numbers, codec)
        np.testing.assert_allclose(file.weights, numbers, atol=0.03)
        assert error == np.abs(file.weights - numbers).max()


def test_small_weights_survive_beside_large_ones(model):
    """With one scale for the whole vector, int8 would make zeros of them."""
    weights = np.full(model.layout.size, 1e-3, np.float32)
    weights[0] = 100.0
    file, _ = start_file(model, weights, "int8")
    rows = model.layout.weights[0].shape[-1]
    assert (file.weights[rows:] != 0.0).all()


def test_weights_of_another_architecture_are_refused_with_both_fingerprints(model):
    other = build_edge_model("linear", EdgeSpec(4, 5, 1, (3,), 2, embedding_dim=3, profile_dim=2))
    # As many weights, but they read a longer history.
    assert other.layout.size == model.layout.size
    file, _ = start_file(model, np.zeros(model.layout.size, np.float32), "float16")
    file.check(model.fingerprint, where="the same")
    message = rf"{model.fingerprint[:16]}….*{other.fingerprint[:16]}…"
    with pytest.raises(CodecError, match=message):
        file.check(other.fingerprint, where="the other")
    with pytest.raises(CodecError, match="finite numbers"):
        start_file(model, np.full(model.layout.size, np.nan, np.float32), "float16")


def test_a_publication_from_before_there_were_starts_has_none():
    file = PublishedFile("a", 1, "00" * 32)
    publication = Publication(1, 0, "int8", file, file, ("all",), file, (), "", 10)
    text = publication.to_json()
    assert '"starts": []' in text
    older = text.replace(',\n  "starts": []', "")
    assert older != text
    assert Publication.from_json(older) == publication
    assert publication.start_of("mlp") is None
