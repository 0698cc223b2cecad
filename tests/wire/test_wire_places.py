"""Answers by place: what travels, and the record with items that comes of it again."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecct_tf.errors import CodecError
from ecct_tf.wire import (
    PlacedRecord,
    UplinkForm,
    UplinkRecord,
    by_place,
    placed_bytes,
    questions_fingerprint,
    split_records,
)

FORM = UplinkForm(queries=2, embedding_dim=3, codec="int8", with_logits=True)
VALUES = bytes(range(1, 15))
PAYLOAD = struct.pack("<3i", 7, 5, 1) + VALUES
RECORD = UplinkRecord(7, 3, 2, 86_401, FORM, PAYLOAD)
PLACED = RECORD.enveloped(2, struct.pack("<iI", 7, zlib.crc32(struct.pack("<2i", 5, 1))) + VALUES)

counts = st.integers(0, 2**31 - 1)


@st.composite
def records(draw):
    form = UplinkForm(
        queries=draw(st.integers(1, 9)),
        embedding_dim=draw(st.integers(1, 5)),
        codec=draw(st.sampled_from(["float32", "float16", "int8"])),
        with_logits=draw(st.booleans()),
    )
    user = draw(counts)
    items = draw(st.lists(counts, min_size=form.queries, max_size=form.queries))
    head = np.array([user, *items], "<i4").tobytes()
    rest = form.payload_bytes - len(head)
    payload = head + draw(st.binary(min_size=rest, max_size=rest))
    return UplinkRecord(user, draw(counts), draw(counts), draw(counts), form, payload), items


@settings(max_examples=200, deadline=None)
@given(records())
def test_an_answer_by_place_is_the_record_again_and_nothing_is_lost(case):
    record, items = case
    content = by_place(record.to_bytes())
    assert len(record.to_bytes()) - len(content) == 4 * (len(items) - 1)
    placed = PlacedRecord.from_bytes(content)
    assert placed.to_bytes() == content
    assert placed.key == record.key
    assert placed.answering(items).to_bytes() == record.to_bytes()


@settings(max_examples=100, deadline=None)
@given(records(), st.data())
def test_answers_to_other_questions_are_refused(case, data):
    record, items = case
    placed = PlacedRecord.of(record)
    place = data.draw(st.integers(0, len(items) - 1))
    other = [
        *items[:place],
        items[place] ^ data.draw(st.integers(1, 2**31 - 1)),
        *items[place + 1 :],
    ]
    with pytest.raises(CodecError, match="got some to others"):
        placed.answering(other)
    for count in (items[:-1], [*items, 1]):
        with pytest.raises(CodecError, match=f"the {len(count)} questions"):
            placed.answering(count)


def test_it_is_laid_out_as_declared():
    assert PlacedRecord.of(RECORD).to_bytes() == PLACED == by_place(RECORD.to_bytes())
    assert placed_bytes(FORM) == len(PLACED) - 44 == 22
    # The order counts: places are those of the downlink.
    assert questions_fingerprint([5, 1]) != questions_fingerprint([1, 5])


@pytest.mark.parametrize(("codec", "placed"), [("float32", 1640), ("float16", 824), ("int8", 466)])
def test_the_default_form_is_three_and_a_half_times_smaller_in_int8(codec, placed):
    form = UplinkForm(queries=24, embedding_dim=16, codec=codec, with_logits=True)
    assert placed_bytes(form) == placed
    assert codec != "int8" or 1640 / placed >= 3.5


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (PLACED[:-1], "CRC-32"),
        (b"ECUQ" + PLACED[4:], "begin"),
        (PLACED[:30], "at least"),
        (RECORD.to_bytes(), "expected schema version 2, got 1"),
        (RECORD.enveloped(2, PAYLOAD), "expected a payload of 22 bytes"),
        (RECORD.enveloped(2, PLACED[40:-5]), "expected a payload of 22 bytes"),
        (RECORD.enveloped(2, b"\x08" + PLACED[41:-4]), "of user 8, expected user 7"),
    ],
)
def test_what_is_no_answer_by_place_is_refused(content, match):
    with pytest.raises(CodecError, match=match):
        PlacedRecord.from_bytes(content)


def test_a_record_with_items_is_none_by_place_and_the_other_way_round():
    with pytest.raises(CodecError, match="must be resolved by the service"):
        UplinkRecord.from_bytes(PLACED)
    with pytest.raises(CodecError, match="schema version 1, got 2"):
        by_place(PLACED)
    # Both may travel in one request.
    both = PLACED + RECORD.to_bytes()
    assert list(split_records(both, most_bytes=1000)) == [PLACED, RECORD.to_bytes()]


@pytest.mark.parametrize("at", range(len(PLACED)))
def test_no_flipped_bit_passes(at):
    damaged = bytearray(PLACED)
    damaged[at] ^= 4
    with pytest.raises(CodecError):
        PlacedRecord.from_bytes(bytes(damaged))


@pytest.mark.parametrize("field", [24, 28, 32])
def test_a_number_below_zero_is_refused_below_a_sound_checksum(field):
    body = bytearray(PLACED[:-4])
    body[field + 3] |= 0x80
    if field == 24:
        body[43] |= 0x80
    with pytest.raises(CodecError):
        PlacedRecord.from_bytes(bytes(body) + zlib.crc32(body).to_bytes(4, "little"))
