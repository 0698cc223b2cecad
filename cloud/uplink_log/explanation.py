"""Says of one refused record what was expected and what came."""

import datetime

import numpy as np

from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.reasons import Reason
from cloud.uplink_log.replay import WINDOW_ROUNDS
from ecct_tf.errors import CodecError
from ecct_tf.wire import HEADER, RECORD_SCHEMA, UplinkRecord, decoded_uplink, unpack_uplink
from ecct_tf.wire.codec_codes import codec_text
from ecct_tf.wire.record import CRC_BYTES, MAGIC, TOMBSTONE, crc_fits

__all__ = ["envelope_fault", "explained", "repeated", "sender"]


def envelope_fault(content: bytes, contract: LogContract) -> tuple[Reason, str]:
    """Of a record whose length is that of no expected form."""
    if content[:4] == TOMBSTONE:
        return explained(content, Reason.FORGOTTEN, contract)
    if content[:4] != MAGIC or len(content) < HEADER.itemsize + CRC_BYTES:
        return explained(content, Reason.NOT_A_RECORD, contract)
    if int.from_bytes(content[4:6], "little") != RECORD_SCHEMA:
        return explained(content, Reason.SCHEMA_VERSION, contract)
    if not crc_fits(content):
        return explained(content, Reason.DAMAGED_RECORD, contract)
    try:
        UplinkRecord.from_bytes(content, codec=contract.codec)
    except CodecError as error:
        return Reason.WRONG_LENGTH, str(error)
    return explained(content, Reason.WRONG_FORM, contract)


def explained(content: bytes, reason: Reason, contract: LogContract) -> tuple[Reason, str]:
    """The reason, with the message."""
    if reason is Reason.FORGOTTEN:
        return reason, "it was to be forgotten (ecct cloud forget, ecct cloud erase)"
    try:
        record = UplinkRecord.from_bytes(content, codec=contract.codec)
    except CodecError as error:
        return reason, str(error)
    return reason, _message(record, reason, contract)


def sender(content: bytes) -> int | None:
    """The user that a record names, whatever else is wrong with it; None where none can be read."""
    if content[:4] != MAGIC or len(content) < HEADER.itemsize + CRC_BYTES:
        return None
    header = np.frombuffer(content, HEADER, count=1)[0]
    if header["schema"] != RECORD_SCHEMA or not crc_fits(content):
        return None
    return int(header["user"])


def repeated(told: str, *, again: bool) -> tuple[Reason, str]:
    """Of a record that is sound but for its round."""
    if again:
        return Reason.DUPLICATE, f"expected each round once, got again {told}"
    message = f"expected a round of the last {WINDOW_ROUNDS} of its user, got {told}"
    return Reason.REPLAYED, message


def _message(record: UplinkRecord, reason: Reason, contract: LogContract) -> str:
    """Of a record that can be read."""
    if reason is Reason.WRONG_FORM:
        got = record.form
        return (
            f"expected codec {contract.codec}, {contract.queries} queries and embeddings of "
            f"{contract.embedding_dim}, got {codec_text(got.codec)}, "
            f"{got.queries} and {got.embedding_dim}; "
            "device and cloud were built with different settings"
        )
    if reason is Reason.UNKNOWN_USER:
        return f"expected a user in 0..{contract.num_users - 1}, got {record.user}"
    if reason in (Reason.FUTURE_ROUND, Reason.NOT_ASKED, Reason.REPLAYED):
        return _not_asked(record, contract)
    if reason is Reason.FUTURE_TIME:
        return (
            f"expected an answer from before {_moment(contract.newest_second)} and "
            f"{contract.clock_slack_seconds} s, it says {_moment(record.created_at_seconds)}"
        )
    if reason is Reason.FUTURE_VERSION:
        return (
            f"expected a cloud version of at most {contract.newest_version}, "
            f"got {record.cloud_version}"
        )
    if reason is Reason.UNKNOWN_ITEM:
        read = unpack_uplink(record.payload, record.form)
        strange = read.items[(read.items < 1) | (read.items > contract.num_items)]
        return f"expected items in 1..{contract.num_items}, got {strange[:5].tolist()}"
    if reason is Reason.EMBEDDING_NORM:
        embeddings, _ = decoded_uplink(record.payload, record.form)
        norm = np.linalg.norm(embeddings.astype(np.float64), axis=1).max()
        return (
            f"expected embeddings of a norm of at most {contract.largest_norm:.4g}, got {norm:.4g}"
        )
    if reason is Reason.ABSURD_LOGIT:
        _, logits = decoded_uplink(record.payload, record.form)
        largest = np.abs([] if logits is None else logits).max(initial=0.0)
        return f"expected logits of at most {contract.largest_logit:.4g} in size, got {largest:.4g}"
    return "expected finite values and scales above 0, got others"


def _not_asked(record: UplinkRecord, contract: LogContract) -> str:
    """Of a round or items that nobody asked this device about."""
    number, asked = record.round_number, contract.asked
    if number > contract.newest_round or asked is None:
        told = f"expected a round of at most {contract.newest_round}, got {number}"
        if asked is not None and asked.is_empty:
            told += "; no round is noted, and uplink_log.newest_round is not set"
        return told
    note = asked.note(number, record.cloud_version)
    if note is None:
        versions = sorted(version for noted, version in asked.notes if noted == number)
        return (
            f"expected an answer to version {versions} in round {number}, got one to "
            f"{record.cloud_version}"
            if versions
            else f"expected a round that was asked, got {number}; see docs/uplink_log.md"
        )
    if record.created_at_seconds < note.since_seconds - contract.clock_slack_seconds:
        return (
            f"expected an answer to round {number} from after {_moment(note.since_seconds)}, when "
            f"it was opened, it says {_moment(record.created_at_seconds)}"
        )
    if asked.items(note) is None:
        return (
            f"expected a round of the last {WINDOW_ROUNDS}, whose items are kept, got {number} of "
            f"{contract.newest_round}"
        )
    given = unpack_uplink(record.payload, record.form).items.tolist()
    return (
        f"expected the {contract.queries} items that user {record.user} was asked about in round "
        f"{number}, each once, got {sorted(given)[:8]}…"
    )


def _moment(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
