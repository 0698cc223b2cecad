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
from cloud.uplink_log.explanation import envelope_fault, explained, repeated
from cloud.uplink_log.reasons import Reason
from cloud.uplink_log.replay import FRESH, SEEN, ReplayWindow
from ecct_tf.config import CODECS
from ecct_tf.wire import HEADER, RECORD_SCHEMA, UplinkForm, decoded
from ecct_tf.wire.record import CRC_BYTES, LAST_SECOND, MAGIC

__all__ = ["Checked", "Uplinks", "checked"]

Mask = npt.NDArray[np.bool_]

# What CRC-32 gives for any content that its own CRC-32 follows.
_CRC_OF_WHOLE = 0x2144DF1C
_PORTION = 1024
_INFINITY_BITS = 0x7C00


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


def checked(contents: Sequence[bytes], contract: LogContract, window: ReplayWindow) -> Checked:
    """Checks records, in order.

    Args:
      contents: one record each.
      contract: what they must satisfy.
      window: which rounds were seen; it remembers those of the sound records.
    """
    tables = [_Table.of(contract.form(with_logits=stage == 2), stage) for stage in (1, 2)]
    sound = _Filling(_nothing(contract).uplinks, len(contents))
    rows: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
    refused: list[tuple[int, Reason, str]] = []
    # In portions, so that what is between bytes and result stays in the processor's cache.
    for start in range(0, len(contents), _PORTION):
        part = _check_portion(contents[start : start + _PORTION], tables, contract, window)
        sound.add(part.uplinks)
        rows.append(part.rows + start)
        refused += [(row + start, reason, message) for row, reason, message in part.refused]
    return Checked(sound.taken(), np.concatenate(rows), tuple(refused))


class _Filling:
    """Room for so many uplinks that is filled from the front."""

    def __init__(self, form: Uplinks, rows: int) -> None:
        self._arrays = {
            field.name: np.empty_like(getattr(form, field.name), shape=(rows, *shape[1:]))
            for field in dataclasses.fields(Uplinks)
            for shape in [getattr(form, field.name).shape]
        }
        self._count = 0

    def add(self, uplinks: Uplinks) -> None:
        end = self._count + len(uplinks)
        for name, array in self._arrays.items():
            array[self._count : end] = getattr(uplinks, name)
        self._count = end

    def taken(self) -> Uplinks:
        return Uplinks(**{name: array[: self._count] for name, array in self._arrays.items()})


def _check_portion(
    contents: Sequence[bytes],
    tables: Sequence["_Table"],
    contract: LogContract,
    window: ReplayWindow,
) -> Checked:
    lengths = np.fromiter(map(len, contents), np.int64, len(contents))
    refused: list[tuple[int, Reason, str]] = []
    found: list[tuple[npt.NDArray[np.intp], Uplinks, npt.NDArray[np.intp]]] = []
    other = np.ones(len(contents), np.bool_)
    for table in tables:
        rows = np.flatnonzero(lengths == table.record_bytes)
        if not len(rows):
            continue
        other[rows] = False
        of_length = contents if len(rows) == len(contents) else [contents[row] for row in rows]
        readable, uplinks, kept, bad = _check_table(of_length, table, contract)
        found.append((rows[readable[kept]], uplinks, kept))
        for row, reason in bad:
            refused.append((int(rows[row]), *explained(of_length[row], reason, contract)))
    for row in np.flatnonzero(other).tolist():
        refused.append((row, *envelope_fault(contents[row], contract)))
    if not found:
        return dataclasses.replace(_nothing(contract), refused=tuple(sorted(refused)))
    rows, uplinks, kept = found[0]
    if len(found) > 1:
        rows = np.concatenate([part for part, _, _ in found])
        order = np.argsort(rows)
        uplinks = _joined([part.taken(sound) for _, part, sound in found]).taken(order)
        rows, kept = rows[order], np.arange(len(rows))
    turns = window.admit(uplinks.users[kept], uplinks.rounds[kept])
    if turns.any():
        for row in np.flatnonzero(turns).tolist():
            told = f"user {uplinks.users[kept[row]]}, round {uplinks.rounds[kept[row]]}"
            refused.append((int(rows[row]), *repeated(told, again=turns[row] == SEEN)))
        rows, kept = rows[turns == FRESH], kept[turns == FRESH]
    if len(kept) < len(uplinks):
        uplinks = uplinks.taken(kept)
    return Checked(uplinks, rows, tuple(sorted(refused)))


def _joined(parts: Sequence[Uplinks]) -> Uplinks:
    return Uplinks(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Uplinks)
        }
    )


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
) -> tuple[npt.NDArray[np.intp], Uplinks, npt.NDArray[np.intp], list[tuple[int, Reason]]]:
    """The rows that can be read, their uplinks, which of these are sound, and all faults."""
    content = np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)
    records = content.view(table.dtype)[:, 0]
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
        # As bytes: NumPy copies structures field by field.
        records = content[readable].view(table.dtype)[:, 0]
    uplinks = _decode(records, table.form)
    inner = _Faults(len(records))
    inner.mark(records["payload"]["user"] != uplinks.users, Reason.WRONG_USER)
    _check_content(inner, records, uplinks, contract)
    bad = faults.found() + [(int(readable[row]), reason) for row, reason in inner.found()]
    return readable, uplinks, inner.sound(), bad


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
    # Without a sign, an item below 1 is a very large one once 1 is taken away.
    strange = (items - 1).view(np.uint32) >= contract.num_items
    faults.mark(strange.any(axis=1), Reason.UNKNOWN_ITEM)
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
                # Bits of float16: 0 is zero, above the largest come infinity, the numbers that
                # are none, and with the sign all that is negative.
                bits = np.ascontiguousarray(payload[name][..., 0]).view(np.uint16)
                wrong = bits - np.uint16(1) >= _INFINITY_BITS - 1
                suspect |= wrong if wrong.ndim == 1 else wrong.any(axis=1)
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


def _nothing(contract: LogContract) -> Checked:
    form = contract.form(with_logits=True)
    none = _decode(np.zeros(0, _Table.of(form, 2).dtype), form)
    return Checked(none, np.zeros(0, np.int64), ())
