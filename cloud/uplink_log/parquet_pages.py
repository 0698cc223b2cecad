"""Bounds what a Parquet file may expand to, before anything of it is decompressed or decoded.

A few bytes can stand for gigabytes: a page says how long it is once it is decompressed, a
dictionary how many entries it has, a run how often a value repeats. So the headers of the pages
are read first (Thrift's compact protocol). What is beyond the bounds is refused; they are wide
for what devices send, whose checksums and quantised noise hardly shrink.
"""

from pathlib import Path
from typing import IO, Any

__all__ = ["Budget", "check_pages"]

# Nothing below this is too much; above it a page or file may grow this many times.
_FREE_BYTES = 16 << 20
_MOST_TIMES = 100
_LARGEST_HEADER_BYTES = 4 << 20
_HEADER_CHUNK_BYTES = 1 << 10
# PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, DELTA_LENGTH_BYTE_ARRAY, RLE_DICTIONARY: of these a
# page of so many bytes holds values of at most so many. DELTA_BYTE_ARRAY repeats prefixes.
_ENCODINGS = (0, 2, 3, 4, 6, 8)
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 5, 7, 8
_LENGTH_BYTES = 4


class Budget:
    """How many bytes a file may still expand to.

    Args:
      stored_bytes: its length on the disk.
    """

    def __init__(self, stored_bytes: int) -> None:
        self._left = _allowed(stored_bytes)

    def take(self, num_bytes: int) -> None:
        """Counts bytes that were read out of the file.

        Raises:
          ValueError: they are too many for the file.
        """
        self._left -= num_bytes
        if self._left < 0:
            raise ValueError(
                f"it expands to more than {_MOST_TIMES} times its length, which no log of uplinks "
                "does"
            )


def check_pages(path: Path, chunk: Any) -> None:
    """Checks all pages of a column's chunk by their headers.

    Args:
      path: of the file.
      chunk: its `pyarrow.parquet.ColumnChunkMetaData`.

    Raises:
      ValueError: a header is damaged, or says more than the bounds allow.
      OSError: the file cannot be read.
    """
    begin = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        begin = min(begin, chunk.dictionary_page_offset)
    end = begin + chunk.total_compressed_size
    if not 0 < begin <= end <= path.stat().st_size:
        raise ValueError(f"a column of bytes {begin} to {end} does not lie in the file")
    with path.open("rb") as file:
        place = begin
        while place < end:
            header, length = _read_header(file, place)
            place += length + _checked(header)


def _checked(header: dict[int, Any]) -> int:
    """The compressed length of a page whose header is within the bounds."""
    size, stored = header.get(2), header.get(3)
    if not isinstance(size, int) or not isinstance(stored, int) or min(size, stored) < 0:
        raise ValueError(f"a page has no lengths: {size} and {stored}")
    if size > _allowed(stored):
        raise ValueError(
            f"a page of {stored:,} bytes says that it has {size:,} once it is decompressed"
        )
    for field, encoding_field in ((_DATA_PAGE, 2), (_DICTIONARY_PAGE, 2), (_DATA_PAGE_V2, 4)):
        page = header.get(field)
        if page is None:
            continue
        encoding = page.get(encoding_field) if isinstance(page, dict) else None
        if encoding not in _ENCODINGS:
            raise ValueError(f"a page has encoding {encoding}, expected one of {_ENCODINGS}")
    dictionary = header.get(_DICTIONARY_PAGE)
    entries = dictionary.get(1) if isinstance(dictionary, dict) else 0
    if not isinstance(entries, int) or entries * _LENGTH_BYTES > size:
        raise ValueError(f"a dictionary of {size:,} bytes says that it has {entries:,} entries")
    return stored


def _allowed(stored_bytes: int) -> int:
    return max(_FREE_BYTES, _MOST_TIMES * stored_bytes)


def _read_header(file: IO[bytes], place: int) -> tuple[dict[int, Any], int]:
    """The header at a place of the file, and its length."""
    size = _HEADER_CHUNK_BYTES
    while True:
        file.seek(place)
        block = file.read(size)
        reader = _Compact(block)
        try:
            return reader.struct(depth=0), reader.place
        except IndexError:
            # It may be longer: it can hold the smallest and the largest value of the page.
            if len(block) < size or size >= _LARGEST_HEADER_BYTES:
                raise ValueError("a page's header is cut off or too long") from None
            size *= 8


class _Compact:
    """Reads Thrift's compact protocol; beyond the end it raises `IndexError`."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self.place = 0

    def struct(self, *, depth: int) -> dict[int, Any]:
        """Fields by their number: integers, truth values and structures; None for others."""
        if depth > 8:
            raise ValueError("a page's header is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while byte := self._byte():
            kind = byte & 0x0F
            number = number + (byte >> 4) if byte >> 4 else self._zigzag()
            fields[number] = self._value(kind, depth=depth)
        return fields

    def _value(self, kind: int, *, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 12:
            return self.struct(depth=depth + 1)
        if kind in (3, 7, 8):
            self._skip({3: 1, 7: 8}.get(kind) or self._varint())
            return None
        raise ValueError(f"a page's header has a field of kind {kind}")

    def _byte(self) -> int:
        value = self._block[self.place]
        self.place += 1
        return value

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self._block):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:
                raise ValueError("a page's header has a number of too many bytes")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
