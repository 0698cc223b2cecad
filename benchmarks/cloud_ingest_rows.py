"""A log of uplinks of the default form, in which every hundredth record is bad in some way."""

import dataclasses
import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from cloud.uplink_log import LogContract, Reason
from cloud.uplink_log.framing import frame
from ecct_tf.wire import HEADER

CONTRACT = LogContract(
    # A prime: the hundredth rows shall not be the same users again and again.
    num_users=19_997,
    num_items=1_682,
    queries=24,
    embedding_dim=16,
    codec="int8",
    clip_norm=8.0,
    clip_logit=12.0,
    newest_round=200,
    newest_version=3,
)
FIRST_ROUND = 100
BAD_EVERY = 100
FILE_ROWS = 50_000

_FORM = CONTRACT.form(with_logits=True)
_RECORD = np.dtype([("header", HEADER), ("payload", _FORM.dtype), ("crc", "<u4")])

# What is wrong, and how it is told. Those of the header and the payload get a CRC that fits.
_FIELDS = {
    "another schema": (("header", "schema"), 2, Reason.SCHEMA_VERSION),
    "another codec": (("header", "codec"), 1, Reason.WRONG_FORM),
    "another dimension": (("header", "embedding_dim"), 8, Reason.WRONG_FORM),
    "another user in the payload": (("payload", "user"), 7, Reason.WRONG_USER),
    "unknown item": (("payload", "items"), 1_683, Reason.UNKNOWN_ITEM),
    "a scale that is no number": (("payload", "embedding_scales"), np.nan, Reason.NOT_FINITE),
    "large embeddings": (("payload", "embedding_scales"), 1.0, Reason.EMBEDDING_NORM),
    "large logits": (("payload", "logit_scale"), 1.0, Reason.ABSURD_LOGIT),
    "a round to come": (("header", "round_number"), 201, Reason.FUTURE_ROUND),
    "a version to come": (("header", "cloud_version"), 4, Reason.FUTURE_VERSION),
    "a round long past": (("header", "round_number"), 1, Reason.REPLAYED),
}
_OTHERS = {
    "unknown user": Reason.UNKNOWN_USER,
    "sent twice": Reason.DUPLICATE,
    "no record": Reason.NOT_A_RECORD,
    "cut before it was framed": Reason.DAMAGED_RECORD,
    "a flipped bit": Reason.DAMAGED_RECORD,
    "a flipped bit in its frame": Reason.DAMAGED_FRAME,
    "a flipped bit in its length": Reason.DAMAGED_FRAME,
    "half of its frame": Reason.DAMAGED_FRAME,
}
_KINDS = [*_FIELDS, *_OTHERS]


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
      good: sound rows.
      checksum: of their users and rounds, in any order.
      reasons: bad rows by the reason that they must be refused for.
    """

    good: int
    checksum: int
    reasons: dict[str, int]


def checksum(users: np.ndarray, rounds: np.ndarray) -> int:
    """A sum that a lost, doubled or exchanged row changes."""
    keys = users.astype(np.uint64) << np.uint64(32) | rounds.astype(np.uint64)
    keys = (keys ^ (keys >> np.uint64(31))) * np.uint64(0x7FB5D329728EA185)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x81DADEF4BC2DD44D)
    return int((keys ^ (keys >> np.uint64(33))).sum(dtype=np.uint64))


def write_log(folder: Path, twin: Path, *, rows: int, seed: int = 0) -> Written:
    """Writes a log of `rows` rows, and a twin whose frames are whole, for a reader that stops."""
    reasons: Counter[str] = Counter()
    total, good = 0, 0
    for start in range(0, rows, FILE_ROWS):
        count = min(FILE_ROWS, rows - start)
        records = _sound(start, count, seed=seed)
        bad = np.arange(BAD_EVERY - 1, count, BAD_EVERY)
        kinds = {row: _kind(start + row) for row in bad.tolist()}
        for row, kind in kinds.items():
            reasons[_spoil_record(records, row, kind)] += 1
        sound = np.ones(count, np.bool_)
        sound[bad] = False
        header = records["header"][sound]
        total = (total + checksum(header["user"], header["round_number"])) % 2**64
        good += len(header)
        name = f"date=2026-11-25/{start:09d}.tfrecord"
        for path in (folder / name, twin / name):
            path.parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as log, (twin / name).open("wb") as whole:
            for row in range(count):
                content = _spoil_content(_sealed(records[row]), kinds.get(row))
                framed = frame(content)
                whole.write(framed)
                log.write(_spoil_frame(framed, kinds.get(row)))
    return Written(good, total, dict(reasons))


def _kind(number: int) -> str:
    kind = _KINDS[number // BAD_EVERY % len(_KINDS)]
    # The first uplink of a user is no replay, whatever its round.
    first = number < CONTRACT.num_users
    return "sent twice" if first and kind == "a round long past" else kind


def _sound(start: int, count: int, *, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, start])
    records = np.zeros(count, _RECORD)
    numbers = np.arange(start, start + count)
    header, payload = records["header"], records["payload"]
    header["magic"], header["schema"], header["codec"], header["stage"] = b"ECUP", 1, 2, 2
    header["queries"], header["embedding_dim"] = CONTRACT.queries, CONTRACT.embedding_dim
    header["created_at_seconds"] = 1_795_564_800 + numbers // 100
    header["user"] = payload["user"] = numbers % CONTRACT.num_users
    header["round_number"] = FIRST_ROUND + numbers // CONTRACT.num_users
    header["cloud_version"], header["payload_bytes"] = 3, _FORM.payload_bytes
    payload["items"] = rng.integers(1, CONTRACT.num_items + 1, payload["items"].shape)
    shape = payload["embeddings"].shape
    payload["embeddings"] = rng.integers(-127, 128, shape)
    payload["embeddings"][..., 0] = 127
    payload["embedding_scales"] = rng.uniform(0.001, 0.015, payload["embedding_scales"].shape)
    payload["logits"] = rng.integers(-127, 128, payload["logits"].shape)
    payload["logits"][:, 0] = 127
    payload["logit_scale"] = rng.uniform(0.01, 0.09, payload["logit_scale"].shape)
    return records


def _spoil_record(records: np.ndarray, row: int, kind: str) -> str:
    """Changes a field, if that is what `kind` does; returns the reason it will be refused for."""
    if kind in _FIELDS:
        (part, field), value, reason = _FIELDS[kind]
        if kind == "another user in the payload" and records["header"]["user"][row] == value:
            value += 1
        records[part][field][row] = value
        return reason.value
    if kind == "unknown user":
        for part in ("header", "payload"):
            records[part]["user"][row] = CONTRACT.num_users
    if kind == "sent twice":
        records[row] = records[row - 1]
    return _OTHERS[kind].value


def _sealed(record: np.void) -> bytes:
    content = record.tobytes()[:-4]
    return content + struct.pack("<I", zlib.crc32(content))


def _spoil_content(content: bytes, kind: str | None) -> bytes:
    if kind == "no record":
        return b"?" * len(content)
    if kind == "cut before it was framed":
        return content[:-3]
    if kind == "a flipped bit":
        return content[:100] + bytes([content[100] ^ 4]) + content[101:]
    return content


def _spoil_frame(framed: bytes, kind: str | None) -> bytes:
    if kind == "a flipped bit in its frame":
        return framed[:200] + bytes([framed[200] ^ 1]) + framed[201:]
    if kind == "a flipped bit in its length":
        return bytes([framed[0] ^ 2]) + framed[1:]
    if kind == "half of its frame":
        return framed[: len(framed) // 2]
    return framed
