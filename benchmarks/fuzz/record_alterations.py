"""Records that are damaged, forged with a checksum that fits, or sent twice."""

import zlib
from collections.abc import Callable

import numpy as np

from benchmarks.fuzz.file_alterations import flipped
from benchmarks.fuzz.log_base import EDGE_DIM, QUERIES
from benchmarks.fuzz.log_case import Entry, LogCase

__all__ = ["RECORD_ALTERATIONS", "header", "payload"]

Alteration = Callable[[LogCase, np.random.Generator], None]

_HEADER_BYTES = 40
# Where fields lie in the header: offset and type.
_FIELDS = {
    "magic": (0, "S4"), "schema": (4, "<u2"), "codec": (6, "u1"), "stage": (7, "u1"),
    "queries": (8, "<u4"), "embedding_dim": (12, "<u4"), "created": (16, "<i8"),
    "user": (24, "<i4"), "round": (28, "<i4"), "version": (32, "<i4"), "length": (36, "<u4"),
}  # fmt: skip
_LAYOUT = np.dtype(
    [
        ("user", "<i4"),
        ("items", "<i4", (QUERIES,)),
        ("embeddings", "i1", (QUERIES, EDGE_DIM)),
        ("embedding_scales", "<f2", (QUERIES, 1)),
        ("logits", "i1", (QUERIES,)),
        ("logit_scale", "<f2", (1,)),
    ]
)
_HUGE = 2**31 - 1


def sealed(content: bytes) -> bytes:
    """`content` with the checksum that fits it."""
    return content[:-4] + zlib.crc32(content[:-4]).to_bytes(4, "little")


def with_header(content: bytes, name: str, value: int | bytes) -> bytes:
    """A record with one field of its header changed, and sealed."""
    offset, kind = _FIELDS[name]
    field = np.array(value).astype(kind).tobytes()
    return sealed(content[:offset] + field + content[offset + len(field) :])


def with_payload(content: bytes, name: str, place: int, value: float) -> bytes:
    """A record with one value of its payload changed, and sealed."""
    row = np.frombuffer(content[_HEADER_BYTES:-4], _LAYOUT).copy()
    with np.errstate(over="ignore"):
        row[name].reshape(-1)[place] = value
    return sealed(content[:_HEADER_BYTES] + row.tobytes() + content[-4:])


def header(content: bytes, name: str) -> int:
    """A field of a record's header."""
    offset, kind = _FIELDS[name]
    return int(np.frombuffer(content, kind, 1, offset)[0])


def payload(content: bytes) -> np.void:
    """A record's payload."""
    return np.frombuffer(content[_HEADER_BYTES:-4], _LAYOUT)[0]


def _one(case: LogCase, rng: np.random.Generator) -> Entry:
    return case.entries[rng.integers(len(case.entries))]


def _nothing(case: LogCase, rng: np.random.Generator) -> None:
    case.expect, case.check_may_refuse = "accept", False


def _reordered(case: LogCase, rng: np.random.Generator) -> None:
    case.entries = [case.entries[place] for place in rng.permutation(len(case.entries))]
    case.expect, case.check_may_refuse = "accept", False


def _few(case: LogCase, rng: np.random.Generator) -> None:
    case.entries = case.entries[: int(rng.integers(0, 4))]
    case.expect, case.check_may_refuse = "accept", False


def _damaged(case: LogCase, rng: np.random.Generator) -> None:
    """Bits flipped, cut off or added, inside a frame that is whole."""
    for _ in range(rng.integers(1, 4)):
        entry = _one(case, rng)
        cut = int(rng.integers(len(entry.content)))
        made = [flipped(entry.content, rng), entry.content[:cut], entry.content + rng.bytes(5),
                rng.bytes(60), b"ECUP", b"\x00" * 200]  # fmt: skip
        changed = made[rng.integers(len(made))]
        if changed != entry.content:
            entry.content, entry.fate = changed, "refused"


def _wild_round(case: LogCase, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 4)):
        entry = _one(case, rng)
        value = int(rng.choice([_HUGE, -1, -(2**31), 10**6, 2**30, 10_000]))
        entry.content, entry.fate = with_header(entry.content, "round", value), "refused"


def _wild_version(case: LogCase, rng: np.random.Generator) -> None:
    entry = _one(case, rng)
    value = int(rng.choice([_HUGE, -1, -(2**31), 99, 3]))
    entry.content, entry.fate = with_header(entry.content, "version", value), "refused"


def _wild_user(case: LogCase, rng: np.random.Generator) -> None:
    """Of nobody, in header and payload alike, or in one of them only."""
    entry = _one(case, rng)
    value = int(rng.choice([_HUGE, -1, -(2**31), 1000]))
    both = rng.random() < 0.7
    content = with_header(entry.content, "user", value)
    entry.content = with_payload(content, "user", 0, value) if both else content
    entry.fate = "refused"


def _wild_item(case: LogCase, rng: np.random.Generator) -> None:
    entry = _one(case, rng)
    value = int(rng.choice([_HUGE, -1, 0, -(2**31), 1000]))
    entry.content = with_payload(entry.content, "items", int(rng.integers(QUERIES)), value)
    entry.fate = "refused"


def _other_items(case: LogCase, rng: np.random.Generator) -> None:
    """An item twice, or one that was not asked about."""
    entry = _one(case, rng)
    items = np.frombuffer(entry.content[_HEADER_BYTES:-4], _LAYOUT)["items"][0]
    others = [item for item in range(1, 41) if item not in items]
    value = int(rng.choice([items[0], *rng.choice(others, 1)]))
    entry.content = with_payload(entry.content, "items", 1, value)
    entry.fate = "refused"


def _no_number(case: LogCase, rng: np.random.Generator) -> None:
    """Scales that are no number, infinite, zero or negative."""
    entry = _one(case, rng)
    name = str(rng.choice(["embedding_scales", "logit_scale"]))
    value = float(rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.5, -0.0]))
    place = int(rng.integers(QUERIES)) if name == "embedding_scales" else 0
    entry.content, entry.fate = with_payload(entry.content, name, place, value), "refused"


def _too_large(case: LogCase, rng: np.random.Generator) -> None:
    entry = _one(case, rng)
    embedding = rng.random() < 0.5
    content = entry.content
    for place in range(QUERIES if embedding else 1):
        content = with_payload(
            content, "embedding_scales" if embedding else "logit_scale", place, 60_000.0
        )
    values = "embeddings" if embedding else "logits"
    entry.content, entry.fate = with_payload(content, values, 0, 127), "refused"


def _wrong_contract(case: LogCase, rng: np.random.Generator) -> None:
    entry = _one(case, rng)
    names = ["magic", "schema", "codec", "stage", "queries", "embedding_dim", "length"]
    name = str(rng.choice(names))
    value = b"ECDN" if name == "magic" else int(rng.choice([0, 3, 200, 255]))
    entry.content, entry.fate = with_header(entry.content, name, value), "refused"


def _wild_time(case: LogCase, rng: np.random.Generator) -> None:
    entry = _one(case, rng)
    value = int(rng.choice([-1, -(2**63), 2**63 - 1, 253_402_300_800]))
    entry.content, entry.fate = with_header(entry.content, "created", value), "refused"


def _repeated(case: LogCase, rng: np.random.Generator) -> None:
    """The same bytes again: the second is refused."""
    for _ in range(rng.integers(1, 6)):
        case.entries.append(Entry(_one(case, rng).content, "refused"))


def _conflicting(case: LogCase, rng: np.random.Generator) -> None:
    """Two answers of one user to one round, or an answer in another's name: one counts."""
    entry, other = _one(case, rng), _one(case, rng)
    content = with_payload(entry.content, "logits", 0, 1)
    entry.fate = "either"
    if rng.random() < 0.5 and other is not entry:
        content = with_payload(other.content, "user", 0, header(entry.content, "user"))
        content = with_header(content, "user", header(entry.content, "user"))
        other.fate = "taken"
    case.entries.insert(int(rng.integers(len(case.entries) + 1)), Entry(content, "either"))


def _replayed(case: LogCase, rng: np.random.Generator) -> None:
    """Records that the version in force has read already."""
    from cloud.uplink_log.framing import read_frames

    (old,) = case.log.glob("date=*/first.tfrecord")
    contents = list(read_frames(old.read_bytes(), final=True).contents)
    for place in rng.choice(len(contents), rng.integers(1, 4), replace=False):
        case.entries.append(Entry(contents[place], "refused"))


RECORD_ALTERATIONS: dict[str, Alteration] = {
    "sound": _nothing,
    "reordered": _reordered,
    "few": _few,
    "record: damaged": _damaged,
    "record: wild round": _wild_round,
    "record: wild version": _wild_version,
    "record: wild user": _wild_user,
    "record: wild item": _wild_item,
    "record: other items": _other_items,
    "record: no number": _no_number,
    "record: too large": _too_large,
    "record: wrong contract": _wrong_contract,
    "record: wild time": _wild_time,
    "record: repeated": _repeated,
    "record: conflicting": _conflicting,
    "record: replayed": _replayed,
}
