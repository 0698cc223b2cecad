"""What a device reads from its clock at a request: pauses, the session, hour and weekday.

Times stay on the device. From the times of the newest interactions and from now the device
computes one short vector, which its model reads beside the history; no TensorFlow, since a phone
computes it too. Hours and weekdays are those of the times as given: UTC in most data sets.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CLOCK_CONTEXT, FeatureConfig
from ecct_tf.data.context import context_codes
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


def clock_reading(times: Times, *, now: int, config: FeatureConfig, context: Any = None) -> Array:
    """What a model reads of a moment, `[W] float32`; `[0]` without clock and context.

    First come `CLOCK_CONTEXT`: whether the time is known; log(1 + n), n the interactions since
    the last pause of over half an hour, of the newest L; sine and cosine of the hour and of the
    weekday. Then the hours since each of the newest L interactions, newest last; empty slots
    repeat the oldest. Everything is 0, which is a silent clock, where `now` or the time of one of
    these interactions is before `EARLIEST`, and so no time. Behind the time comes a code of each
    context column, 0 where it is unknown.

    Args:
      times: `[n] int64`, seconds, when the interactions of the history were, oldest first.
      now: second of the request.
      config: whether there is a clock, L, and the context columns.
      context: `[C]` codes of the moment; None is unknown.

    Example:
      >>> config = FeatureConfig(history_length=2, last_items=2, clock=True)
      >>> noon = 3 * 365 * 86_400 + 43_200
      >>> clock_reading(np.array([noon - 7200, noon - 60]), now=noon, config=config)[-2:].tolist()
      [2.0, 0.01666666753590107]
    """
    until_now = np.append(np.asarray(times, np.int64), now)
    timed = _timed(until_now, np.array([len(times)]), config=config)
    return np.concatenate([timed, context_codes(context, rows=1, features=config)], axis=1)[0]


def clock_readings(
    times: Times, positions: npt.NDArray[np.int64], *, config: FeatureConfig, context: Any = None
) -> Array:
    """Readings at interactions of a history, each as of its own time: `[p, W] float32`.

    Args:
      times: `[n] int64`, seconds, of the whole history, oldest first.
      positions: `[p] int64`, where in the history the interactions are.
      config: as for `clock_reading`.
      context: `[n, C]` codes of the whole history; None is unknown.
    """
    own = None if context is None else np.asarray(context)[positions]
    codes = context_codes(own, rows=len(positions), features=config)
    return np.concatenate([_timed(times, positions, config=config), codes], axis=1)


def _timed(times: Times, positions: npt.NDArray[np.int64], *, config: FeatureConfig) -> Array:
    """What readings tell of the time."""
    if not config.clock or not len(positions):
        return np.zeros((len(positions), config.time_width), np.float32)
    windows = _windows(times, positions, config.history_length)
    return _read(windows, positions, now=times[positions], config=config)


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
    if not config.clock_width:
        return np.zeros((len(users), 0), np.float32)
    # 0 is no time, and so a silent clock.
    windows = np.zeros((len(users), config.history_length), np.int64)
    now = np.zeros(len(users), np.int64)
    for user, position in zip(users.tolist(), positions.tolist(), strict=True):
        split.before(user, position)  # Refuses what is beyond the user's interactions.
    first, at = split.offsets[users], split.offsets[users] + positions
    known = at < split.offsets[users + 1]
    slots = np.maximum(at[:, None] + np.arange(-config.history_length, 0), first[:, None])
    now[known], windows[known] = split.timestamps[at[known]], split.timestamps[slots[known]]
    codes = np.zeros((len(users), len(config.context)), np.float32)
    if split.context.shape[1]:
        codes[known] = split.context[at[known], : codes.shape[1]]
    if not config.clock:
        return codes
    return np.concatenate([_read(windows, positions, now=now, config=config), codes], axis=1)


def _windows(times: Times, positions: npt.NDArray[np.int64], length: int) -> Times:
    """The newest times before each position, `[p, L] int64`, oldest first.

    Slots before the history repeat its oldest time; of the first position, that is its own.
    """
    padded = np.concatenate([np.full(length, times[0], np.int64), times])
    windows: Times = np.lib.stride_tricks.sliding_window_view(padded, length)[positions]
    return windows


def _read(
    windows: Times, positions: npt.NDArray[np.int64], *, now: Times, config: FeatureConfig
) -> Array:
    """Readings `[p, W] float32` of `windows` `[p, L]`, at the seconds `now`, `[p] int64`."""
    readings = np.zeros((len(windows), config.time_width), np.float32)
    day, week = now % _DAY / _DAY, (now - _FIRST_MONDAY) % _WEEK / _WEEK
    angles = 2 * np.pi * np.stack([day, week], axis=1)
    context = len(CLOCK_CONTEXT)
    readings[:, 0] = 1.0
    readings[:, 1] = np.log1p(_session_positions(windows, positions, now))
    readings[:, 2:context:2] = np.sin(angles)
    readings[:, 3:context:2] = np.cos(angles)
    # A clock that was set back makes no pause negative.
    readings[:, context:] = np.maximum(now[:, None] - windows, 0) / _HOUR
    readings[np.minimum(now, windows.min(axis=1)) < EARLIEST] = 0.0
    return readings


def _session_positions(windows: Times, positions: npt.NDArray[np.int64], now: Times) -> Times:
    """How many interactions in each of `windows` `[p, L]` came after its last long pause: `[p]`."""
    gaps = np.diff(np.concatenate([windows, now[:, None]], axis=1), axis=1)
    long = gaps[:, ::-1] > SESSION_GAP
    # What only fills a window makes no gaps, and is no interaction either.
    return np.where(long.any(axis=1), long.argmax(axis=1), np.minimum(positions, gaps.shape[1]))
