"""Answers by place: a record on its way to the cloud, without the numbers of its items.

The cloud knows which items it asked a device about, and in which order. So a device that answers
all of them in that order need not repeat them: it names the downlink, by the round and version of
the header, and a fingerprint of its questions. The record has schema version 2, the header of
`ecct_tf.wire.record`, and this payload:

| offset | type | field |
|---|---|---|
| 40 | int32 | user |
| 44 | uint32 | CRC-32 of the questions: Q int32, in the order of the downlink |
| 48 | bytes | the values of the payload with items: all that follows its items |
| end - 4 | uint32 | CRC-32 of all before it |

Whoever holds the questions makes the record with items again, byte for byte
(`PlacedRecord.answering`). A log holds records with items alone: the service resolves them.
"""

import dataclasses
import zlib

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError
from ecct_tf.wire.record import PLACES_SCHEMA, UplinkRecord, read_envelope
from ecct_tf.wire.uplink import UplinkForm

__all__ = [
    "PLACES_SCHEMA",
    "PlacedRecord",
    "by_place",
    "placed_bytes",
    "questions_fingerprint",
]

_USER_BYTES = 4
_FINGERPRINT_BYTES = 4


def placed_bytes(form: UplinkForm) -> int:
    """Length of a payload by place.

    >>> placed_bytes(UplinkForm(queries=24, embedding_dim=16, codec="int8", with_logits=True))
    466
    """
    return form.payload_bytes - form.items_bytes + _FINGERPRINT_BYTES


def questions_fingerprint(questions: npt.ArrayLike) -> int:
    """What stands for questions, in their order.

    Args:
      questions: `[Q] int32`.

    >>> questions_fingerprint([7, 3]) != questions_fingerprint([3, 7])
    True
    """
    return zlib.crc32(np.asarray(questions).astype("<i4").tobytes())


@dataclasses.dataclass(frozen=True)
class PlacedRecord:
    """An answer by place, not resolved yet.

    Attributes:
      user: who answers.
      round_number: of the downlink that was answered.
      cloud_version: of the downlink that was answered.
      created_at_seconds: when, in whole seconds since 1970, UTC.
      form: of the payload with items.
      fingerprint: of the questions, `questions_fingerprint`.
      values: what follows the items in the payload with items.
    """

    user: int
    round_number: int
    cloud_version: int
    created_at_seconds: int
    form: UplinkForm
    fingerprint: int
    values: bytes

    @classmethod
    def of(cls, record: UplinkRecord) -> "PlacedRecord":
        """A record with items, without them."""
        end = _USER_BYTES + record.form.items_bytes
        return cls(
            user=record.user,
            round_number=record.round_number,
            cloud_version=record.cloud_version,
            created_at_seconds=record.created_at_seconds,
            form=record.form,
            fingerprint=zlib.crc32(record.payload[_USER_BYTES:end]),
            values=record.payload[end:],
        )

    @property
    def key(self) -> tuple[int, int]:
        """(user, round), as of the record with items."""
        return self.user, self.round_number

    def answering(self, questions: npt.ArrayLike) -> UplinkRecord:
        """The record with items.

        Args:
          questions: `[Q] int32`, of the downlink that was answered, in its order.

        Raises:
          CodecError: it answers other questions, or more or fewer of them.
        """
        asked = np.asarray(questions).astype("<i4")
        if asked.shape != (self.form.queries,):
            raise CodecError(
                f"answer by place: expected answers to the {asked.size} questions of round "
                f"{self.round_number} and version {self.cloud_version}, got {self.form.queries}"
            )
        if questions_fingerprint(asked) != self.fingerprint:
            raise CodecError(
                f"answer by place: expected answers to the questions of round {self.round_number} "
                f"and version {self.cloud_version}, got some to others: fingerprint "
                f"{self.fingerprint:08x}, not {questions_fingerprint(asked):08x}"
            )
        return self._with(asked.tobytes())

    def to_bytes(self) -> bytes:
        """The record as bytes."""
        payload = self.user.to_bytes(_USER_BYTES, "little")
        payload += self.fingerprint.to_bytes(_FINGERPRINT_BYTES, "little") + self.values
        # Only the header is read of it.
        return self._with(bytes(self.form.items_bytes)).enveloped(PLACES_SCHEMA, payload)

    @classmethod
    def from_bytes(cls, content: bytes) -> "PlacedRecord":
        """Reads one record.

        Raises:
          CodecError: when it is no record, of another schema version, damaged, or not of the
            length that its header says.
        """
        found = read_envelope(content, schema=PLACES_SCHEMA)
        if len(found.payload) != placed_bytes(found.form):
            raise CodecError(
                f"answer by place: expected a payload of {placed_bytes(found.form)} bytes for "
                f"{found.form}, got {len(found.payload)}"
            )
        start = _USER_BYTES + _FINGERPRINT_BYTES
        placed = cls(
            user=found.user,
            round_number=found.round_number,
            cloud_version=found.cloud_version,
            created_at_seconds=found.created_at_seconds,
            form=found.form,
            fingerprint=int.from_bytes(found.payload[_USER_BYTES:start], "little"),
            values=found.payload[start:],
        )
        inside = int.from_bytes(found.payload[:_USER_BYTES], "little", signed=True)
        if inside != placed.user:
            raise CodecError(
                f"answer by place: its payload is of user {inside}, expected user {placed.user}"
            )
        # Refuses numbers that no record has.
        placed._with(bytes(found.form.items_bytes))
        return placed

    def _with(self, items: bytes) -> UplinkRecord:
        # A negative user is refused by the record, which names it.
        user = self.user.to_bytes(_USER_BYTES, "little", signed=True)
        return UplinkRecord(
            user=self.user,
            round_number=self.round_number,
            cloud_version=self.cloud_version,
            created_at_seconds=self.created_at_seconds,
            form=self.form,
            payload=user + items + self.values,
        )


def by_place(content: bytes) -> bytes:
    """The bytes of a record, as they travel to a service that resolves places.

    Args:
      content: of `UplinkRecord.to_bytes`.

    Raises:
      CodecError: it is none.
    """
    return PlacedRecord.of(UplinkRecord.from_bytes(content)).to_bytes()
