"""The sections of an item table file: what each part of a row is, and how the head says it."""

import dataclasses
import struct
from collections.abc import Iterable

from ecct_tf.errors import CodecError
from ecct_tf.wire.whole_numbers import check_whole

__all__ = ["MAX_WIDTH", "SECTION_KINDS", "Section", "pack_sections", "read_sections"]

MAX_WIDTH = 1 << 20
SECTION_KINDS = ("source", "target", "both", "attributes", "cloud", "copy")

_SECTION = struct.Struct("<BBI")
_BYTES = struct.Struct("<II")
_LARGEST_NAME = 255
_LARGEST_BYTES = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of each row.

    Attributes:
      kind: one of `SECTION_KINDS`.
      name: of the block; empty for attributes and cloud embedding.
      width: values in it.
      row_bytes: that it has in each row; None where one of `CODECS` writes it, which says so.
      shared: bytes that all rows share; none for `CODECS`.
    """

    kind: str
    name: str
    width: int
    row_bytes: int | None = None
    shared: bytes = b""

    def __post_init__(self) -> None:
        check_whole(self.width, "width", what="item table", most=MAX_WIDTH)
        if self.row_bytes is not None:
            check_whole(self.row_bytes, "row_bytes", what="item table", most=8 * MAX_WIDTH)
        check_whole(len(self.shared), "shared bytes", what="item table", most=_LARGEST_BYTES)
        if self.kind not in SECTION_KINDS or len(self.name.encode()) > _LARGEST_NAME:
            raise CodecError(
                f"item table: expected a section of a kind in {SECTION_KINDS} with a name of at "
                f"most {_LARGEST_NAME} bytes, got {self.kind!r} named {self.name!r}"
            )

    @property
    def layout(self) -> tuple[str, str, int, int | None]:
        """What is alike in two tables whose rows are laid out alike."""
        return (self.kind, self.name, self.width, self.row_bytes)


def pack_sections(sections: Iterable[Section]) -> bytes:
    """The sections as a head has them, one after the other."""
    parts = []
    for section in sections:
        name = section.name.encode()
        kind = SECTION_KINDS.index(section.kind)
        parts.append(_SECTION.pack(kind, len(name), section.width))
        if section.row_bytes is not None:
            parts.append(_BYTES.pack(section.row_bytes, len(section.shared)))
        parts += [name, section.shared]
    return b"".join(parts)


def read_sections(
    body: bytes, place: int, *, number: int, with_bytes: bool
) -> tuple[tuple[Section, ...], int]:
    """The sections of a head, and where it goes on.

    Args:
      body: of the file.
      place: where the first begins.
      number: of sections.
      with_bytes: whether each says its bytes, as those do that none of `CODECS` writes.

    Raises:
      CodecError: one is none.
      ValueError, IndexError, struct.error: the body is too short, or holds no such sections.
    """
    sections = []
    for _ in range(number):
        kind, length, width = _SECTION.unpack_from(body, place)
        place += _SECTION.size
        row_bytes, shared = None, 0
        if with_bytes:
            row_bytes, shared = _BYTES.unpack_from(body, place)
            place += _BYTES.size
        if place + length + shared > len(body):
            raise ValueError(f"a section of {length + shared} bytes at {place} of {len(body)}")
        name = body[place : place + length].decode()
        place += length
        held = bytes(body[place : place + shared])
        sections.append(Section(SECTION_KINDS[kind], name, width, row_bytes, held))
        place += shared
    return tuple(sections), place
