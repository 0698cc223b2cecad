"""Reads and checks thousands of records at once.

Records of one form have one length, so that NumPy sees them as a table: each check is one
expression over all of them. Only what is refused is looked at by itself.
"""

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.explanation import envelope_fault, explained
from cloud.uplink_log.reasons import Reason
from ecct_tf.config import CODECS
from ecct_tf.wire import HEADER, RECORD_SCHEMA, UplinkForm, decoded
from ecct_tf.wire.record import CRC_BYTES, LAST_SECOND, MAGIC

__all__ = ["Checked", "Uplinks", "checked"]

Mask = npt.NDArray[np.bool_]

# What CRC-32 gives for any content that its own CRC-32 follows.
_CRC_OF_WHOLE = 0x2144DF1C


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
    with_logits: Mask

    def __len__(self) -> int:
        return len(self.users)

    def taken(self, rows: npt.NDArray[Any]) -> "Uplinks":
        """The rows that a mask or an order of indices takes."""
        return Uplinks(
            **{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(Uplinks)}
        )


@dataclasses.dataclass(frozen=True)
class Checked:
    """What became of records.

    Attributes:
      uplinks: of the sound ones.
      rows: `[n] int64`, which record each of them was, ascending.
      refused: the others: which record, the reason, and what was expected and came.
    """

    uplinks: Uplinks
    rows: npt.NDArray[np.int64]
    refused: tuple[tuple[int, Reason, str], ...]


def checked(contents: Sequence[bytes], contract: LogContract) -> Checked:
    """Checks records against all but what was seen before.

    Args:
      contents: one record each.
      contract: what they must satisfy.
    """
    lengths = np.fromiter(map(len, contents), np.int64, len(contents))
    tables = [_Table.of(contract.form(with_logits=stage == 2), stage) for stage in (1, 2)]
    refused: list[tuple[int, Reason, str]] = []
    parts: list[tuple[npt.NDArray[np.int64], Uplinks]] = []
    other = np.ones(len(contents), np.bool_)
    for table in tables:
        rows = np.flatnonzero(lengths == table.record_bytes)
        if not len(rows):
            continue
        other[rows] = False
        of_length = contents if len(rows) == len(contents) else [contents[row] for row in rows]
        sound, uplinks, bad = _check_table(of_length, table, contract)
        parts.append((rows[sound], uplinks))
        for row, reason in bad:
            refused.append((int(rows[row]), *explained(of_length[row], reason, contract)))
    for row in np.flatnonzero(other).tolist():
        refused.append((row, *envelope_fault(contents[row], contract)))
    if not parts:
        parts.append((np.zeros(0, np.int64), _nothing(contract)))
    if len(parts) == 1:
        return Checked(parts[0][1], parts[0][0], tuple(sorted(refused)))
    rows = np.concatenate([part for part, _ in parts])
    order = np.argsort(rows)
    joined = Uplinks(
        **{
            field.name: np.concatenate([getattr(uplinks, field.name) for _, uplinks in parts])[
                order
            ]
            for field in dataclasses.fields(Uplinks)
        }
    )
    return Checked(joined, rows[order], tuple(sorted(refused)))


@dataclasses.dataclass(frozen=True)
class _Table:
    """Records of one stage as a structured dtype."""

    form: UplinkForm
    stage: int
    dtype: np.dtype[np.void]

    @classmethod
    def of(cls, form: UplinkForm, stage: int) -> "_Table":
        fields: list[Any] = [("header", HEADER), ("payload", form.dtype), ("crc", "<u4")]
        return cls(form, stage, np.dtype(fields))

    @property
    def record_bytes(self) -> int:
        return HEADER.itemsize + self.form.payload_bytes + CRC_BYTES


def _check_table(
    contents: Sequence[bytes], table: _Table, contract: LogContract
) -> tuple[npt.NDArray[np.intp], Uplinks, list[tuple[int, Reason]]]:
    """The sound rows, their uplinks, and the others with their reasons."""
    records = np.frombuffer(b"".join(contents), table.dtype)
    crcs = np.fromiter(map(zlib.crc32, contents), np.uint32, len(contents))
    faults = _Faults(len(records))
    header = records["header"]
    faults.mark(header["magic"] != MAGIC, Reason.NOT_A_RECORD)
    faults.mark(header["schema"] != RECORD_SCHEMA, Reason.SCHEMA_VERSION)
    faults.mark(crcs != _CRC_OF_WHOLE, Reason.DAMAGED_RECORD)
    faults.mark(~_form_fits(header, table), Reason.WRONG_FORM)
    faults.mark(header["payload_bytes"] != table.form.payload_bytes, Reason.WRONG_LENGTH)
    # What is no record of this form has no content to check.
    readable = faults.sound()
    if len(readable) < len(records):
        records = records[readable]
    uplinks = _decode(records, table.form)
    inner = _Faults(len(records))
    inner.mark(records["payload"]["user"] != uplinks.users, Reason.WRONG_USER)
    _check_content(inner, records, uplinks, contract)
    bad = faults.found() + [(int(readable[row]), reason) for row, reason in inner.found()]
    kept = inner.sound()
    if len(kept) < len(records):
        uplinks = uplinks.taken(kept)
    return readable[kept], uplinks, sorted(bad)


def _form_fits(header: npt.NDArray[np.void], table: _Table) -> Mask:
    fits: Mask = (
        (header["codec"] == CODECS.index(table.form.codec))
        & (header["stage"] == table.stage)
        & (header["queries"] == table.form.queries)
        & (header["embedding_dim"] == table.form.embedding_dim)
        & (header["round_number"] >= 0)
        & (header["cloud_version"] >= 0)
        & (header["created_at_seconds"] >= 0)
        & (header["created_at_seconds"] <= LAST_SECOND)
    )
    return fits


def _decode(records: npt.NDArray[np.void], form: UplinkForm) -> Uplinks:
    header = records["header"]
    with np.errstate(invalid="ignore", over="ignore"):
        embeddings, logits = decoded(records["payload"], form)
    if logits is None:
        logits = np.zeros((len(records), form.queries), np.float32)
    return Uplinks(
        users=np.ascontiguousarray(header["user"]),
        rounds=np.ascontiguousarray(header["round_number"]),
        cloud_versions=np.ascontiguousarray(header["cloud_version"]),
        created_at_seconds=np.ascontiguousarray(header["created_at_seconds"]),
        items=np.ascontiguousarray(records["payload"]["items"]),
        embeddings=embeddings,
        logits=logits,
        with_logits=np.full(len(records), form.with_logits),
    )


def _check_content(
    faults: "_Faults", records: npt.NDArray[np.void], uplinks: Uplinks, contract: LogContract
) -> None:
    users, items = uplinks.users, uplinks.items
    faults.mark((users < 0) | (users >= contract.num_users), Reason.UNKNOWN_USER)
    faults.mark(
        (items.min(axis=1) < 1) | (items.max(axis=1) > contract.num_items), Reason.UNKNOWN_ITEM
    )
    payload = records["payload"]
    with np.errstate(invalid="ignore", over="ignore"):
        squares = np.einsum("nqd,nqd->nq", uplinks.embeddings, uplinks.embeddings).max(axis=1)
        largest = np.abs(uplinks.logits).max(axis=1)
        # A value that is not finite makes the whole sum so; so does one that is far too large.
        suspect = ~(np.isfinite(squares) & np.isfinite(largest))
        if suspect.any():
            finite = np.isfinite(uplinks.embeddings[suspect]).all(axis=(1, 2))
            suspect[suspect] = ~(finite & np.isfinite(uplinks.logits[suspect]).all(axis=1))
        for name in ("embedding_scales", "logit_scale"):
            if name in (payload.dtype.names or ()):
                scales = payload[name].reshape(len(records), -1)
                suspect |= ~((scales > 0) & np.isfinite(scales)).all(axis=1)
        faults.mark(suspect, Reason.NOT_FINITE)
        faults.mark(~(squares <= contract.largest_norm**2), Reason.EMBEDDING_NORM)
        faults.mark(~(largest <= contract.largest_logit), Reason.ABSURD_LOGIT)
    faults.mark(uplinks.rounds > contract.newest_round, Reason.FUTURE_ROUND)
    faults.mark(uplinks.cloud_versions > contract.newest_version, Reason.FUTURE_VERSION)


class _Faults:
    """The first reason against each row."""

    def __init__(self, rows: int) -> None:
        self._sound = np.ones(rows, np.bool_)
        self._found: list[tuple[int, Reason]] = []

    def mark(self, mask: Mask, reason: Reason) -> None:
        """Refuses the rows of `mask` that were not refused before."""
        if mask.any():
            fresh = np.flatnonzero(mask & self._sound)
            self._sound[fresh] = False
            self._found += [(row, reason) for row in fresh.tolist()]

    def sound(self) -> npt.NDArray[np.intp]:
        """Rows against which there is nothing."""
        return np.flatnonzero(self._sound)

    def found(self) -> list[tuple[int, Reason]]:
        """The others."""
        return self._found


def _nothing(contract: LogContract) -> Uplinks:
    form = contract.form(with_logits=True)
    return _decode(np.zeros(0, _Table.of(form, 2).dtype), form)
