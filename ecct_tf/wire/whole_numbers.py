"""The ranges of whole numbers on the wire, checked alike on writing and on reading.

NumPy and `struct` differ in what they do with a number that its field cannot hold: one wraps
it, the other raises an error of its own. Here both refuse it.
"""

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError
from ecct_tf.plain_text import shown

__all__ = ["LARGEST_INT32", "LARGEST_UINT32", "check_array", "check_whole"]

LARGEST_INT32 = 2**31 - 1
LARGEST_UINT32 = 2**32 - 1


def check_whole(
    value: Any,
    name: str,
    *,
    what: str,
    least: int = 0,
    most: int = LARGEST_INT32,
    way_out: str = "",
) -> None:
    """Refuses what is no whole number in `[least, most]`.

    Args:
      value: of the field.
      name: of the field.
      what: it is a field of, for the message.
      least: the smallest value that is allowed.
      most: the largest value that is allowed; that of an int32 by default.
      way_out: what to do, for the message of a reader.

    Raises:
      CodecError: for any other number, for a float and for a boolean.

    >>> check_whole(7, "round_number", what="downlinks")
    >>> check_whole(2**31, "round_number", what="downlinks")
    Traceback (most recent call last):
    ecct_tf.errors.CodecError: downlinks: expected a round_number in 0..2147483647, got 2147483648
    """
    try:
        fits = not isinstance(value, bool) and least <= operator.index(value) <= most
    except TypeError:
        fits = False
    if not fits:
        end = f"; {way_out}" if way_out else ""
        raise CodecError(f"{what}: expected a {name} in {least}..{most}, got {shown(value)}{end}")


def check_array(
    values: npt.NDArray[Any],
    name: str,
    *,
    what: str,
    least: int = 0,
    most: int = LARGEST_INT32,
    way_out: str = "",
) -> None:
    """Refuses an array that is not of whole numbers in `[least, most]`; see `check_whole`."""
    if not np.issubdtype(values.dtype, np.integer):
        raise CodecError(f"{what}: expected whole numbers as {name}, got {values.dtype}")
    if not values.size:
        return
    for extreme in (int(values.min()), int(values.max())):
        check_whole(extreme, name, what=what, least=least, most=most, way_out=way_out)
