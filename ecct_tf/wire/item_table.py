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

Format 2 is for forms that are for tables alone, such as `int4`. It differs in this:

- codec is 255, and after the scales of the features stand a uint8, the length of the form's
  name, and the name in UTF-8;
- a section's kind may also be 5, columns of the cloud embedding that are a block's target, whose
  name it has: nothing of it is in the rows. The cloud embedding is its sections side by side;
- a section has, after its width, two uint32 more: its bytes in each row, and the bytes that all
  rows share, which follow its name;
- a row holds each section's bytes, as the form writes them, and last the item's bias (float16).
"""

import dataclasses
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CODECS
from ecct_tf.errors import CodecError
from ecct_tf.wire.item_sections import Section, pack_sections, read_sections
from ecct_tf.wire.sealed import seal, unseal
from ecct_tf.wire.values import VALUE_DTYPES
from ecct_tf.wire.whole_numbers import LARGEST_UINT32, check_whole

__all__ = ["ItemTableFile", "Section"]

Array = npt.NDArray[np.float32]

MAGIC, FORMAT, NAMED_FORMAT = b"ECIT", 1, 2

_HEAD = struct.Struct("<4sHBBIIIIff")
# Says that a name follows.
_NAMED = 255


@dataclasses.dataclass(frozen=True, eq=False)
class ItemTableFile:
    """The content of a file.

    Attributes:
      codec: how values are written: one of `CODECS`, or another form by its name.
      sections: of a row.
      feature_mean: `[F] float32`.
      feature_scale: `[F] float32`.
      logit_mean: of the cloud's logit.
      logit_scale: of the cloud's logit.
      rows: `[items + 1]` of `row_dtype`.
    """

    codec: str
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
        size = len(self.codec.encode())
        check_whole(size, "length of a form's name", what="item table", most=255)
        self._check_finite()

    def _check_finite(self) -> None:
        """Of a form by its name only the codec knows what its bytes mean."""
        told = {
            "means of features": self.feature_mean,
            "scales of features": self.feature_scale,
            "mean and scale of logits": np.array([self.logit_mean, self.logit_scale]),
        }
        columns = [
            name for name in self.rows.dtype.names or () if self.rows.dtype[name].base.kind == "f"
        ]
        for what, values in (*told.items(), *((name, self.rows[name]) for name in columns)):
            if not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0][0])
                raise CodecError(
                    f"item table: {what}, row {row}: expected finite numbers; the cloud that made "
                    "it has diverged, publish a valid version"
                )

    @property
    def named(self) -> bool:
        """Whether the rows are in a form that is none of `CODECS`."""
        return self.codec not in CODECS

    @staticmethod
    def row_dtype(codec: str, sections: tuple[Section, ...]) -> np.dtype[np.void]:
        """Layout of a row: `values0`, for int8 `scale0`, and so on, then `bias`."""
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        for index, section in enumerate(sections):
            if codec not in CODECS:
                fields.append((f"values{index}", "u1", (section.row_bytes or 0,)))
                continue
            fields.append((f"values{index}", VALUE_DTYPES[codec], (section.width,)))
            if codec == "int8":
                fields.append((f"scale{index}", "<f2", (1,)))
        return np.dtype([*fields, ("bias", "<f2", ())])

    @classmethod
    def build(
        cls,
        *,
        codec: str,
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
            `[items + 1, 1] float16`; in another form its bytes `[items + 1, row_bytes] uint8`.
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
        moments = [self.feature_mean.astype("<f4").tobytes()]
        moments.append(self.feature_scale.astype("<f4").tobytes())
        code = CODECS.index(self.codec) if not self.named else _NAMED
        name = bytes([len(self.codec.encode())]) + self.codec.encode() if self.named else b""
        sections = struct.pack("<I", len(self.sections)) + pack_sections(self.sections)
        tail = b"".join([*moments, name, sections])
        return (
            _HEAD.pack(
                MAGIC,
                NAMED_FORMAT if self.named else FORMAT,
                code,
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
        told = int.from_bytes(content[4:6], "little")
        number = NAMED_FORMAT if told == NAMED_FORMAT else FORMAT
        body = unseal(content, magic=MAGIC, format_number=number, what="item table")
        try:
            return cls._read(body)
        except (struct.error, ValueError, IndexError) as error:
            raise CodecError(
                f"item table: expected the layout of format {number}: {error}; write it with "
                "ItemTableFile"
            ) from error

    @classmethod
    def _read(cls, body: bytes) -> "ItemTableFile":
        _, kind, code, unused, count, row_bytes, head_bytes, features, mean, scale = (
            _HEAD.unpack_from(body)
        )
        named = kind == NAMED_FORMAT
        if unused:
            raise ValueError("byte 7 is in use, by a later version")
        if named != (code == _NAMED):
            raise ValueError(f"the codec {code} in format {kind}")
        place = _HEAD.size
        moments = np.frombuffer(body, "<f4", count=2 * features, offset=place)
        place += 8 * features
        if named:
            codec = body[place + 1 : place + 1 + body[place]].decode()
            place += 1 + body[place]
            if codec in CODECS:
                raise ValueError(f"the codec {codec} by its name")
        else:
            codec = CODECS[code]
        (number,) = struct.unpack_from("<I", body, place)
        sections, place = read_sections(body, place + 4, number=number, with_bytes=named)
        dtype = cls.row_dtype(codec, sections)
        expected = head_bytes + count * row_bytes
        if (place, dtype.itemsize, len(body)) != (head_bytes, row_bytes, expected):
            raise ValueError(
                f"a head of {place} bytes, rows of {dtype.itemsize} and {len(body)} in all, the "
                f"file says {head_bytes}, {row_bytes} and {expected}"
            )
        return cls(
            codec=codec,
            sections=sections,
            feature_mean=moments[:features].astype(np.float32),
            feature_scale=moments[features:].astype(np.float32),
            logit_mean=mean,
            logit_scale=scale,
            rows=np.frombuffer(body, dtype, count=count, offset=head_bytes),
        )

    def decoded(self, index: int) -> Array:
        """Section `index` as one of `CODECS` reads it: `[items + 1, width] float32`.

        Raises:
          CodecError: when the rows are in another form, which `encoded` has.
        """
        if self.named:
            raise CodecError(
                f"item table: expected one of {CODECS}, got the form {self.codec!r}; read it with "
                "ecct_tf.knowledge.table_files"
            )
        values: Array = self.rows[f"values{index}"].astype(np.float32)
        if self.codec == "int8":
            values = values * self.rows[f"scale{index}"].astype(np.float32)
        return values

    def encoded(self, index: int) -> npt.NDArray[np.uint8]:
        """The bytes of section `index` in each row, of a form that is none of `CODECS`."""
        values: npt.NDArray[np.uint8] = self.rows[f"values{index}"]
        return values

    @property
    def bias(self) -> Array:
        """`[items + 1] float32`, the cloud's item logits."""
        bias: Array = self.rows["bias"].astype(np.float32)
        return bias
