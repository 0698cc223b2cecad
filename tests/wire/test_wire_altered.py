"""Bytes that somebody altered, sealed anew or not: refused by name, or read as what they say."""

import dataclasses
import hashlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecct_tf.errors import CodecError
from ecct_tf.wire import (
    DownlinkFile,
    ItemTableFile,
    PlacedRecord,
    Section,
    StartFile,
    UplinkForm,
    UplinkRecord,
    apply_item_delta,
    by_place,
    item_delta,
    split_records,
)
from ecct_tf.wire.item_rows import ItemRowsFile
from ecct_tf.wire.sealed import seal

FORM = UplinkForm(queries=2, embedding_dim=3, codec="int8", with_logits=True)
PAYLOAD = struct.pack("<3i", 7, 5, 1) + bytes(range(1, 15))
RECORD = UplinkRecord(7, 3, 2, 86_401, FORM, PAYLOAD).to_bytes()


def table():
    values = np.arange(9, dtype=np.int8).reshape(3, 3)
    return ItemTableFile.build(
        codec="int8",
        sections=((Section("cloud", "é", 3), (values, np.ones((3, 1), np.float16))),),
        bias=np.arange(3, dtype=np.float16),
        feature_mean=np.zeros(1, np.float32),
        feature_scale=np.ones(1, np.float32),
        logit_mean=0.0,
        logit_scale=1.0,
    )


def downlinks():
    return DownlinkFile.build(
        keys_are="users",
        cloud_version=7,
        round_number=3,
        table_sha256="ab" * 32,
        codec="int8",
        keys=np.array([4, 9], np.int32),
        embeddings=(np.array([[1, -2], [3, 4]], np.int8), np.array([[0.5], [2.0]], np.float16)),
        queries=np.array([[10, 11], [20, 21]], np.int32),
    )


def rows():
    own = np.array([[1, 2], [2, 0]], np.int32)
    return ItemRowsFile.build(table(), table_sha256="ab" * 32, users=np.array([1, 4]), own=own)


def start():
    values, scales = np.array([1, -2, 3, 4, 5], np.int8), np.array([0.5, 2, 0.25], np.float16)
    return StartFile("int8", "é", "ab" * 32, ((2, 2), (1, 1)), values, scales)


def crc(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


# What is read, its bytes without what proves them, and what proves them.
KINDS = {
    "uplink": (UplinkRecord, RECORD[:-4], crc),
    "by place": (PlacedRecord, by_place(RECORD)[:-4], crc),
    "downlinks": (DownlinkFile, downlinks().to_bytes()[:-32], seal),
    "table": (ItemTableFile, table().to_bytes()[:-32], seal),
    "rows": (ItemRowsFile, rows().to_bytes()[:-32], seal),
    "start": (StartFile, start().to_bytes()[:-32], seal),
}


@st.composite
def altered(draw, body):
    """`body` with a few bytes changed, cut, doubled or longer."""
    content = bytearray(body)
    for _ in range(draw(st.integers(0, 3))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.sampled_from([0, 1, 127, 255]))
    end = draw(st.integers(0, len(content)))
    return bytes(content[:end] if draw(st.booleans()) else content) + draw(st.binary(max_size=5))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sealed_anew_is_refused_or_read_as_it_is(kind):
    """As of a writer with an error, or with ill will: no other failure, and nothing is guessed."""
    reader, body, proved = KINDS[kind]
    assert reader.from_bytes(proved(body)).to_bytes() == proved(body)

    @settings(max_examples=150, deadline=None)
    @given(altered(body))
    def check(content):
        try:
            found = reader.from_bytes(proved(content))
        except CodecError:
            return
        assert found.to_bytes() == proved(content)

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_and_every_cut_is_refused(kind):
    reader, body, proved = KINDS[kind]
    content = proved(body)
    for place in range(len(content)):
        for damaged in (
            content[:place],
            content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :],
        ):
            with pytest.raises(CodecError):
                reader.from_bytes(damaged)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([RECORD, by_place(RECORD)]), max_size=4), st.binary(max_size=60))
@example([], b"ECUP" + bytes(60))
@example([RECORD], RECORD[:-1])
def test_records_are_cut_apart_or_refused(records, rest):
    content = b"".join(records) + rest
    found = []
    try:
        for one in split_records(content, most_bytes=200):
            found.append(one)
    except CodecError:
        assert rest
    assert b"".join(found) == content[: sum(map(len, found))]
    assert found[: len(records)] == records


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["scale0", "bias", "feature_mean", "feature_scale", "logit_mean"])
def test_a_table_of_a_cloud_that_diverged_is_refused(field, number):
    made = table()
    if field in ("scale0", "bias"):
        rows = made.rows.copy()
        rows[field][1] = number
        changes = {"rows": rows}
    else:
        changes = {field: number if field == "logit_mean" else np.array([number], np.float32)}
    with pytest.raises(CodecError, match=r"expected finite numbers; the cloud .* has diverged"):
        dataclasses.replace(made, **changes)


@pytest.mark.parametrize(
    ("kind", "place"), [("downlinks", 28), ("table", 7), ("rows", 6), ("rows", 7)]
)
def test_reserved_bytes_in_use_are_a_later_version_s(kind, place):
    reader, body, proved = KINDS[kind]
    assert body[place] == 0
    with pytest.raises(CodecError, match="later version"):
        reader.from_bytes(proved(body[:place] + b"\1" + body[place + 1 :]))


def test_a_delta_of_a_later_version_is_refused():
    old = table()
    rows = old.rows.copy()
    rows["bias"][1] = 5
    new = dataclasses.replace(old, rows=rows)
    delta = item_delta(old.to_bytes(), new.to_bytes())
    assert apply_item_delta(old.to_bytes(), delta) == new.to_bytes()
    body = delta[:-32]
    with pytest.raises(CodecError, match="later version"):
        apply_item_delta(old.to_bytes(), seal(body[:6] + b"\1" + body[7:]))


def test_a_digest_is_of_all_before_it():
    content = seal(b"abc")
    assert content[3:] == hashlib.sha256(b"abc").digest()
