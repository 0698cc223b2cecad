"""Conditional and partial requests, as RFC 9110 has them: pure functions over header texts."""

import re

__all__ = ["UnsatisfiableRangeError", "matches", "requested_range"]

# No file is as long as a number of more digits, which Python may refuse to read.
_ONE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class UnsatisfiableRangeError(ValueError):
    """The range begins behind the end."""


def matches(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names the entity tag.

    >>> matches('"a", W/"b"', '"b"'), matches("*", '"b"'), matches(None, '"b"')
    (True, True, False)
    """
    if header is None:
        return False
    named = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in named or etag in named


def requested_range(
    header: str | None, *, if_range: str | None, etag: str, size: int
) -> tuple[int, int] | None:
    """The part that is asked for, as `[start, stop)`; None for the whole.

    A header that is no single range of bytes is passed over, and so is one whose `If-Range` names
    another entity tag: the whole is the right answer to both.

    Args:
      header: `Range`.
      if_range: `If-Range`.
      etag: of what there is.
      size: of what there is, in bytes.

    Raises:
      UnsatisfiableRangeError: it begins behind the end.

    >>> requested_range("bytes=5-", if_range=None, etag='"a"', size=9)
    (5, 9)
    >>> requested_range("bytes=-2", if_range=None, etag='"a"', size=9)
    (7, 9)
    >>> requested_range("bytes=0-3", if_range='"b"', etag='"a"', size=9)
    >>> requested_range(f"bytes={'9' * 5000}-", if_range=None, etag='"a"', size=9)
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    found = _ONE.fullmatch(header.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        last = int(found[2])
        if not last or not size:
            raise UnsatisfiableRangeError(header)
        return max(0, size - last), size
    start = int(found[1])
    stop = min(size, int(found[2]) + 1) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    if start >= size:
        raise UnsatisfiableRangeError(header)
    return start, stop
