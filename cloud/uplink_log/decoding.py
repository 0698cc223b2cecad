"""Uplinks as arrays, out of records that were found sound."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.uplink_log.contents import chunks
from ecct_tf.wire import HEADER, UplinkForm, decoded
from ecct_tf.wire.record import CRC_BYTES

__all__ = ["Records", "Uplinks", "in_order", "record_dtype"]


@dataclasses.dataclass(frozen=True)
class Uplinks:
    """Decoded uplinks, one a row.

    Attributes:
      users: `[n] int32`.
      rounds: `[n] int32`.
      cloud_versions: `[n] int32`, which the devices answered.
      created_at_seconds: `[n] int64`, since 1970, UTC.
      items: `[n, Q] int32`.
      embeddings: `[n, Q, d_e] float32`, `h_e`.
      logits: `[n, Q] float32`, `z_e`; 0 where there are none.
      with_logits: `[n] bool`, which rows have logits (stage 2).
    """

    users: npt.NDArray[np.int32]
    rounds: npt.NDArray[np.int32]
    cloud_versions: npt.NDArray[np.int32]
    created_at_seconds: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    embeddings: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    with_logits: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.users)

    def taken(self, rows: Any) -> "Uplinks":
        """The rows that a slice, a mask or an order of indices takes."""
        return Uplinks(
            **{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(Uplinks)}
        )


@dataclasses.dataclass(frozen=True)
class Records:
    """Records of one form, some of them sound, all still encoded.

    Attributes:
      form: of their payloads.
      encoded: `[n]` of `record_dtype(form)`.
      sound: `[m]`, which of them are, ascending.
      rows: `[m]`, which of all contents each sound one is.
    """

    form: UplinkForm
    encoded: npt.NDArray[np.void]
    sound: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.sound)

    def header(self, field: str) -> npt.NDArray[Any]:
        """`[m]`: a field of the sound ones."""
        column: npt.NDArray[Any] = self.encoded["header"][field][self.sound]
        return column

    def taken(self, mask: npt.NDArray[np.bool_]) -> "Records":
        """With those of the sound ones that a mask takes."""
        return dataclasses.replace(self, sound=self.sound[mask], rows=self.rows[mask])


def record_dtype(form: UplinkForm) -> np.dtype[np.void]:
    """A whole record as a structured dtype: `header`, `payload` and `crc`."""
    fields: list[Any] = [("header", HEADER), ("payload", form.dtype), ("crc", f"V{CRC_BYTES}")]
    return np.dtype(fields)


def in_order(found: Sequence[Records], form: UplinkForm) -> tuple[npt.NDArray[np.intp], Uplinks]:
    """Decodes the sound records of one form or more.

    Args:
      found: of each form.
      form: any of them: how many queries there are, and of which width.

    Returns:
      The rows of the sound records, ascending, and their uplinks.
    """
    rows = np.sort(np.concatenate([np.zeros(0, np.intp), *(part.rows for part in found)]))
    count, queries = len(rows), form.queries
    uplinks = Uplinks(
        users=np.empty(count, np.int32),
        rounds=np.empty(count, np.int32),
        cloud_versions=np.empty(count, np.int32),
        created_at_seconds=np.empty(count, np.int64),
        items=np.empty((count, queries), np.int32),
        embeddings=np.empty((count, queries, form.embedding_dim), np.float32),
        logits=np.empty((count, queries), np.float32),
        with_logits=np.empty(count, np.bool_),
    )
    for records in found:
        _decode(records, uplinks, np.searchsorted(rows, records.rows))
    return rows, uplinks


def _decode(records: Records, into: Uplinks, places: npt.NDArray[np.intp]) -> None:
    into.with_logits[places] = records.form.with_logits
    # As bytes: NumPy copies structures field by field.
    raw = records.encoded.view(f"V{records.encoded.dtype.itemsize}")
    for chunk in chunks(len(records)):
        part = raw[records.sound[chunk]].view(records.encoded.dtype)
        header, payload = part["header"], part["payload"]
        into.users[places[chunk]] = header["user"]
        into.rounds[places[chunk]] = header["round_number"]
        into.cloud_versions[places[chunk]] = header["cloud_version"]
        into.created_at_seconds[places[chunk]] = header["created_at_seconds"]
        embeddings, logits = decoded(payload, records.form)
        into.items[places[chunk]] = payload["items"]
        into.embeddings[places[chunk]] = embeddings
        into.logits[places[chunk]] = 0.0 if logits is None else logits
