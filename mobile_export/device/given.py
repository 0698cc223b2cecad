"""What a device is given, checked before it is kept: nothing that wraps, nothing that is NaN.

A state that holds such a number could not be read again, or would score as another item.
"""

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DeviceError
from ecct_tf.plain_text import shown

__all__ = ["LARGEST", "finite_number", "finite_values", "item_rows", "kept", "whole_number"]

LARGEST = 2**31 - 1


def whole_number(value: Any, *, what: str, least: int = 0, most: int = LARGEST) -> int:
    """`value` as an int.

    Args:
      value: given.
      what: it is, for the message.
      least: the smallest value that is allowed.
      most: the largest one, by default that of an int32.

    Raises:
      DeviceError: for a number outside, a float, a boolean, and what is no number.

    >>> whole_number(np.int64(7), what="user")
    7
    """
    try:
        found = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        found = None
    if found is None or not least <= found <= most:
        raise DeviceError(f"{what}: expected a whole number in {least}..{most}, got {shown(value)}")
    return found


def finite_number(value: Any, *, what: str, most: float) -> float:
    """`value` as a float in `0..most`.

    Raises:
      DeviceError: for a number outside, NaN, and what is no number.
    """
    try:
        found = math.nan if isinstance(value, bool | np.bool_ | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0.0 <= found <= most:  # NaN is nowhere.
        raise DeviceError(f"{what}: expected a number in 0..{most:g}, got {shown(value)}")
    return found


def finite_values(values: npt.ArrayLike, *, what: str) -> npt.NDArray[np.float32]:
    """`values` as float32.

    Raises:
      DeviceError: when one is no number, NaN, infinite, or too large for float32.
    """
    try:
        with np.errstate(over="ignore"):
            found = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise DeviceError(f"{what}: expected numbers, got {values!r}") from error
    if not np.isfinite(found).all():
        wrong = np.argwhere(~np.isfinite(found))[0].tolist()
        raise DeviceError(
            f"{what}: expected finite numbers, got {found[tuple(wrong)]} at {wrong}; fetch them "
            "again"
        )
    return found


def item_rows(values: npt.ArrayLike, *, what: str) -> npt.NDArray[np.int32]:
    """Row numbers of items or profile values, `[n] int32`, which nobody can change.

    Raises:
      DeviceError: when they are no list of whole numbers in `0..LARGEST`.

    >>> item_rows([3, 1], what="history").tolist()
    [3, 1]
    """
    array = np.asarray(values)
    if array.ndim != 1 or not (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
        raise DeviceError(
            f"{what}: expected a list of whole numbers, got {array.dtype} {array.shape}"
        )
    if array.size and not 0 <= array.min() <= array.max() <= LARGEST:
        raise DeviceError(
            f"{what}: expected row numbers in 0..{LARGEST}, got {array.min()}..{array.max()}"
        )
    return kept(array, np.int32)


def kept(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A copy that nobody can change."""
    array = np.array(values, dtype)
    array.setflags(write=False)
    return array
