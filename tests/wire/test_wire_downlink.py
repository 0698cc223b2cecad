"""Downlink files: the layout by hand, cutting one device out, and damage."""

import hashlib
import struct

import numpy as np
import pytest

from ecct_tf.errors import CodecError
from ecct_tf.wire import DownlinkFile, DownlinkForm

TABLE = "ab" * 32


def file(codec="int8"):
    values = {
        "int8": (np.array([[1, -2], [3, 4]], np.int8), np.array([[0.5], [2.0]], np.float16)),
        "float16": (np.array([[0.5, -1], [6, 8]], np.float16),),
        "float32": (np.array([[0.5, -1], [6, 8]], np.float32),),
    }
    return DownlinkFile.build(
        keys_are="users",
        cloud_version=7,
        round_number=3,
        table_sha256=TABLE,
        codec=codec,
        keys=np.array([4, 9], np.int32),
        embeddings=values[codec],
        queries=np.array([[10, 11, 12], [20, 21, 22]], np.int32),
    )


def test_the_layout_is_the_documented_one():
    header = struct.pack("<4sHBBiiIIII32s", b"ECDN", 1, 2, 0, 7, 3, 2, 3, 2, 0, b"\xab" * 32)
    assert len(header) == 64
    body = header + struct.pack("<ii", 4, 9)
    # 0.5 is 0x3800 in float16, 2.0 is 0x4000.
    body += struct.pack("<bbHiii", 1, -2, 0x3800, 10, 11, 12)
    body += struct.pack("<bbHiii", 3, 4, 0x4000, 20, 21, 22)
    assert file().to_bytes() == body + hashlib.sha256(body).digest()


@pytest.mark.parametrize("codec", ["int8", "float16", "float32"])
def test_a_device_reads_its_own(codec):
    read = DownlinkFile.from_bytes(file(codec).to_bytes())
    assert read.to_bytes() == file(codec).to_bytes()
    assert read.form == DownlinkForm(cloud_dim=2, queries=3, codec=codec)
    own = read.of(9)
    np.testing.assert_array_equal(own.user_embedding, np.array([6.0, 8.0], np.float32))
    assert own.user_embedding.dtype == np.float32
    assert own.queries.tolist() == [20, 21, 22]
    assert (own.cloud_version, own.round_number, own.table_sha256) == (7, 3, TABLE)


def test_one_device_is_cut_out():
    content = file().only(4).to_bytes()
    assert len(content) == 64 + 4 + file().form.record_bytes + 32
    alone = DownlinkFile.from_bytes(content)
    assert alone.keys.tolist() == [4]
    np.testing.assert_array_equal(alone.of(4).user_embedding, [0.5, -1.0])
    with pytest.raises(CodecError, match=r"none for 9 among 1 users; .* segments file"):
        alone.of(9)


def test_damage_is_noticed():
    content = file().to_bytes()
    for place in (4, 40, 70, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(CodecError, match="damaged"):
            DownlinkFile.from_bytes(bytes(damaged))
    with pytest.raises(CodecError, match="begins with"):
        DownlinkFile.from_bytes(b"")
    with pytest.raises(CodecError, match="damaged"):
        DownlinkFile.from_bytes(content[:-10])
    body = content[:-32].replace(b"ECDN\x01", b"ECDN\x02")
    with pytest.raises(CodecError, match="expected format 1, found 2"):
        DownlinkFile.from_bytes(body + hashlib.sha256(body).digest())
    short = content[:-40]
    with pytest.raises(CodecError, match="before the digest"):
        DownlinkFile.from_bytes(short + hashlib.sha256(short).digest())


def test_keys_come_in_order():
    with pytest.raises(CodecError, match="ascending"):
        DownlinkFile.build(
            keys_are="users",
            cloud_version=1,
            round_number=0,
            table_sha256=TABLE,
            codec="float32",
            keys=np.array([2, 1], np.int32),
            embeddings=(np.zeros((2, 1), np.float32),),
            queries=np.zeros((2, 1), np.int32),
        )
