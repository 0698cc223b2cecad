"""Says of one refused record what was expected and what came."""

import numpy as np

from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.reasons import Reason
from ecct_tf.errors import CodecError
from ecct_tf.wire import HEADER, RECORD_SCHEMA, UplinkRecord, unpack_uplink
from ecct_tf.wire.record import CRC_BYTES, MAGIC, crc_fits

__all__ = ["envelope_fault", "explained"]


def envelope_fault(content: bytes, contract: LogContract) -> tuple[Reason, str]:
    """Of a record whose length is that of no expected form."""
    if content[:4] != MAGIC or len(content) < HEADER.itemsize + CRC_BYTES:
        return explained(content, Reason.NOT_A_RECORD, contract)
    if int.from_bytes(content[4:6], "little") != RECORD_SCHEMA:
        return explained(content, Reason.SCHEMA_VERSION, contract)
    if not crc_fits(content):
        return explained(content, Reason.DAMAGED_RECORD, contract)
    try:
        UplinkRecord.from_bytes(content)
    except CodecError as error:
        return Reason.WRONG_LENGTH, str(error)
    return explained(content, Reason.WRONG_FORM, contract)


def explained(content: bytes, reason: Reason, contract: LogContract) -> tuple[Reason, str]:
    """The reason, with the message."""
    try:
        record = UplinkRecord.from_bytes(content)
    except CodecError as error:
        return reason, str(error)
    return reason, _message(record, reason, contract)


def _message(record: UplinkRecord, reason: Reason, contract: LogContract) -> str:
    """Of a record that can be read."""
    if reason is Reason.WRONG_FORM:
        got = record.form
        return (
            f"expected codec {contract.codec}, {contract.queries} queries and embeddings of "
            f"{contract.embedding_dim}, got {got.codec}, {got.queries} and {got.embedding_dim}; "
            "device and cloud were built with different settings"
        )
    read = unpack_uplink(record.payload, record.form)
    with np.errstate(invalid="ignore", over="ignore"):
        embeddings = read.embeddings[0].astype(np.float32)
        if len(read.embeddings) > 1:
            embeddings *= read.embeddings[1].astype(np.float32)
        norm = float(np.sqrt(np.square(embeddings.astype(np.float64)).sum(axis=1)).max())
        logit = 0.0
        if read.logits:
            scale = read.logits[1] if len(read.logits) > 1 else np.ones(1)
            logit = float(np.abs(read.logits[0].astype(np.float64) * scale).max())
    strange = read.items[(read.items < 1) | (read.items > contract.num_items)]
    return {
        Reason.UNKNOWN_USER: f"expected a user in 0..{contract.num_users - 1}, got {record.user}",
        Reason.UNKNOWN_ITEM: (
            f"expected items in 1..{contract.num_items}, got {strange[:5].tolist()}"
        ),
        Reason.NOT_FINITE: "expected finite values and scales above 0, got others",
        Reason.EMBEDDING_NORM: (
            f"expected embeddings of a norm of at most {contract.largest_norm:.4g}, got {norm:.4g}"
        ),
        Reason.ABSURD_LOGIT: (
            f"expected logits of at most {contract.largest_logit:.4g} in size, got {logit:.4g}"
        ),
        Reason.FUTURE_ROUND: (
            f"expected a round of at most {contract.newest_round}, got {record.round_number}"
        ),
        Reason.FUTURE_VERSION: (
            f"expected a cloud version of at most {contract.newest_version}, "
            f"got {record.cloud_version}"
        ),
    }[reason]
