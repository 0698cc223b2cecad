"""Payloads and their envelope, byte by byte."""

import dataclasses
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.wire import (
    UplinkForm,
    UplinkRecord,
    decoded,
    pack_uplink,
    pack_uplinks,
    unpack_uplink,
    unpack_uplinks,
)

FORM = UplinkForm(queries=2, embedding_dim=3, codec="int8", with_logits=True)
# Scales 2^-14 (bits 0x0400), 1.0 (0x3C00) and 0.5 (0x3800).
OUTPUTS = {
    "items": np.array([5, 1], np.int32),
    "embeddings": np.array([[1, -2, 3], [0, 127, -127]], np.int8),
    "embedding_scales": np.array([0x0400, 0x3C00], np.int32),
    "logits": np.array([4, -5], np.int8),
    "logit_scale": np.array([0x3800], np.int32),
}
PAYLOAD = struct.pack("<iii6bHH2bH", 7, 5, 1, 1, -2, 3, 0, 127, -127, 0x400, 0x3C00, 4, -5, 0x3800)


def record(**changes):
    made = UplinkRecord(
        user=7,
        round_number=3,
        cloud_version=2,
        created_at_seconds=86_401,
        form=FORM,
        payload=PAYLOAD,
    )
    return dataclasses.replace(made, **changes)


def test_a_payload_is_laid_out_as_declared():
    assert pack_uplink(7, OUTPUTS, FORM) == PAYLOAD
    assert FORM.payload_bytes == len(PAYLOAD)
    read = unpack_uplink(PAYLOAD, FORM)
    assert (read.user, read.items.tolist()) == (7, [5, 1])
    assert read.embeddings[1].tolist() == [[2.0**-14], [1.0]]
    assert read.logits[1].tolist() == [0.5]


@pytest.mark.parametrize("codec", ["float32", "float16", "int8"])
@pytest.mark.parametrize("with_logits", [True, False])
def test_many_payloads_are_the_single_ones(codec, with_logits):
    form = UplinkForm(queries=2, embedding_dim=3, codec=codec, with_logits=with_logits)
    rng = np.random.default_rng(0)
    dtype = {"float32": np.float32, "float16": np.float16, "int8": np.int8}[codec]
    embeddings = [rng.integers(-9, 9, (4, 2, 3)).astype(dtype)]
    logits = [rng.integers(-9, 9, (4, 2)).astype(dtype)] if with_logits else []
    if codec == "int8":
        embeddings.append(rng.uniform(0.1, 1, (4, 2, 1)).astype(np.float16))
        logits += [rng.uniform(0.1, 1, (4, 1)).astype(np.float16)] if with_logits else []
    users, items = np.arange(4), rng.integers(1, 9, (4, 2))
    rows = pack_uplinks(users, items, embeddings=embeddings, logits=logits, form=form)
    one = unpack_uplink(rows[2].tobytes(), form)
    assert one.user == 2
    for got, expected in zip((*one.embeddings, *one.logits), (*embeddings, *logits), strict=True):
        np.testing.assert_array_equal(got, expected[2])
    flat = np.frombuffer(rows.tobytes(), np.uint8).reshape(4, -1)
    values, found = decoded(unpack_uplinks(flat, form), form)
    scale = embeddings[1].astype(np.float32) if codec == "int8" else 1.0
    np.testing.assert_array_equal(values, embeddings[0].astype(np.float32) * scale)
    assert (found is not None) == with_logits
    with pytest.raises(CodecError, match=f"n, {form.payload_bytes}"):
        unpack_uplinks(flat[:, 1:], form)


def test_a_payload_of_another_form_is_told():
    stage_1 = dataclasses.replace(FORM, with_logits=False)
    with pytest.raises(CodecError, match="in stage 1, got items, embeddings, embedding_scales, l"):
        pack_uplinks(
            np.array([7]),
            np.array([[5, 1]]),
            embeddings=[np.zeros((1, 2, 3)), np.ones((1, 2, 1))],
            logits=[np.zeros((1, 2)), np.ones((1, 1))],
            form=stage_1,
        )
    with pytest.raises(CodecError, match=r"field items: expected shape \(2,\)"):
        pack_uplink(7, {**OUTPUTS, "items": np.array([5], np.int32)}, FORM)
    with pytest.raises(CodecError, match="expected 26 bytes"):
        unpack_uplink(PAYLOAD[:-1], FORM)
    with pytest.raises(CodecError, match="at least one query"):
        UplinkForm(queries=0, embedding_dim=3, codec="int8", with_logits=True)
    with pytest.raises(ConfigError, match="codec out of"):
        UplinkForm(queries=1, embedding_dim=3, codec="int4", with_logits=True)


def test_a_record_is_laid_out_as_declared():
    header = struct.pack("<4sHBBIIqiiiI", b"ECUP", 1, 2, 2, 2, 3, 86_401, 7, 3, 2, len(PAYLOAD))
    content = record().to_bytes()
    assert content[:40] == header
    assert content == header + PAYLOAD + struct.pack("<I", zlib.crc32(header + PAYLOAD))
    assert UplinkRecord.from_bytes(content) == record()
    assert record().key == (7, 3)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, b"X", "begin with b'ECUP'"),
        (4, b"\2", "expected schema version 1, got 2"),
        (50, b"\x55", "CRC-32 does not fit"),
    ],
)
def test_a_damaged_record_is_refused(offset, value, message):
    content = bytearray(record().to_bytes())
    content[offset : offset + 1] = value
    with pytest.raises(CodecError, match=message):
        UplinkRecord.from_bytes(bytes(content))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (8, b"\xff\xff\xff\xff", "at most 1000000 bytes, got 4294967295 queries"),
        (12, b"\0", "at least one query and one embedding dimension, got 2 and 0"),
        (6, b"\3", "expected a codec below 3, or a custom one from 128, got 3"),
        (36, b"\1", "header says 1 bytes of payload, it has 26"),
        (24, b"\4", "payload is of user 7, expected user 4"),
        (31, b"\x80", "expected a round_number in 0..2147483647"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(offset, value, message):
    content = bytearray(record().to_bytes()[:-4])
    content[offset : offset + len(value)] = value
    content += struct.pack("<I", zlib.crc32(content))
    with pytest.raises(CodecError, match=message):
        UplinkRecord.from_bytes(bytes(content))


def test_a_record_is_checked_when_it_is_made():
    with pytest.raises(CodecError, match="payload is of user 7, expected user 8"):
        record(user=8)
    with pytest.raises(CodecError, match="expected a payload of 26 bytes"):
        record(payload=PAYLOAD + b"\0")
    with pytest.raises(CodecError, match="a created_at_seconds in 0"):
        record(created_at_seconds=-1)


def test_the_wire_needs_no_tensorflow():
    script = """
import sys
sys.modules["tensorflow"] = None
import ecct_tf.wire
"""
    subprocess.run([sys.executable, "-c", script], check=True)
