"""The header of a state file and the arrays behind it, checked before a state is made of them.

The header lists the arrays in the order in which they lie, each with its dtype and length. A later
release may add arrays of its own behind those known here; they are passed over, but their bytes
count: a header that promises more or less than there is, is refused.
"""

import json
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mobile_export.contract.told import entries, members, whole

__all__ = ["BYTES", "EMBEDDINGS", "ITEMS", "TIMES", "VALUES", "pack_state", "read_state_body"]

ITEMS, TIMES, VALUES, BYTES = "<i4", "<i8", "<f4", "|u1"
EMBEDDINGS = {"int8": "|i1", "float16": "<f2", "float32": "<f4"}

_PREFIX = struct.Struct("<4sHHI")
# In the order in which they lie.
_DTYPES = {
    "profile": (ITEMS,),
    "history": (ITEMS,),
    "times": (TIMES,),
    "values": (VALUES,),
    "user_embedding": tuple(EMBEDDINGS.values()),
    "queries": (ITEMS,),
    "start": (VALUES,),
    "context": (ITEMS,),
    "labels": (BYTES,),
    "row_items": (ITEMS,),
    "row_chosen": (BYTES,),
    "rows": (BYTES,),
}
_UNKNOWN = re.compile(r"[<|][a-z]([1-8])")

Arrays = Mapping[str, npt.NDArray[Any]]


def pack_state(
    header: Mapping[str, Any], arrays: Arrays, *, magic: bytes, format_number: int
) -> bytes:
    """What `read_state_body` reads.

    Args:
      header: as values of JSON, without `arrays`.
      arrays: each of one axis, in the order in which they are to lie.
      magic: first bytes of the file.
      format_number: of the file.
    """
    told = {name: [part.dtype.str, len(part)] for name, part in arrays.items()}
    text = json.dumps({**header, "arrays": told}, separators=(",", ":")).encode()
    prefix = _PREFIX.pack(magic, format_number, 0, len(text))
    return b"".join([prefix, text, *(part.tobytes() for part in arrays.values())])


def read_state_body(body: bytes) -> tuple[Mapping[str, Any], Arrays]:
    """The header and the arrays of a state whose checksum fits.

    Args:
      body: all before the checksum.

    Raises:
      ValueError, KeyError, struct.error: it is not laid out as it says.
    """
    _, _, reserved, length = _PREFIX.unpack_from(body)
    if reserved:
        raise ValueError(
            f"expected zeros where nothing is told yet, got {reserved}; a later version of ECCT-TF "
            "wrote it"
        )
    place = _PREFIX.size + length
    if place > len(body):
        raise ValueError(f"expected {length} bytes of header, got {len(body) - _PREFIX.size}")
    try:
        header = members(json.loads(body[_PREFIX.size : place].decode("utf-8")))
    except RecursionError as error:
        raise ValueError("expected a header of few levels, got one too deep to read") from error
    forms = members(header["arrays"])
    known = [name for name in _DTYPES if name in forms]
    if list(forms)[: len(known)] != known:
        raise ValueError(f"arrays: expected {', '.join(known)} first, got {', '.join(forms)}")
    arrays, sizes = {}, 0
    for name, form in forms.items():
        dtype, count, size = _form(name, form)
        sizes += size
        if name in _DTYPES and place + sizes <= len(body):
            arrays[name] = np.frombuffer(body, dtype, count=count, offset=place + sizes - size)
    if place + sizes != len(body):
        raise ValueError(
            f"expected {sizes} bytes of arrays, as the header says, got {len(body) - place}"
        )
    return header, arrays


def _form(name: str, form: Any) -> tuple[str, int, int]:
    """Dtype, length and bytes of an array."""
    dtype, given = entries(form, 2)
    expected = _DTYPES.get(name)
    told = _UNKNOWN.fullmatch(dtype) if isinstance(dtype, str) else None
    if told is None or (expected is not None and dtype not in expected):
        raise ValueError(
            f"{name}: expected {' or '.join(expected or ('a dtype',))} and a count, got {dtype!r} "
            f"and {given!r}"
        )
    try:
        count = whole(given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return dtype, count, count * int(told[1])
