"""However a file is torn, every frame that is whole is read, once."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.uplink_log import Reason
from cloud.uplink_log.contents import Contents
from cloud.uplink_log.framing import frame, read_frames

CONTENTS = [bytes([number]) * length for number, length in enumerate([9, 9, 30, 9, 9, 9, 1, 30, 9])]
FRAMES = [frame(content) for content in CONTENTS]
FILE = b"".join(FRAMES)
ENDS = np.cumsum([len(part) for part in FRAMES]).tolist()
STARTS = [0, *ENDS[:-1]]


def contents_of(block, *, final=True):
    found = read_frames(block, final=final)
    return list(found.contents), found


def check_whole(found):
    """Frames and damages together are the block, without gap or overlap."""
    spans = [
        (start, start + 16 + len(content))
        for start, content in zip(found.starts.tolist(), found.contents, strict=True)
    ]
    spans = sorted(spans + [(damage.start, damage.end) for damage in found.damages])
    assert [start for start, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]
    assert (spans[-1][1] if spans else 0) == found.end


def test_whole_frames_are_read():
    contents, found = contents_of(FILE)
    assert contents == CONTENTS
    assert found.damages == ()
    assert found.end == len(FILE)


@pytest.mark.parametrize("offset", [0, 7, 8, 11, 12, 20, 21, 24])
def test_a_flipped_bit_costs_one_frame(offset):
    block = bytearray(FILE)
    block[STARTS[4] + offset] ^= 0x10
    contents, found = contents_of(bytes(block))
    assert contents == CONTENTS[:4] + CONTENTS[5:]
    (damage,) = found.damages
    assert (damage.start, damage.end) == (STARTS[4], ENDS[4])
    said = "header of a frame" if offset < 12 else "expected 9 bytes that fit the CRC"
    assert said in damage.message


def test_two_frames_in_a_row_are_two_damages():
    block = bytearray(FILE)
    block[STARTS[3] + 14] ^= 1
    block[STARTS[4] + 1] ^= 1
    contents, found = contents_of(bytes(block))
    assert contents == CONTENTS[:3] + CONTENTS[5:]
    assert [(damage.start, damage.end) for damage in found.damages] == [
        (STARTS[3], ENDS[3]),
        (STARTS[4], ENDS[4]),
    ]


def test_bytes_that_are_missing_do_not_cost_the_next_frame():
    block = FILE[: STARTS[3] + 15] + FILE[ENDS[3] - 2 :]
    contents, found = contents_of(block)
    assert contents == CONTENTS[:3] + CONTENTS[4:]
    (damage,) = found.damages
    assert (damage.start, damage.end) == (STARTS[3], STARTS[3] + 17)


def test_a_file_that_ends_in_a_frame():
    contents, found = contents_of(FILE[:-3])
    assert contents == CONTENTS[:-1]
    assert found.damages[0].message == ("expected a frame of 25 bytes, but the file ends after 22")
    for left in (1, 11, 12):
        contents, found = contents_of(FILE[: STARTS[-1] + left])
        assert contents == CONTENTS[:-1]
        assert found.end == STARTS[-1] + left


def test_lengths_that_are_out_of_range_are_damage():
    for length in (0, (1 << 20) + 1):
        content = bytes(length)
        contents, found = contents_of(FRAMES[0] + frame(content) + FRAMES[1])
        assert contents == CONTENTS[:2]
        assert len(found.damages) == 1


def test_blocks_leave_what_they_cannot_judge():
    for end in range(len(FILE)):
        contents, found = contents_of(FILE[:end], final=False)
        rest, _ = contents_of(FILE[found.end :])
        assert contents + rest == CONTENTS
        check_whole(found)
    zeros = bytes(5000)
    _, found = contents_of(zeros, final=False)
    assert found.end == 5000 - 11
    assert len(found.damages) == 1


@given(st.binary(max_size=40), st.data())
def test_contents_are_cut_out_of_their_block(block, data):
    spans = st.tuples(st.integers(0, len(block)), st.integers(0, len(block))).map(sorted)
    wanted = data.draw(st.lists(spans, max_size=6))
    starts = np.array([start for start, _ in wanted], np.int64)
    contents = Contents(block, starts, np.array([end for _, end in wanted], np.int64) - starts)
    expected = [block[start:end] for start, end in wanted]
    assert list(contents) == expected
    assert list(contents[1:]) == expected[1:]
    for length in {len(content) for content in expected} - {0}:
        rows = np.flatnonzero(contents.lengths == length)
        assert contents.table(rows, length).tolist() == [expected[row] for row in rows]


damages = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, len(FILE) - 1), st.integers(0, 7)),
    st.tuples(st.just("cut"), st.integers(0, len(FILE) - 1), st.integers(1, 40)),
    st.tuples(st.just("insert"), st.integers(0, len(FILE) - 1), st.integers(1, 40)),
    st.tuples(st.just("truncate"), st.integers(0, len(FILE) - 1), st.just(0)),
)


def damaged(events):
    """The bytes, and which frames are as they were written."""
    # Each byte with the place it came from; what is not as written has none.
    block = [(byte, place) for place, byte in enumerate(FILE)]
    for kind, place, extent in events:
        at = min(place, len(block))
        if kind == "flip" and at < len(block):
            block[at] = (block[at][0] ^ (1 << extent), None)
        elif kind == "cut":
            del block[at : at + extent]
        elif kind == "insert":
            block[at:at] = [(0xA5, None)] * extent
        elif kind == "truncate":
            del block[at:]
    places = [place for _, place in block]
    whole = []
    for number, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        if start in places:
            at = places.index(start)
            if places[at : at + end - start] == list(range(start, end)):
                whole.append(number)
    return bytes(byte for byte, _ in block), whole


@settings(max_examples=400, deadline=None)
@given(st.lists(damages, max_size=4), st.data())
def test_every_untouched_frame_is_read_exactly_once(events, data):
    block, whole = damaged(events)
    contents, found = contents_of(block)
    # A flip that is flipped back makes a frame whole again, so there may be more.
    assert set(contents) <= set(CONTENTS)
    numbers = [content[0] for content in contents]
    assert len(set(numbers)) == len(numbers)
    assert set(whole) <= set(numbers)
    check_whole(found)
    # The same in two blocks.
    cut = data.draw(st.integers(0, len(block)))
    first, begun = contents_of(block[:cut], final=False)
    rest, _ = contents_of(block[begun.end :])
    if begun.end:
        assert first + rest == contents


def test_a_reading_goes_on_after_damage(tmp_path, uplinks):
    records = [uplinks(user, 1) for user in range(20)]
    path = uplinks.write(tmp_path, [record.to_bytes() for record in records])
    size = path.stat().st_size // 20
    block = bytearray(path.read_bytes())
    block[5 * size + 2] ^= 1  # a length
    block[9 * size + 9] ^= 1  # its CRC
    block[12 * size + 30] ^= 1  # a content
    path.write_bytes(block[:-1])
    batches, quarantine = uplinks.read(tmp_path)
    expected = [record.key for record in records if record.user not in (5, 9, 12, 19)]
    assert uplinks.keys(batches) == expected
    assert batches[0].rejected == {Reason.DAMAGED_FRAME: 4}
    entries = list(quarantine.entries())
    assert [entry.offset for entry in entries] == [5 * size, 9 * size, 12 * size, 19 * size]
    assert entries[2].content == bytes(block[12 * size : 13 * size])
    assert struct.unpack_from("<Q", entries[2].content)[0] == size - 16
