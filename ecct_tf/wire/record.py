"""The envelope of one uplink: who sent it, when, in answer to what, and in which form.

A record is a header of 40 bytes, the payload of `ecct_tf.wire.uplink`, and the CRC-32 (of
zlib, as `java.util.zip.CRC32` computes it) of both. All numbers are little-endian:

| offset | type | field |
|---|---|---|
| 0 | 4 bytes | `ECUP` |
| 4 | uint16 | schema version, 1 |
| 6 | uint8 | codec: 0 float32, 1 float16, 2 int8, from 128 a custom one (`codec_codes`) |
| 7 | uint8 | stage: 1 without logits, 2 with |
| 8 | uint32 | Q, queries |
| 12 | uint32 | d_e, embedding dimension |
| 16 | int64 | created at, whole seconds since 1970 in UTC |
| 24 | int32 | user |
| 28 | int32 | round |
| 32 | int32 | cloud version that the device answered |
| 36 | uint32 | length of the payload |
| 40 | bytes | payload |
| end - 4 | uint32 | CRC-32 of all before it |

The first six bytes stay where they are in every version. Version 2 is the same record on its way,
with a fingerprint in the place of its items (`ecct_tf.wire.places`). Where a user was erased from
a log, a tombstone stands in the place of the record: `ECTB`, then zeros up to its length.
"""

import dataclasses
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from ecct_tf.config import CodecName
from ecct_tf.errors import CodecError
from ecct_tf.wire.codec_codes import codec_code, is_unknown, named_codec
from ecct_tf.wire.uplink import UplinkForm
from ecct_tf.wire.whole_numbers import check_whole

__all__ = [
    "CRC_BYTES",
    "HEADER",
    "LAST_SECOND",
    "MAGIC",
    "PLACES_SCHEMA",
    "RECORD_SCHEMA",
    "TOMBSTONE",
    "Envelope",
    "UplinkRecord",
    "crc_fits",
    "read_envelope",
    "split_records",
]

MAGIC = b"ECUP"
# What a record begins with whose user was erased: the rest of its bytes are zeros.
TOMBSTONE = b"ECTB"
RECORD_SCHEMA = 1
# Of `ecct_tf.wire.places`.
PLACES_SCHEMA = 2
CRC_BYTES = 4
# The end of the year 9999, the last one that a calendar in common use can tell.
LAST_SECOND = 253_402_300_799

# The same twice: for one record, and for many in an array.
_HEADER = struct.Struct("<4sHBBIIqiiiI")
HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("schema", "<u2"),
        ("codec", "u1"),
        ("stage", "u1"),
        ("queries", "<u4"),
        ("embedding_dim", "<u4"),
        ("created_at_seconds", "<i8"),
        ("user", "<i4"),
        ("round_number", "<i4"),
        ("cloud_version", "<i4"),
        ("payload_bytes", "<u4"),
    ]
)


@dataclasses.dataclass(frozen=True)
class UplinkRecord:
    """One uplink as it travels to the cloud and stands in its log.

    Equal records have equal bytes; (user, round) tells whether two are the same uplink.

    Attributes:
      user: the id that the cloud knows the user by; the payload says it too.
      round_number: the round of the exchange, counted by whoever asks the devices.
      cloud_version: whose downlink and item table the device used; 0 in a simulation.
      created_at_seconds: when the device answered, in whole seconds since 1970, UTC.
      form: of the payload.
      payload: the bytes of `pack_uplink`.
    """

    user: int
    round_number: int
    cloud_version: int
    created_at_seconds: int
    form: UplinkForm
    payload: bytes

    def __post_init__(self) -> None:
        if len(self.payload) != self.form.payload_bytes:
            raise CodecError(
                f"uplink record: expected a payload of {self.form.payload_bytes} bytes for "
                f"{self.form}, got {len(self.payload)}"
            )
        inside = int.from_bytes(self.payload[:4], "little", signed=True)
        if inside != self.user:
            raise CodecError(
                f"uplink record: its payload is of user {inside}, expected user {self.user}"
            )
        for name in ("user", "round_number", "cloud_version"):
            check_whole(getattr(self, name), name, what="uplink record")
        seconds = self.created_at_seconds
        check_whole(seconds, "created_at_seconds", what="uplink record", most=LAST_SECOND)

    @property
    def key(self) -> tuple[int, int]:
        """(user, round): two records with one key are one uplink."""
        return self.user, self.round_number

    def to_bytes(self) -> bytes:
        """The record as bytes."""
        return self.enveloped(RECORD_SCHEMA, self.payload)

    def enveloped(self, schema: int, payload: bytes) -> bytes:
        """`payload` between this record's header, as `schema` has it, and the CRC-32 of both."""
        header = _HEADER.pack(
            MAGIC,
            schema,
            codec_code(self.form.codec),
            2 if self.form.with_logits else 1,
            self.form.queries,
            self.form.embedding_dim,
            self.created_at_seconds,
            self.user,
            self.round_number,
            self.cloud_version,
            len(payload),
        )
        content = header + payload
        return content + zlib.crc32(content).to_bytes(CRC_BYTES, "little")

    @classmethod
    def from_bytes(cls, content: bytes, *, codec: CodecName | None = None) -> "UplinkRecord":
        """Reads one record.

        Args:
          content: its bytes.
          codec: that the reader's own configuration names; without one, the values of a custom
            codec are passed on unread.

        Raises:
          CodecError: when it is no record, of another schema version, damaged, or not of
            the length that its header says.
        """
        found = read_envelope(content, schema=RECORD_SCHEMA, codec=codec)
        return cls(
            user=found.user,
            round_number=found.round_number,
            cloud_version=found.cloud_version,
            created_at_seconds=found.created_at_seconds,
            form=found.form,
            payload=found.payload,
        )


@dataclasses.dataclass(frozen=True)
class Envelope:
    """What a header says, and the bytes between it and the CRC-32; not checked against each other.

    Attributes:
      user: as the header has it.
      round_number: likewise.
      cloud_version: likewise.
      created_at_seconds: likewise.
      form: of a payload with items.
      payload: of the schema version that was asked for.
    """

    user: int
    round_number: int
    cloud_version: int
    created_at_seconds: int
    form: UplinkForm
    payload: bytes


def read_envelope(content: bytes, *, schema: int, codec: CodecName | None = None) -> Envelope:
    """Reads one record of a schema version up to its payload.

    Args:
      content: its bytes.
      schema: the version.
      codec: that the reader's own configuration names; None passes custom codecs on unread.

    Raises:
      CodecError: when it is no record, of another schema version, damaged, or not of the length
        that its header says.
    """
    if content[:4] != MAGIC or len(content) < _HEADER.size + CRC_BYTES:
        raise CodecError(
            f"uplink record: expected at least {_HEADER.size + CRC_BYTES} bytes that begin "
            f"with {MAGIC!r}, got {len(content)} that begin with {content[:4]!r}"
        )
    _, got, code, stage, queries, width, created, user, number, version, size = _HEADER.unpack_from(
        content
    )
    if got != schema:
        raise CodecError(
            f"uplink record: expected schema version {schema}, got {got}; "
            + (
                "answers by place must be resolved by the service that takes them"
                if (schema, got) == (RECORD_SCHEMA, PLACES_SCHEMA)
                else "device and cloud run different versions"
            )
        )
    if not crc_fits(content):
        raise CodecError("uplink record: its CRC-32 does not fit; it was damaged on its way")
    named = named_codec(code, expected=codec, what="uplink record")
    if stage not in (1, 2):
        raise CodecError(f"uplink record: expected stage 1 or 2, got {stage}")
    payload = content[_HEADER.size : -CRC_BYTES]
    form = UplinkForm(
        queries=queries,
        embedding_dim=width,
        codec=named,
        with_logits=stage == 2,
        unread_bytes=_unread(payload, queries, schema) if is_unknown(named) else 0,
    )
    if len(payload) != size:
        raise CodecError(
            f"uplink record: its header says {size} bytes of payload, it has {len(payload)}"
        )
    return Envelope(user, number, version, created, form, payload)


def _unread(payload: bytes, queries: int, schema: int) -> int:
    """Bytes of values in a payload with items, or by place."""
    before = 4 + 4 * (1 if schema == PLACES_SCHEMA else queries)
    if len(payload) <= before:
        raise CodecError(
            f"uplink record: expected more than {before} bytes of payload for {queries} queries, "
            f"got {len(payload)}"
        )
    return len(payload) - before


def split_records(content: bytes, *, most_bytes: int) -> Iterator[bytes]:
    """Records that follow each other, cut apart by the lengths that their headers tell.

    Args:
      content: of all of them.
      most_bytes: of one; what tells more is refused before it is looked for.

    Raises:
      CodecError: one does not begin with a header, or is longer than what is left.
    """
    start = 0
    while start < len(content):
        head = content[start : start + _HEADER.size]
        if len(head) < _HEADER.size or head[: len(MAGIC)] != MAGIC:
            raise CodecError(
                f"uplink records: expected a header of {_HEADER.size} bytes at byte {start}, got "
                f"{len(head)} of something else"
            )
        length = _HEADER.size + int(_HEADER.unpack(head)[-1]) + CRC_BYTES
        if length > most_bytes or start + length > len(content):
            raise CodecError(
                f"uplink records: expected at most {most_bytes} bytes and no more than the "
                f"{len(content) - start} that are left at byte {start}, its header tells {length}"
            )
        yield content[start : start + length]
        start += length


def crc_fits(content: bytes) -> bool:
    """Whether the last four bytes are the CRC-32 of those before."""
    return zlib.crc32(content[:-CRC_BYTES]) == int.from_bytes(content[-CRC_BYTES:], "little")
