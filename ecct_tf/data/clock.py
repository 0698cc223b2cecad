"""What a device reads from its clock at a request: pauses, the session, hour and weekday.

Times stay on the device. From the times of the newest interactions and from now the device
computes one short vector, which its model reads beside the history; no TensorFlow, since a phone
computes it too. Hours and weekdays are those of the times as given: UTC in most data sets.
"""

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CLOCK_CONTEXT, FeatureConfig
from ecct_tf.data.split import Split

__all__ = [
    "EARLIEST",
    "SESSION_GAP",
    "clock_reading",
    "clock_readings",
    "request_readings",
    "silence",
    "tells_time",
]

EARLIEST = 365 * 86_400
"""Seconds since 1970 from which a number is a time; data without times number their rows, and 0
stands for a time that is unknown."""

SESSION_GAP = 30 * 60
"""Seconds without an interaction that end a session."""

_HOUR, _DAY, _WEEK = 3_600, 86_400, 7 * 86_400
# 1970-01-01 was a Thursday; weeks begin on Monday.
_FIRST_MONDAY = 4 * _DAY

Array = npt.NDArray[np.float32]
Times = npt.NDArray[np.int64]


def tells_time(times: Times) -> bool:
    """Whether `times`, `[n] int64`, are seconds since 1970 that differ, not row numbers."""
    return bool(len(times)) and EARLIEST <= int(times.max()) != int(times.min())


def silence(name: str, times: Times) -> str:
    """A warning that the clock of a data set is silent, since its `times` tell no time."""
    return (
        f"features.clock: the times of data set {name!r}, {times.min()} to {times.max()}, are no "
        "seconds since 1970 but numbers of rows; the clock stays silent"
    )


def clock_reading(times: Times, *, now: int, config: FeatureConfig) -> Array:
    """What a model reads of the time, `[W] float32`; `[0]` where the clock is off.

    First come `CLOCK_CONTEXT`: whether the time is known; log(1 + n), n the interactions since
    the last pause of over half an hour, of the newest L; sine and cosine of the hour and of the
    weekday. Then the hours since each of the newest L interactions, newest last; empty slots
    repeat the oldest. Everything is 0, which is a silent clock, where `now` or the time of one of
    these interactions is before `EARLIEST`, and so no time.

    Args:
      times: `[n] int64`, seconds, when the interactions of the history were, oldest first.
      now: second of the request.
      config: whether there is a clock, and L.

    Example:
      >>> config = FeatureConfig(history_length=2, last_items=2, clock=True)
      >>> noon = 3 * 365 * 86_400 + 43_200
      >>> clock_reading(np.array([noon - 7200, noon - 60]), now=noon, config=config)[-2:].tolist()
      [2.0, 0.01666666753590107]
    """
    reading = np.zeros(config.clock_width, np.float32)
    newest = np.asarray(times, np.int64)[-config.history_length :]
    if not config.clock or min(now, newest.min(initial=now)) < EARLIEST:
        return reading
    day, week = now % _DAY / _DAY, (now - _FIRST_MONDAY) % _WEEK / _WEEK
    angles = 2 * np.pi * np.array([day, week])
    context = len(CLOCK_CONTEXT)
    reading[0] = 1.0
    reading[1] = np.log1p(_session_position(newest, now))
    reading[2:context:2] = np.sin(angles)
    reading[3:context:2] = np.cos(angles)
    if len(newest):
        # A clock that was set back makes no pause negative.
        hours = np.maximum(now - newest, 0) / _HOUR
        reading[context:] = hours[0]
        reading[-len(newest) :] = hours
    return reading


def clock_readings(
    times: Times, positions: npt.NDArray[np.int64], *, config: FeatureConfig
) -> Array:
    """Readings at interactions of a history, each as of its own time: `[p, W] float32`.

    Args:
      times: `[n] int64`, seconds, of the whole history, oldest first.
      positions: `[p] int64`, where in the history the interactions are.
      config: as for `clock_reading`.
    """
    readings = np.zeros((len(positions), config.clock_width), np.float32)
    if config.clock:
        for row, position in enumerate(positions.tolist()):
            now = int(times[position])
            readings[row] = clock_reading(times[:position], now=now, config=config)
    return readings


def request_readings(
    split: Split,
    users: npt.NDArray[np.int32],
    positions: npt.NDArray[np.int64],
    *,
    config: FeatureConfig,
) -> Array:
    """Readings of evaluated requests, `[k, W] float32`.

    A request is made at the time of its held-out interaction: one time for all candidates of a
    list, which names none of them. Where nothing came after the history its time is unknown.

    Args:
      split: what happened when.
      users: `[k] int32`.
      positions: `[k] int64`, of the held-out interactions in their users' sequences.
      config: as for `clock_reading`.
    """
    readings = np.zeros((len(users), config.clock_width), np.float32)
    if config.clock:
        pairs = zip(users.tolist(), positions.tolist(), strict=True)
        for row, (user, position) in enumerate(pairs):
            times = split.times_before(user, position)
            if len(times) < len(split.touched(user)):
                now = split.time_of(user, position)
                readings[row] = clock_reading(times, now=now, config=config)
    return readings


def _session_position(newest: Times, now: int) -> int:
    """How many of the newest interactions, `[n] int64` seconds, came after the last long pause."""
    gaps = np.diff(np.append(newest, now))
    long = np.flatnonzero(gaps > SESSION_GAP)
    return len(newest) - (int(long[-1]) + 1 if len(long) else 0)
