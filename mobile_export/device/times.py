"""Times that a device is given: of interactions, and of a request. Whole seconds since 1970, UTC.

A time that nobody knows is 0: before `ecct_tf.data.clock.EARLIEST`, as that of a phone whose clock
was never set. It silences the reading of the clock. A time that cannot be is refused instead.
"""

import math
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ecct_tf.data.clock import EARLIEST
from ecct_tf.errors import DeviceError
from ecct_tf.plain_text import shown

__all__ = [
    "LATEST_SECOND",
    "UNKNOWN_TIME",
    "InteractionTimes",
    "interaction_times",
    "latest_time",
    "whole_seconds",
]

UNKNOWN_TIME = 0

InteractionTimes: TypeAlias = Iterable[float | None] | npt.NDArray[np.int64] | None
"""When interactions were, seconds since 1970: one for each, None for one that is unknown or for
all of them."""

LATEST_SECOND = 2**53 - 1
"""The last second that devices in every language keep exactly."""

_DAY = 86_400
_WAY_OUT = "give whole seconds since 1970, or None where the time is unknown"


def interaction_times(
    times: InteractionTimes, *, count: int, latest: float = math.inf
) -> npt.NDArray[np.int64]:
    """`times` as `[count] int64`, 0 where they are unknown.

    Args:
      times: of the interactions, oldest first.
      count: of the interactions.
      latest: second after which no interaction can have been.

    Raises:
      DeviceError: there is not one for each, or one is no number, negative or later than `latest`.

    Example:
      >>> interaction_times([1_790_000_000.7, None], count=2).tolist()
      [1790000000, 0]
    """
    if times is None:
        return np.full(count, UNKNOWN_TIME, np.int64)
    listed = isinstance(times, Iterable) and not isinstance(times, str | bytes)
    if not listed or (isinstance(times, np.ndarray) and times.ndim != 1):
        raise DeviceError(
            f"times: expected a list of {count}, one for each interaction, got {times!r}; "
            f"{_WAY_OUT}"
        )
    given = times if isinstance(times, np.ndarray) else list(times)
    if len(given) != count:
        raise DeviceError(
            f"times: expected one for each of {count} interactions, got {len(given)}; {_WAY_OUT}"
        )
    if isinstance(given, np.ndarray) and given.dtype == np.int64:  # As a state keeps them.
        possible = not count or 0 <= given.min() <= given.max() <= min(latest, LATEST_SECOND)
        if possible:
            return given
    found = [
        UNKNOWN_TIME
        if time is None
        else whole_seconds(time, what=f"times: interaction {place}", latest=latest)
        for place, time in enumerate(given)
    ]
    return np.array(found, np.int64)


def whole_seconds(time: float, *, what: str, latest: float = math.inf) -> int:
    """A time as whole seconds since 1970.

    Args:
      time: seconds since 1970, perhaps with a fraction.
      what: it is, for messages.
      latest: after which it is refused.

    Raises:
      DeviceError: it is no number, not finite, negative or later than `latest`.
    """
    try:
        finite = math.isfinite(time)
    except TypeError as error:
        raise DeviceError(f"{what}: expected a time, got {shown(time)}; {_WAY_OUT}") from error
    except OverflowError:
        # Of a whole number that is larger than any float.
        finite = True
    if isinstance(time, bool | np.bool_):
        raise DeviceError(f"{what}: expected a time, got {shown(time)}; {_WAY_OUT}")
    if not finite or time < 0:
        raise DeviceError(f"{what}: expected seconds from 0, got {time}; {_WAY_OUT}")
    if time > min(latest, LATEST_SECOND):
        last = (
            f"{latest:.0f}, a day from now by this device's clock"
            if latest < LATEST_SECOND
            else f"{LATEST_SECOND}, the last that every device keeps exactly"
        )
        raise DeviceError(
            f"{what}: expected a time up to {last}, got {time}; are these milliseconds? Otherwise "
            f"{_WAY_OUT}"
        )
    return int(time)


def latest_time(now: float) -> float:
    """The last second that a device whose own clock says `now` takes for a time that can be.

    A day more, for clocks that are off or were set in another zone; anything where its own clock
    was never set.
    """
    return now + _DAY if now >= EARLIEST else math.inf
