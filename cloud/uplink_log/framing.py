"""The frames of TFRecord files, without TensorFlow, and how to go on after damage.

A frame is the length of its content (uint64), the masked CRC-32C of those eight bytes, the
content, and the masked CRC-32C of the content, all little-endian. After a damaged frame
`read_frames` goes on at the next place where a length and its CRC fit, so that no whole
frame is lost, however its neighbours were torn.
"""

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from cloud.uplink_log.contents import Contents, chunks

__all__ = [
    "FRAME_BYTES",
    "HEADER_BYTES",
    "MAX_CONTENT_BYTES",
    "Damage",
    "Frames",
    "frame",
    "read_frames",
]

HEADER_BYTES = 12
FRAME_BYTES = HEADER_BYTES + 4
MAX_CONTENT_BYTES = 1 << 20

_MASK_DELTA = 0xA282EAD8
_SEARCH_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class Damage:
    """Bytes `[start, end)` of a block that hold no whole frame; `message` says why."""

    start: int
    end: int
    message: str


@dataclasses.dataclass(frozen=True)
class Frames:
    """What was found in a block.

    Attributes:
      contents: of each frame, ascending.
      damages: what is not a frame, ascending.
      end: where to go on; the bytes from there on need more of the file.
    """

    contents: Contents
    damages: tuple[Damage, ...]
    end: int

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """`[n] int64`, where the frames begin in the block."""
        return self.contents.starts - HEADER_BYTES


def frame(content: bytes) -> bytes:
    """`content` as a TFRecord file holds it."""
    length = struct.pack("<Q", len(content))
    return b"".join(
        (
            length,
            struct.pack("<I", _masked(google_crc32c.value(length))),
            content,
            struct.pack("<I", _masked(google_crc32c.value(content))),
        )
    )


def read_frames(block: bytes, *, final: bool) -> Frames:
    """Finds the frames of a block that begins at a frame, or after damage.

    Args:
      block: bytes of a file.
      final: whether the file ends with the block.
    """
    starts: list[npt.NDArray[np.int64]] = []
    lengths: list[int] = []
    damages: list[Damage] = []
    position = 0
    # A torn frame's successor may begin in its last bytes: its header must be in view too.
    limit = len(block) if final else len(block) - HEADER_BYTES
    while position < len(block):
        length = _content_length(block, position)
        if length is not None and position + FRAME_BYTES + length <= limit:
            found = _equal_frames(block, position, length=length, limit=limit)
            bad = np.flatnonzero(~_crcs_fit(block, found, length))
            torn = _first_torn(block, found, bad, length)
            if torn is not None:
                found, bad = found[: torn[0] + 1], bad[bad <= torn[0]]
            damages += [_bad_content(int(found[row]), length) for row in bad]
            starts.append(np.delete(found, bad) if len(bad) else found)
            lengths.append(length)
            position = int(found[-1]) + FRAME_BYTES + length
            if torn is not None:
                position = torn[1]
                damages[-1] = dataclasses.replace(damages[-1], end=position)
            continue
        if not final and (length is not None or len(block) - position < HEADER_BYTES):
            break
        following = _next_header(block, position + 1)
        if following is None and not final:
            if position == 0:
                # Nothing in all of the block: give it up, but for what may be half a header.
                position = max(1, len(block) - HEADER_BYTES + 1)
                damages.append(Damage(0, position, _NO_FRAME))
            break
        end = len(block) if following is None else following
        damages.append(_unframed(position, end, length, final=following is None))
        position = end
    return Frames(_contents(block, starts, lengths), tuple(damages), end=position)


def _contents(block: bytes, starts: list[npt.NDArray[np.int64]], lengths: list[int]) -> Contents:
    """Of runs of frames, each with the one length that its frames tell."""
    counts = [len(run) for run in starts]
    begins = np.concatenate([np.zeros(0, np.int64), *starts]) + HEADER_BYTES
    return Contents(block, begins, np.repeat(np.array(lengths, np.int64), counts))


_NO_FRAME = "expected the header of a frame, whose length fits its CRC; it is damaged"


def _bad_content(start: int, length: int) -> Damage:
    message = f"expected {length} bytes that fit the CRC of their frame; they are damaged"
    return Damage(start, start + _stride(length), message)


def _unframed(start: int, end: int, length: int | None, *, final: bool) -> Damage:
    if length is None:
        return Damage(start, end, _NO_FRAME)
    where = "the file ends" if final else "another frame begins"
    message = f"expected a frame of {FRAME_BYTES + length} bytes, but {where} after {end - start}"
    return Damage(start, end, message)


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _content_length(block: bytes, position: int) -> int | None:
    """The length that a frame's header tells, or None where there is no whole header."""
    header = block[position : position + HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        return None
    length: int = struct.unpack_from("<Q", header)[0]
    if not 0 < length <= MAX_CONTENT_BYTES:
        return None
    expected = _masked(google_crc32c.value(header[:8]))
    return length if struct.unpack_from("<I", header, 8)[0] == expected else None


def _equal_frames(block: bytes, position: int, *, length: int, limit: int) -> npt.NDArray[np.int64]:
    """Where frames begin that follow each other, end by `limit` and tell the same length."""
    most = (limit - position) // _stride(length)
    lengths = _column(block, position, length=length, rows=most, dtype="<u8")
    crcs = _column(block, position + 8, length=length, rows=most, dtype="<u4")
    count, window = 1, 16
    while count < most:
        # Windows that grow: a log of mixed lengths must not be compared to its end each time.
        rows = slice(count, count + window)
        same = (lengths[rows] == length) & (crcs[rows] == crcs[0])
        if not same.all():
            count += int(np.argmin(same))
            break
        count += len(same)
        window *= 4
    return position + _stride(length) * np.arange(count, dtype=np.int64)


def _column(block: bytes, position: int, *, length: int, rows: int, dtype: str) -> npt.NDArray[Any]:
    """A number that stands at the same place in each of many frames of one length."""
    return np.ndarray((rows,), dtype, block, position, (_stride(length),))


def _crcs_fit(block: bytes, found: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.bool_]:
    begin, rows = int(found[0]) + HEADER_BYTES, len(found)
    contents = _column(block, begin, length=length, rows=rows, dtype=f"V{length}")
    crcs = np.empty(rows, np.uint32)
    for chunk in chunks(rows):
        crcs[chunk] = list(map(google_crc32c.value, contents[chunk].tolist()))
    masked = ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(_MASK_DELTA)
    stored = _column(block, begin + length, length=length, rows=rows, dtype="<u4")
    fit: npt.NDArray[np.bool_] = masked == stored
    return fit


def _stride(length: int) -> int:
    return FRAME_BYTES + length


def _first_torn(
    block: bytes, found: npt.NDArray[np.int64], bad: npt.NDArray[np.intp], length: int
) -> tuple[int, int] | None:
    """The first bad frame in which another one begins, and where.

    Bytes may be missing from it, so that what its length spans is partly its successors'.
    """
    for index in bad.tolist():
        end = int(found[index]) + _stride(length)
        inside = _next_header(block, int(found[index]) + 1, stop=end)
        if inside is not None:
            return index, inside
    return None


def _next_header(block: bytes, start: int, *, stop: int | None = None) -> int | None:
    """The first place from `start`, before `stop`, where a length and its CRC fit."""
    for place in _likely_headers(block, start, len(block) if stop is None else stop):
        if _content_length(block, place) is not None:
            return place
    return None


def _likely_headers(block: bytes, start: int, stop: int) -> Iterator[int]:
    """Places whose eight bytes are a length in range."""
    stop = min(stop, len(block) - HEADER_BYTES + 1)
    while start < stop:
        count = min(_SEARCH_BYTES, stop - start)
        window = np.frombuffer(block, np.uint8, count + 7, start)
        likely = window[7:] == 0
        for byte in range(3, 7):
            likely &= window[byte : byte + count] == 0
        small = (window[:count] | window[1 : count + 1] | window[2 : count + 2]) != 0
        yield from (start + np.flatnonzero(likely & small)).tolist()
        start += count
