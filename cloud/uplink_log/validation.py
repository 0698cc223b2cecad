"""Checks thousands of records at once.

Records of one form have one length, so that NumPy sees them as a table: each check is one
expression over all of them, on what is encoded still. Only what is refused is looked at by
itself.
"""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from cloud.uplink_log.asked import Asked
from cloud.uplink_log.contents import Contents, chunks
from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.decoding import Records, Uplinks, in_order, record_dtype
from cloud.uplink_log.explanation import envelope_fault, explained, repeated
from cloud.uplink_log.reasons import Reason
from cloud.uplink_log.replay import FRESH, SEEN, Admits
from ecct_tf.config import is_own_codec
from ecct_tf.wire import RECORD_SCHEMA, UplinkForm, decoded
from ecct_tf.wire.codec_codes import codec_code
from ecct_tf.wire.record import LAST_SECOND, MAGIC, TOMBSTONE

__all__ = ["Checked", "admitted", "checked", "sound_records", "trusted_records"]

Mask = npt.NDArray[np.bool_]
Refused = list[tuple[int, Reason, str]]

# What CRC-32 gives for any content that its own CRC-32 follows.
_CRC_OF_WHOLE = 0x2144DF1C
_INFINITY_BITS = 0x7C00


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


def checked(
    contents: Contents, contract: LogContract, window: Admits, *, file: str = ""
) -> Checked:
    """Checks records, in order.

    Args:
      contents: one record each.
      contract: what they must satisfy.
      window: which rounds were seen; it remembers those of the sound records.
      file: of the log, in which they stand.
    """
    sound, refused = sound_records(contents, contract, file=file)
    found = admitted(sound, contract, window)
    return dataclasses.replace(found, refused=tuple(sorted([*refused, *found.refused])))


def admitted(sound: list[Records], contract: LogContract, window: Admits) -> Checked:
    """Of records that are sound by themselves those whose rounds are new, in order.

    Args:
      sound: of each form.
      contract: that they satisfy.
      window: which rounds were seen; it remembers theirs.
    """
    fresh, refused = _fresh(sound, window)
    rows, uplinks = in_order(fresh, contract.form(with_logits=False))
    return Checked(uplinks, rows, tuple(sorted(refused)))


def trusted_records(contents: Contents, contract: LogContract) -> list[Records]:
    """Records that `sound_records` found sound elsewhere, as it returned them."""
    found = []
    for form in _forms(contract):
        dtype = record_dtype(form)
        rows = np.flatnonzero(contents.lengths == dtype.itemsize)
        if len(rows):
            encoded = contents.table(rows, dtype.itemsize).view(dtype)
            found.append(Records(form, encoded, np.arange(len(rows)), rows))
    return found


def sound_records(
    contents: Contents, contract: LogContract, *, file: str
) -> tuple[list[Records], Refused]:
    """Records with nothing against them by themselves, of each form, and what is refused.

    Args:
      contents: one record each.
      contract: what they must satisfy.
      file: of the log, in which they stand.
    """
    found: list[Records] = []
    refused: Refused = []
    other = np.ones(len(contents), np.bool_)
    for form in _forms(contract):
        dtype = record_dtype(form)
        rows = np.flatnonzero(contents.lengths == dtype.itemsize)
        if not len(rows):
            continue
        other[rows] = False
        encoded = contents.table(rows, dtype.itemsize)
        faults = _Faults(len(rows))
        _check_envelopes(faults, encoded, form)
        # What is no record of this form is marked by now, whatever its content seems to be.
        records = encoded.view(dtype)
        _check_content(faults, records, contract, form)
        if contract.forgotten is not None:
            header = records["header"]
            covered = contract.forgotten.covers(file, header["user"], header["created_at_seconds"])
            faults.mark(covered, Reason.FORGOTTEN)
        sound = np.flatnonzero(faults.sound())
        found.append(Records(form, records, sound, rows[sound]))
        for row, reason in faults.found():
            told = explained(contents[int(rows[row])], reason, contract)
            refused.append((int(rows[row]), *told))
    for row in np.flatnonzero(other).tolist():
        refused.append((row, *envelope_fault(contents[row], contract)))
    return found, refused


def _forms(contract: LogContract) -> list[UplinkForm]:
    return [contract.form(with_logits=with_logits) for with_logits in (False, True)]


def _fresh(found: list[Records], window: Admits) -> tuple[list[Records], Refused]:
    """The records whose rounds are new, and the others."""
    if not found:
        return [], []
    rows = np.concatenate([records.rows for records in found])
    users = np.concatenate([records.header("user") for records in found])
    rounds = np.concatenate([records.header("round_number") for records in found])
    order = np.argsort(rows, kind="stable")
    turns = np.empty(len(rows), np.uint8)
    turns[order] = window.admit(users[order], rounds[order])
    refused: Refused = []
    for place in np.flatnonzero(turns != FRESH).tolist():
        told = f"user {users[place]}, round {rounds[place]}"
        refused.append((int(rows[place]), *repeated(told, again=turns[place] == SEEN)))
    if not refused:
        return found, []
    parts = np.split(turns == FRESH, np.cumsum([len(records) for records in found])[:-1])
    return [records.taken(mask) for records, mask in zip(found, parts, strict=True)], refused


def _check_envelopes(faults: "_Faults", encoded: npt.NDArray[np.void], form: UplinkForm) -> None:
    header = encoded.view(record_dtype(form))["header"]
    crcs = np.empty(len(encoded), np.uint32)
    for chunk in chunks(len(encoded)):
        crcs[chunk] = list(map(isal_zlib.crc32, encoded[chunk].tolist()))
    faults.mark(header["magic"] == TOMBSTONE, Reason.FORGOTTEN)
    faults.mark(header["magic"] != MAGIC, Reason.NOT_A_RECORD)
    faults.mark(header["schema"] != RECORD_SCHEMA, Reason.SCHEMA_VERSION)
    faults.mark(crcs != _CRC_OF_WHOLE, Reason.DAMAGED_RECORD)
    faults.mark(~_form_fits(header, form), Reason.WRONG_FORM)
    faults.mark(header["payload_bytes"] != form.payload_bytes, Reason.WRONG_LENGTH)


def _form_fits(header: npt.NDArray[np.void], form: UplinkForm) -> Mask:
    fits: Mask = (
        (header["codec"] == codec_code(form.codec))
        & (header["stage"] == (2 if form.with_logits else 1))
        & (header["queries"] == form.queries)
        & (header["embedding_dim"] == form.embedding_dim)
        & (header["round_number"] >= 0)
        & (header["cloud_version"] >= 0)
        & (header["created_at_seconds"] >= 0)
        & (header["created_at_seconds"] <= LAST_SECOND)
    )
    return fits


def _check_content(
    faults: "_Faults", records: npt.NDArray[np.void], contract: LogContract, form: UplinkForm
) -> None:
    payload, users = records["payload"], records["header"]["user"]
    faults.mark(payload["user"] != users, Reason.WRONG_USER)
    faults.mark((users < 0) | (users >= contract.num_users), Reason.UNKNOWN_USER)
    # Without a sign, an item below 1 is a very large one once 1 is taken away.
    items = (payload["items"] - 1).view(np.uint32)
    faults.mark(_any(items >= contract.num_items), Reason.UNKNOWN_ITEM)
    with np.errstate(invalid="ignore", over="ignore"):
        values = _as_numbers(payload, form)
        # Also true of what is no number.
        far = _any(~(_squared_norms(values) <= contract.largest_norm**2))
        large = _any(~(_logit_sizes(values) <= contract.largest_logit))
    faults.mark(_not_finite(values, suspects=far | large), Reason.NOT_FINITE)
    faults.mark(far, Reason.EMBEDDING_NORM)
    faults.mark(large, Reason.ABSURD_LOGIT)
    header = records["header"]
    faults.mark(header["round_number"] > contract.newest_round, Reason.FUTURE_ROUND)
    faults.mark(header["cloud_version"] > contract.newest_version, Reason.FUTURE_VERSION)
    latest = contract.newest_second + contract.clock_slack_seconds
    faults.mark(header["created_at_seconds"] > latest, Reason.FUTURE_TIME)
    if contract.asked is not None:
        _check_asked(faults, records, contract, contract.asked)


def _check_asked(
    faults: "_Faults", records: npt.NDArray[np.void], contract: LogContract, asked: Asked
) -> None:
    """Marks answers to what nobody asked, or from before it was asked."""
    sound = np.flatnonzero(faults.sound())
    header = records["header"][sound]
    pairs = header["round_number"].astype(np.int64) << 31 | header["cloud_version"]
    for pair in np.unique(pairs).tolist():
        rows = sound[pairs == pair]
        number, version = pair >> 31, pair & (2**31 - 1)
        note = asked.note(number, version)
        if note is None:
            if not asked.is_open(number):
                faults.mark_rows(rows, Reason.NOT_ASKED)
            continue
        early = records["header"]["created_at_seconds"][rows] < (
            note.since_seconds - contract.clock_slack_seconds
        )
        faults.mark_rows(rows[early], Reason.FUTURE_ROUND)
        if note.with_items:
            rows = rows[~early]
            items = asked.items(note)
            if items is None:
                faults.mark_rows(rows, Reason.REPLAYED)
                continue
            payload = records["payload"]
            fits = items.answered(payload["user"][rows], payload["items"][rows])
            faults.mark_rows(rows[~fits], Reason.NOT_ASKED)


def _as_numbers(payload: npt.NDArray[np.void], form: UplinkForm) -> npt.NDArray[np.void]:
    """`[n]`, whose values are numbers: as encoded, or of a custom codec as decoded."""
    if is_own_codec(form.codec):
        return payload
    numbers = np.empty(len(payload), dataclasses.replace(form, codec="float32").dtype)
    for chunk in chunks(len(payload)):
        embeddings, logits = decoded(payload[chunk], form)
        numbers["embeddings"][chunk] = embeddings
        if logits is not None:
            numbers["logits"][chunk] = logits
    return numbers


def _squared_norms(payload: npt.NDArray[np.void]) -> npt.NDArray[np.float32]:
    """`[n, Q]`, of the embeddings as they will be decoded."""
    values = payload["embeddings"]
    squares = np.empty(values.shape[:2], np.float32)
    for chunk in chunks(len(values)):
        part = values[chunk].astype(np.float32)
        np.einsum("nqd,nqd->nq", part, part, out=squares[chunk])
    if "embedding_scales" in (payload.dtype.names or ()):
        squares *= payload["embedding_scales"][..., 0].astype(np.float32) ** 2
    return squares


def _logit_sizes(payload: npt.NDArray[np.void]) -> npt.NDArray[np.float32]:
    """`[n, Q]`, of the logits as they will be decoded; `[n, 1]` zeros in stage 1."""
    names = payload.dtype.names or ()
    if "logits" not in names:
        return np.zeros((len(payload), 1), np.float32)
    sizes: npt.NDArray[np.float32] = np.abs(payload["logits"].astype(np.float32))
    if "logit_scale" in names:
        sizes *= payload["logit_scale"].astype(np.float32)
    return sizes


def _not_finite(payload: npt.NDArray[np.void], *, suspects: Mask) -> Mask:
    """Rows with a value that is not finite, or a scale that is not above 0.

    Values themselves are only looked at in rows that may have one.
    """
    names = payload.dtype.names or ()
    strange = np.zeros(len(payload), np.bool_)
    for name in ("embeddings", "logits"):
        if name in names and suspects.any():
            strange[suspects] |= _any(~np.isfinite(payload[name][suspects]))
    for name in ("embedding_scales", "logit_scale"):
        if name in names:
            # Bits of float16: 0 is zero, above the largest come infinity, the numbers that
            # are none, and with the sign all that is negative.
            bits = np.ascontiguousarray(payload[name]).view(np.uint16)
            strange |= _any(bits - np.uint16(1) >= _INFINITY_BITS - 1)
    return strange


def _any(mask: Mask) -> Mask:
    """For each row whether anything in it is true; fast where hardly anything is."""
    rows = np.zeros(len(mask), np.bool_)
    rows[np.flatnonzero(mask) // math.prod(mask.shape[1:])] = True
    return rows


class _Faults:
    """The first reason against each row."""

    def __init__(self, rows: int) -> None:
        self._sound = np.ones(rows, np.bool_)
        self._found: list[tuple[int, Reason]] = []

    def mark(self, mask: Mask, reason: Reason) -> None:
        """Refuses the rows of `mask` that were not refused before."""
        if mask.any():
            self.mark_rows(np.flatnonzero(mask & self._sound), reason)

    def mark_rows(self, rows: npt.NDArray[np.intp], reason: Reason) -> None:
        """Refuses rows that were not refused before."""
        self._sound[rows] = False
        self._found += [(row, reason) for row in rows.tolist()]

    def sound(self) -> Mask:
        """Whether there is nothing against a row."""
        return self._sound

    def found(self) -> list[tuple[int, Reason]]:
        """What there is against the others."""
        return self._found
