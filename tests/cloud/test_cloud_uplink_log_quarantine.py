"""Each reason has a case of its own, with its message, between two sound records."""

import sqlite3
import struct
import zlib

import numpy as np
import pytest

from cloud.uplink_log import Reason, UplinkLogWriter
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.wire import by_place


def patched(record, offset, value):
    """The record's bytes with others at `offset` and a CRC that fits."""
    content = bytearray(record.to_bytes()[:-4])
    content[offset : offset + len(value)] = value
    return bytes(content) + struct.pack("<I", zlib.crc32(content))


CASES = {
    "magic": (lambda _: b"nothing" * 13, Reason.NOT_A_RECORD, "expected at least 44 bytes that be"),
    "magic, right length": (
        lambda u: patched(u(), 0, b"XXXX"), Reason.NOT_A_RECORD, "that begin with b'XXXX'",
    ),
    "short": (lambda u: u().to_bytes()[:20], Reason.NOT_A_RECORD, "got 20 that begin with b'ECUP'"),
    "schema": (
        lambda u: patched(u(), 4, b"\2\0"), Reason.SCHEMA_VERSION, "schema version 1, got 2",
    ),
    "schema of another length": (
        lambda u: patched(u(), 4, b"\2\0") + b"more", Reason.SCHEMA_VERSION, "version 1, got 2",
    ),
    "answer by place": (
        lambda u: by_place(u().to_bytes()), Reason.SCHEMA_VERSION,
        "must be resolved by the service",
    ),
    "flipped bit": (
        lambda u: u().to_bytes()[:50] + b"\x11" + u().to_bytes()[51:],
        Reason.DAMAGED_RECORD, "its CRC-32 does not fit",
    ),
    "cut, framed whole": (
        lambda u: u().to_bytes()[:-1], Reason.DAMAGED_RECORD, "its CRC-32 does not fit",
    ),
    "codec": (
        lambda u: u(codec="float32").to_bytes(), Reason.WRONG_FORM,
        "expected codec int8, 3 queries and embeddings of 2, got float32, 3 and 2",
    ),
    "codec of the same length": (
        lambda u: patched(u(), 6, b"\1"), Reason.WRONG_FORM, "expected a payload of",
    ),
    "unknown codec": (
        lambda u: patched(u(), 6, b"\7"), Reason.WRONG_FORM, "expected a codec below 3",
    ),
    "dimension": (lambda u: patched(u(), 12, b"\3"), Reason.WRONG_FORM, "embedding_dim=3"),
    "queries": (lambda u: patched(u(), 8, b"\4"), Reason.WRONG_FORM, "queries=4"),
    "negative round": (
        lambda u: patched(u(), 28, struct.pack("<i", -1)), Reason.WRONG_FORM, "got -1",
    ),
    "before 1970": (
        lambda u: patched(u(), 16, struct.pack("<q", -1)), Reason.WRONG_FORM, "got -1",
    ),
    "length in the header": (
        lambda u: patched(u(), 36, b"\1"), Reason.WRONG_LENGTH, "says 1 bytes of payload, it has",
    ),
    "another length": (
        lambda u: patched(u(), 36, b"\1")[:-4][:60] + struct.pack(
            "<I", zlib.crc32(patched(u(), 36, b"\1")[:60])
        ),
        Reason.WRONG_LENGTH, "says 1 bytes of payload, it has 20",
    ),
    "two users": (
        lambda u: patched(u(3), 24, b"\4"), Reason.WRONG_USER, "is of user 3, expected user 4",
    ),
    "user": (lambda u: u(50).to_bytes(), Reason.UNKNOWN_USER, "a user in 0..49, got 50"),
    "item": (
        lambda u: u(items=[1, 41, 0]).to_bytes(), Reason.UNKNOWN_ITEM, r"in 1..40, got \[41, 0\]",
    ),
    "scale": (
        lambda u: u(embedding_scales=[[[1], [np.nan], [1]]]).to_bytes(),
        Reason.NOT_FINITE, "expected finite values and scales above 0",
    ),
    "scale of the logits": (
        lambda u: u(logit_scale=np.inf).to_bytes(), Reason.NOT_FINITE, "expected finite values",
    ),
    "negative scale": (
        lambda u: u(embedding_scales=-0.01).to_bytes(), Reason.NOT_FINITE, "scales above 0",
    ),
    "norm": (
        lambda u: u(embeddings=[[[0, 0], [127, 0], [0, 0]]], embedding_scales=0.125).to_bytes(),
        Reason.EMBEDDING_NORM, "a norm of at most 8.06, got 15.88",
    ),
    "logit": (
        lambda u: u(logits=[0, -127, 0], logit_scale=1).to_bytes(),
        Reason.ABSURD_LOGIT, "at most 12.02 in size, got 127",
    ),
    "round": (lambda u: u(1, 101).to_bytes(), Reason.FUTURE_ROUND, "round of at most 100, got 101"),
    "version": (
        lambda u: u(version=6).to_bytes(), Reason.FUTURE_VERSION, "version of at most 5, got 6",
    ),
    "again": (lambda u: u(7, 70).to_bytes(), Reason.DUPLICATE, "once, got again user 7, round 70"),
    "old": (
        lambda u: u(7, 6).to_bytes(), Reason.REPLAYED,
        "of the last 64 of its user, got user 7",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bad_record_is_kept_with_its_reason(case, tmp_path, uplinks):
    make, reason, message = CASES[case]
    content = make(uplinks)
    first, last = uplinks(7, 70), uplinks(8, 70)
    uplinks.write(tmp_path, [first.to_bytes(), content, last.to_bytes()])
    for _ in range(2):  # A second reading does not double it.
        (batch,), quarantine = uplinks.read(tmp_path)
        assert uplinks.keys([batch]) == [first.key, last.key]
        assert batch.rejected == {reason: 1}
        (entry,) = quarantine.entries("date=1970-01-02/a.tfrecord")
        assert (entry.reason, entry.content) == (reason, content)
        assert entry.offset == len(first.to_bytes()) + 16
        with pytest.raises(ValueError, match=message):
            raise ValueError(entry.message)
        assert quarantine.counts() == {reason: 1}


def test_a_log_without_a_sound_record(tmp_path, uplinks):
    content = uplinks().to_bytes()
    uplinks.write(tmp_path, [content[:-1] + bytes([content[-1] ^ 1])] * 3)
    (batch,), quarantine = uplinks.read(tmp_path)
    assert (len(batch), list(batch.records), len(batch.embeddings)) == (0, [], 0)
    assert quarantine.counts() == {Reason.DAMAGED_RECORD: 3}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("codec", ["float32", "float16"])
@pytest.mark.parametrize("field", ["embeddings", "logits"])
def test_no_value_that_is_not_finite_passes(codec, field, value, tmp_path, uplinks):
    contract = type(uplinks.contract)(**{**vars(uplinks.contract), "codec": codec})
    values = uplinks(codec=codec).payload
    sound = np.frombuffer(values, uplinks(codec=codec).form.dtype)[field].copy()
    sound.flat[-1] = value
    bad = uplinks(1, codec=codec, **{field: sound})
    UplinkLogWriter(tmp_path).append([uplinks(0, codec=codec), bad, uplinks(2, codec=codec)])
    batches, quarantine = uplinks.read(tmp_path, contract=contract)
    assert uplinks.keys(batches) == [(0, 0), (2, 0)]
    assert quarantine.counts() == {Reason.NOT_FINITE: 1}


def test_a_huge_finite_value_is_beyond_the_bound_and_no_overflow(tmp_path, uplinks):
    contract = type(uplinks.contract)(**{**vars(uplinks.contract), "codec": "float32"})
    UplinkLogWriter(tmp_path).append(
        [uplinks(1, codec="float32", embeddings=3e38), uplinks(2, codec="float32", logits=3e38)]
    )
    _, quarantine = uplinks.read(tmp_path, contract=contract)
    assert quarantine.counts() == {Reason.EMBEDDING_NORM: 1, Reason.ABSURD_LOGIT: 1}


def test_what_is_at_the_bound_passes(tmp_path, uplinks):
    # 127 steps of 8/127, as int8 writes a norm of 8, and of 12/127.
    UplinkLogWriter(tmp_path).append(
        [
            uplinks(
                embeddings=[[[127, 0], [0, -127], [0, 0]]],
                embedding_scales=np.float16(8 / 127),
                logits=[127, -127, 0],
                logit_scale=np.float16(12 / 127),
                items=[1, 40, 1],
            )
        ]
    )
    batches, quarantine = uplinks.read(tmp_path)
    assert uplinks.keys(batches) == [(0, 0)]
    assert quarantine.counts() == {}


def test_declared_noise_widens_the_bounds(uplinks):
    fields = vars(uplinks.contract)
    noisy = type(uplinks.contract)(**{**fields, "noise_multiplier": 0.5})
    assert noisy.largest_logit == pytest.approx(5 * uplinks.contract.largest_logit)
    assert noisy.largest_norm > 5 * uplinks.contract.largest_norm
    with pytest.raises(ConfigError, match="expected num_items of at least 1, got 0"):
        type(uplinks.contract)(**{**fields, "num_items": 0})


def test_a_later_reading_replaces_what_an_earlier_one_said(tmp_path, uplinks):
    UplinkLogWriter(tmp_path).append([uplinks(1, version=6), uplinks(2, version=1)])
    _, quarantine = uplinks.read(tmp_path)
    assert quarantine.counts() == {Reason.FUTURE_VERSION: 1}
    newer = type(uplinks.contract)(**{**vars(uplinks.contract), "newest_version": 6})
    batches, quarantine = uplinks.read(tmp_path, contract=newer)
    assert uplinks.keys(batches) == [(1, 0), (2, 0)]
    assert quarantine.counts() == {}


def test_a_quarantine_that_is_none_is_told(tmp_path, uplinks):
    UplinkLogWriter(tmp_path).append([uplinks(50)])
    _, quarantine = uplinks.read(tmp_path)
    with sqlite3.connect(quarantine.path) as connection:
        assert connection.execute("SELECT reason FROM rejected").fetchall() == [("unknown_user",)]
    quarantine.path.write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="Move it away to begin a new one"):
        uplinks.read(tmp_path)
