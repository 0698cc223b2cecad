"""Files as gzip sends them: deterministic, bounded, whole or refused."""

import gzip
import tracemalloc
import zlib

import numpy as np
import pytest

from ecct_tf.errors import CodecError
from ecct_tf.wire.compressed import Decompression, compressed, decompressed


@pytest.fixture
def content() -> bytes:
    """600 KB that gzip shortens, of several blocks."""
    rows = np.random.default_rng(1).normal(0.0, 20.0, 600_000)
    return rows.astype(np.int8).tobytes()


def test_content_survives_and_is_shorter_on_the_way(content):
    sent = compressed(content)
    assert len(sent) < 0.95 * len(content)
    assert decompressed(sent, most=len(content)) == content
    assert decompressed(compressed(b""), most=0) == b""


def test_the_same_content_is_the_same_bytes_at_the_highest_level(content):
    sent = compressed(content)
    assert sent == gzip.compress(content, compresslevel=9, mtime=0)
    assert sent[4:8] == bytes(4)


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_pieces_of_any_size_hold_the_same(content, size):
    sent = compressed(content)
    reader = Decompression(most=len(content))
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert b"".join(block for piece in pieces for block in reader.blocks(piece)) == content
    reader.finish()


def test_one_byte_more_than_expected_is_refused(content):
    with pytest.raises(CodecError, match=f"at most {len(content) - 1} bytes"):
        decompressed(compressed(content), most=len(content) - 1)


def test_a_bomb_is_refused_before_it_fills_the_memory():
    bomb = compressed(bytes(200_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="at most 1000000 bytes"):
            decompressed(bomb, most=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("missing", [1, 8, 9, 1000])
def test_a_stream_that_ends_early_is_not_whole(content, missing):
    with pytest.raises(CodecError, match="ends early"):
        decompressed(compressed(content)[:-missing], most=len(content))


def test_nothing_at_all_is_not_whole():
    with pytest.raises(CodecError, match="ends early"):
        decompressed(b"", most=10)


def test_what_follows_is_refused(content):
    sent = compressed(content)
    with pytest.raises(CodecError, match="behind it"):
        decompressed(sent + b"\0", most=len(content))
    reader = Decompression(most=len(content))
    list(reader.blocks(sent))
    with pytest.raises(CodecError, match="behind it"):
        list(reader.blocks(b"\0"))


@pytest.mark.parametrize("wrong", [b"ECIT and so on", zlib.compress(b"no gzip frame")])
def test_what_is_no_gzip_is_refused(wrong):
    with pytest.raises(CodecError, match="damaged"):
        decompressed(wrong, most=1000)


def test_a_wrong_checksum_is_refused(content):
    sent = bytearray(compressed(content))
    sent[-5] ^= 1
    with pytest.raises(CodecError, match="damaged"):
        decompressed(bytes(sent), most=len(content))
