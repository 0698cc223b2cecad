"""The item table as a file: row by row, so that a delta can name the rows that changed.

A head that says how rows are laid out, the rows, and the SHA-256 of all before it. All
numbers are little-endian:

| offset | type | field |
|---|---|---|
| 0 | 4 bytes | `ECIT` |
| 4 | uint16 | format, 1 |
| 6 | uint8 | codec: 0 float32, 1 float16, 2 int8 |
| 7 | uint8 | 0 |
| 8 | uint32 | number of rows, the padding row 0 included |
| 12 | uint32 | bytes of one row |
| 16 | uint32 | bytes of the head: where row 0 begins |
| 20 | uint32 | F, number of interaction features |
| 24 | float32 | mean of the cloud's logit |
| 28 | float32 | scale of the cloud's logit |
| 32 | F float32 | means of the features |
| 32 + 4 F | F float32 | scales of the features |
| 32 + 8 F | uint32 | number of sections, then each: |
| | uint8 | kind: 0 source of a block, 1 target, 2 both in one, 3 attributes, 4 cloud embedding |
| | uint8 | length of the name in bytes |
| | uint32 | width w |
| | bytes | name in UTF-8 |
| head bytes | rows | one after the other |
| end - 32 | 32 bytes | SHA-256 of all before it |

A row holds each section in turn, w values as the codec writes them and for int8 their scale
(float16), and last the item's bias (float16). The cloud's version is not in the file: a
version that leaves the items alone publishes the same bytes.
"""

import dataclasses
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CODECS, CodecName
from ecct_tf.errors import CodecError
from ecct_tf.wire.sealed import seal, unseal
from ecct_tf.wire.values import VALUE_DTYPES
from ecct_tf.wire.whole_numbers import LARGEST_UINT32, check_whole

__all__ = ["ItemTableFile", "Section"]

Array = npt.NDArray[np.float32]

MAGIC, FORMAT = b"ECIT", 1
MAX_WIDTH = 1 << 20
SECTION_KINDS = ("source", "target", "both", "attributes", "cloud")

_HEAD = struct.Struct("<4sHBBIIIIff")
_SECTION = struct.Struct("<BBI")


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of each row.

    Attributes:
      kind: one of `SECTION_KINDS`.
      name: of the block; empty for attributes and cloud embedding.
      width: values in it.
    """

    kind: str
    name: str
    width: int

    def __post_init__(self) -> None:
        check_whole(self.width, "width", what="item table", most=MAX_WIDTH)
        if self.kind not in SECTION_KINDS or len(self.name.encode()) > 255:
            raise CodecError(
                f"item table: expected a section of a kind in {SECTION_KINDS} with a name of at "
                f"most 255 bytes, got {self}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class ItemTableFile:
    """The content of a file.

    Attributes:
      codec: how values are written.
      sections: of a row.
      feature_mean: `[F] float32`.
      feature_scale: `[F] float32`.
      logit_mean: of the cloud's logit.
      logit_scale: of the cloud's logit.
      rows: `[items + 1]` of `row_dtype`.
    """

    codec: CodecName
    sections: tuple[Section, ...]
    feature_mean: Array
    feature_scale: Array
    logit_mean: float
    logit_scale: float
    rows: npt.NDArray[np.void]

    def __post_init__(self) -> None:
        sizes = {"number of rows": len(self.rows), "number of features": len(self.feature_mean)}
        for name, size in sizes.items():
            check_whole(size, name, what="item table", most=LARGEST_UINT32)
        if len(self.feature_mean) != len(self.feature_scale):
            raise CodecError(
                f"item table: expected a scale for each of {len(self.feature_mean)} means of "
                f"features, got {len(self.feature_scale)}"
            )

    @staticmethod
    def row_dtype(codec: CodecName, sections: tuple[Section, ...]) -> np.dtype[np.void]:
        """Layout of a row: `values0`, for int8 `scale0`, and so on, then `bias`."""
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        for index, section in enumerate(sections):
            fields.append((f"values{index}", VALUE_DTYPES[codec], (section.width,)))
            if codec == "int8":
                fields.append((f"scale{index}", "<f2", (1,)))
        return np.dtype([*fields, ("bias", "<f2", ())])

    @classmethod
    def build(
        cls,
        *,
        codec: CodecName,
        sections: tuple[tuple[Section, tuple[npt.NDArray[Any], ...]], ...],
        bias: npt.NDArray[np.float16],
        feature_mean: Array,
        feature_scale: Array,
        logit_mean: float,
        logit_scale: float,
    ) -> "ItemTableFile":
        """A file from what a codec encoded.

        Args:
          codec: that encoded the sections.
          sections: each with its values `[items + 1, width]` and, for int8, its scales
            `[items + 1, 1] float16`.
          bias: `[items + 1] float16`.
          feature_mean: `[F] float32`.
          feature_scale: `[F] float32`.
          logit_mean: of the cloud's logit.
          logit_scale: of the cloud's logit.
        """
        kinds = tuple(section for section, _ in sections)
        rows = np.zeros(len(bias), cls.row_dtype(codec, kinds))
        for index, (_, encoded) in enumerate(sections):
            rows[f"values{index}"] = encoded[0]
            if codec == "int8":
                rows[f"scale{index}"] = encoded[1]
        rows["bias"] = bias
        return cls(
            codec, kinds, feature_mean, feature_scale, float(logit_mean), float(logit_scale), rows
        )

    def head(self) -> bytes:
        """All before row 0."""
        sections = [struct.pack("<I", len(self.sections))]
        for section in self.sections:
            name = section.name.encode()
            kind = SECTION_KINDS.index(section.kind)
            sections += [_SECTION.pack(kind, len(name), section.width), name]
        moments = [self.feature_mean.astype("<f4").tobytes()]
        moments.append(self.feature_scale.astype("<f4").tobytes())
        tail = b"".join([*moments, *sections])
        return (
            _HEAD.pack(
                MAGIC,
                FORMAT,
                CODECS.index(self.codec),
                0,
                len(self.rows),
                self.rows.dtype.itemsize,
                _HEAD.size + len(tail),
                len(self.feature_mean),
                self.logit_mean,
                self.logit_scale,
            )
            + tail
        )

    def to_bytes(self) -> bytes:
        """The file; equal content gives equal bytes."""
        return seal(self.head() + self.rows.tobytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> "ItemTableFile":
        """Reads a file.

        Raises:
          CodecError: when it is damaged or of another kind.
        """
        body = unseal(content, magic=MAGIC, format_number=FORMAT, what="item table")
        try:
            return cls._read(body)
        except (struct.error, ValueError, IndexError) as error:
            raise CodecError(
                f"item table: expected the layout of format {FORMAT}: {error}; write it with "
                "ItemTableFile"
            ) from error

    @classmethod
    def _read(cls, body: bytes) -> "ItemTableFile":
        _, _, codec, _, count, row_bytes, head_bytes, features, mean, scale = _HEAD.unpack_from(
            body
        )
        place = _HEAD.size
        moments = np.frombuffer(body, "<f4", count=2 * features, offset=place)
        place += 8 * features
        (number,) = struct.unpack_from("<I", body, place)
        place += 4
        sections = []
        for _ in range(number):
            kind, length, width = _SECTION.unpack_from(body, place)
            place += _SECTION.size
            name = body[place : place + length].decode()
            sections.append(Section(SECTION_KINDS[kind], name, width))
            place += length
        dtype = cls.row_dtype(CODECS[codec], tuple(sections))
        expected = head_bytes + count * row_bytes
        if (place, dtype.itemsize, len(body)) != (head_bytes, row_bytes, expected):
            raise ValueError(
                f"a head of {place} bytes, rows of {dtype.itemsize} and {len(body)} in all, the "
                f"file says {head_bytes}, {row_bytes} and {expected}"
            )
        return cls(
            codec=CODECS[codec],
            sections=tuple(sections),
            feature_mean=moments[:features].astype(np.float32),
            feature_scale=moments[features:].astype(np.float32),
            logit_mean=mean,
            logit_scale=scale,
            rows=np.frombuffer(body, dtype, count=count, offset=head_bytes),
        )

    def decoded(self, index: int) -> Array:
        """Section `index` as its codec reads it: `[items + 1, width] float32`."""
        values: Array = self.rows[f"values{index}"].astype(np.float32)
        if self.codec == "int8":
            values = values * self.rows[f"scale{index}"].astype(np.float32)
        return values

    @property
    def bias(self) -> Array:
        """`[items + 1] float32`, the cloud's item logits."""
        bias: Array = self.rows["bias"].astype(np.float32)
        return bias
