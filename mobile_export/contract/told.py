"""What JSON that somebody else wrote must be, before anything is made of it.

Nothing is turned into what it is not: `"3"`, `2.5` and `true` are no whole numbers, a string is no
list of letters. Kotlin and the browser read alike.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["entries", "flag", "listed", "members", "whole", "word"]

_LARGEST = 2**31 - 1


def word(value: Any, *, what: str = "") -> str:
    """`value`, a string; `what` it is, for the message.

    Raises:
      ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError(f"{what}: expected a string, got {value!r}".removeprefix(": "))
    return value


def whole(value: Any, *, most: int = _LARGEST) -> int:
    """`value`, a whole number in `0..most`.

    Raises:
      ValueError: it is none.

    >>> whole(3)
    3
    >>> whole(2.5)
    Traceback (most recent call last):
    ValueError: expected a whole number that is not negative, got 2.5
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"expected a whole number that is not negative, got {value!r}")
    return value


def flag(value: Any) -> bool:
    """`value`, true or false.

    Raises:
      ValueError: it is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def listed(value: Any) -> list[Any]:
    """`value`, a list.

    Raises:
      ValueError: it is none.
    """
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {value!r}")
    return value


def entries(value: Any, count: int) -> list[Any]:
    """`value`, a list of `count` entries.

    Raises:
      ValueError: it is none.
    """
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f"expected {count} entries, got {value!r}")
    return value


def members(value: Any) -> Mapping[str, Any]:
    """`value`, an object.

    Raises:
      ValueError: it is none.
    """
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {value!r}")
    return value
