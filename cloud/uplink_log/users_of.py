"""Whose a record is, also where it is damaged."""

import struct
from collections.abc import Collection

from ecct_tf.wire.record import HEADER, MAGIC

__all__ = ["is_of"]

_USER = struct.Struct("<i")
# A record names its user twice, and what is forged may name two.
_PLACES = (24, HEADER.itemsize)


def is_of(content: bytes, users: Collection[int]) -> bool:
    """Whether a record, or bytes with one in them, are of one of `users`, damaged or not.

    >>> is_of(b"ECUP" + bytes(20) + (7).to_bytes(4, "little"), {7})
    True
    """
    start = content.find(MAGIC)
    while start >= 0:
        for place in (start + offset for offset in _PLACES):
            whole = place + _USER.size <= len(content)
            if whole and _USER.unpack_from(content, place)[0] in users:
                return True
        start = content.find(MAGIC, start + 1)
    return False
