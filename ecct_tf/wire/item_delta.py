"""The difference between two item table files: what a device fetches that has the older one.

All numbers are little-endian:

| offset | type | field |
|---|---|---|
| 0 | 4 bytes | `ECID` |
| 4 | uint16 | format, 1 |
| 6 | uint16 | 0 |
| 8 | 32 bytes | SHA-256 of the table to start from: its file's last 32 bytes |
| 40 | 32 bytes | SHA-256 of the table that comes out |
| 72 | uint32 | h, bytes of the new head |
| 76 | uint32 | bytes of one row |
| 80 | uint32 | number of rows of the new table |
| 84 | uint32 | m, rows that follow: changed ones and new ones |
| 88 | h bytes | the new head, which takes the place of the old one |
| 88 + h | m uint32 | their indices, ascending |
| 88 + h + 4 m | m rows | their bytes |
| end - 32 | 32 bytes | SHA-256 of all before it |

The new table is the new head, then the old rows cut or grown to the new number, with these
rows written over them, then the SHA-256 of both, which must be the one announced.
"""

import struct

import numpy as np

from ecct_tf.errors import CodecError
from ecct_tf.wire.item_table import ItemTableFile
from ecct_tf.wire.sealed import DIGEST_BYTES, digest_of, seal, unseal

__all__ = ["apply_item_delta", "delta_rows", "item_delta"]

_MAGIC, _FORMAT = b"ECID", 1
_HEAD = struct.Struct(f"<4sHH{DIGEST_BYTES}s{DIGEST_BYTES}sIIII")


def item_delta(old: bytes, new: bytes) -> bytes | None:
    """What to fetch to make `new` of `old`; None when their rows are laid out differently.

    Args:
      old: an item table file.
      new: another.

    Raises:
      CodecError: when one of them is damaged.
    """
    before, after = ItemTableFile.from_bytes(old), ItemTableFile.from_bytes(new)
    layouts = [(file.codec, [each.layout for each in file.sections]) for file in (before, after)]
    if layouts[0] != layouts[1]:
        return None
    width = after.rows.dtype.itemsize
    old_rows = np.frombuffer(before.rows.tobytes(), np.uint8).reshape(-1, width)
    new_rows = np.frombuffer(after.rows.tobytes(), np.uint8).reshape(-1, width)
    shared = min(len(old_rows), len(new_rows))
    changed = np.flatnonzero((old_rows[:shared] != new_rows[:shared]).any(axis=1))
    indices = np.concatenate([changed, np.arange(shared, len(new_rows))]).astype("<u4")
    head = after.head()
    return seal(
        _HEAD.pack(
            _MAGIC,
            _FORMAT,
            0,
            old[-DIGEST_BYTES:],
            new[-DIGEST_BYTES:],
            len(head),
            width,
            len(new_rows),
            len(indices),
        )
        + head
        + indices.tobytes()
        + new_rows[indices].tobytes()
    )


def delta_rows(delta: bytes) -> int:
    """How many rows a delta brings.

    Raises:
      CodecError: when it is damaged.
    """
    return int(_HEAD.unpack_from(_opened(delta))[-1])


def apply_item_delta(old: bytes, delta: bytes) -> bytes:
    """The new item table file, byte for byte.

    Args:
      old: the file that the device has.
      delta: what it fetched.

    Raises:
      CodecError: when the delta is damaged, starts from another table, or does not lead to
        the table that it announces.
    """
    body = _opened(delta)
    _, _, unused, base, target, head_bytes, width, count, changed = _HEAD.unpack_from(body)
    if unused:
        raise CodecError(
            f"item table delta: expected zeros where nothing is told yet, got {unused}; a later "
            "version of ECCT-TF wrote it"
        )
    if old[-DIGEST_BYTES:] != base:
        raise CodecError(
            f"item table delta: it starts from table {base.hex()[:16]}…, this is "
            f"{digest_of(old)[:16]}…; fetch the whole table"
        )
    expected = _HEAD.size + head_bytes + changed * (4 + width)
    if len(body) != expected:
        raise CodecError(f"item table delta: expected {expected} bytes, got {len(body)}")
    before = ItemTableFile.from_bytes(old)
    place = _HEAD.size + head_bytes
    indices = np.frombuffer(body, "<u4", count=changed, offset=place)
    rows = np.frombuffer(body, np.uint8, offset=place + 4 * changed).reshape(changed, width)
    # A row that the old table lacks must come along, so a count cannot exceed what there is.
    if (
        before.rows.dtype.itemsize != width
        or (indices >= count).any()
        or count > len(before.rows) + changed
    ):
        raise CodecError("item table delta: its rows do not fit the table; fetch the whole table")
    table = np.zeros((count, width), np.uint8)
    kept = np.frombuffer(before.rows.tobytes(), np.uint8).reshape(-1, width)[:count]
    table[: len(kept)] = kept
    table[indices] = rows
    made = seal(body[_HEAD.size : place] + table.tobytes())
    if made[-DIGEST_BYTES:] != target:
        raise CodecError(
            f"item table delta: the result has SHA-256 {digest_of(made)[:16]}…, announced was "
            f"{target.hex()[:16]}…; fetch the whole table"
        )
    return made


def _opened(delta: bytes) -> bytes:
    body = unseal(delta, magic=_MAGIC, format_number=_FORMAT, what="item table delta")
    if len(body) < _HEAD.size:
        raise CodecError(f"item table delta: expected a header, got {len(body)} bytes")
    return body
