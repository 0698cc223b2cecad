"""Item table files and their deltas: the layout by hand, byte-identical results, damage."""

import dataclasses
import hashlib
import struct

import numpy as np
import pytest

from ecct_tf.errors import CodecError
from ecct_tf.wire import ItemTableFile, Section, apply_item_delta, digest_of, item_delta


def table(values, *, codec="int8", logit_mean=0.5):
    values = np.asarray(values)
    count = len(values)
    encoded = (values.astype({"int8": np.int8, "float32": np.float32}[codec]),)
    if codec == "int8":
        encoded += (np.full((count, 1), 0.5, np.float16),)
    return ItemTableFile.build(
        codec=codec,
        sections=((Section("both", "é", values.shape[1]), encoded),),
        bias=np.arange(count).astype(np.float16),
        feature_mean=np.array([1.0], np.float32),
        feature_scale=np.array([2.0], np.float32),
        logit_mean=logit_mean,
        logit_scale=4.0,
    )


OLD = [[0, 0], [1, 2], [3, 4], [5, 6]]


def test_the_layout_is_the_documented_one():
    head = struct.pack("<ff", 1.0, 2.0) + struct.pack("<I", 1)
    head += struct.pack("<BBI", 2, 2, 2) + "é".encode()
    body = struct.pack("<4sHBBIIIIff", b"ECIT", 1, 2, 0, 2, 6, 32 + len(head), 1, 0.5, 4.0) + head
    body += struct.pack("<bbHH", 0, 0, 0x3800, 0) + struct.pack("<bbHH", 1, 2, 0x3800, 0x3C00)
    assert table(OLD[:2]).to_bytes() == body + hashlib.sha256(body).digest()


@pytest.mark.parametrize("codec", ["int8", "float32"])
def test_what_is_written_is_read(codec):
    content = table(OLD, codec=codec).to_bytes()
    read = ItemTableFile.from_bytes(content)
    assert read.to_bytes() == content
    assert read.sections == (Section("both", "é", 2),)
    scale = 0.5 if codec == "int8" else 1.0
    np.testing.assert_array_equal(read.decoded(0), scale * np.array(OLD, np.float32))
    np.testing.assert_array_equal(read.bias, [0, 1, 2, 3])
    assert (read.logit_mean, read.logit_scale) == (0.5, 4.0)


@pytest.mark.parametrize(
    ("new", "rows"),
    [
        (OLD, 0),
        ([[0, 0], [1, 2], [9, 4], [5, 6]], 1),  # one changed
        ([*OLD, [7, 8], [9, 9]], 2),  # two added
        ([[0, 1], [1, 2], [3, 4], [5, 6], [7, 8]], 2),  # one changed, one added
        (OLD[:2], 0),  # two removed
    ],
)
def test_a_delta_leads_to_the_same_bytes(new, rows):
    old, after = table(OLD).to_bytes(), table(new, logit_mean=0.75).to_bytes()
    delta = item_delta(old, after)
    assert apply_item_delta(old, delta) == after
    head = len(table(new).head())
    assert len(delta) == 88 + head + rows * (4 + 6) + 32


def test_an_unchanged_table_is_told_by_its_digest():
    assert digest_of(table(OLD).to_bytes()) == digest_of(table(OLD).to_bytes())
    assert digest_of(table(OLD).to_bytes()) != digest_of(table(OLD, logit_mean=1).to_bytes())


def test_another_layout_has_no_delta():
    old = table(OLD).to_bytes()
    assert item_delta(old, table(OLD, codec="float32").to_bytes()) is None
    assert item_delta(old, table([[0], [1]]).to_bytes()) is None
    renamed = dataclasses.replace(table(OLD), sections=(Section("both", "other", 2),))
    assert item_delta(old, renamed.to_bytes()) is None


def test_a_delta_from_another_table_or_a_damaged_one_is_refused():
    old, other = table(OLD).to_bytes(), table(OLD[:3]).to_bytes()
    delta = item_delta(old, table([*OLD, [7, 8]]).to_bytes())
    with pytest.raises(CodecError, match="starts from table"):
        apply_item_delta(other, delta)
    damaged = bytearray(delta)
    damaged[-40] ^= 1
    with pytest.raises(CodecError, match="damaged"):
        apply_item_delta(old, bytes(damaged))
    # Whole, but announcing another result.
    body = delta[:40] + bytes(32) + delta[72:-32]
    with pytest.raises(CodecError, match="announced was 0000"):
        apply_item_delta(old, body + hashlib.sha256(body).digest())
    # The digest of the old table alone does not make it whole.
    torn = old[:60] + b"?" + old[61:]
    with pytest.raises(CodecError, match="damaged"):
        apply_item_delta(torn, delta)
