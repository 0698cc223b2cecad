"""Readings of a device's clock, computed by hand."""

import math

import numpy as np
import pytest

from ecct_tf.config import CLOCK_CONTEXT, FeatureConfig
from ecct_tf.data import device_view, leave_one_out
from ecct_tf.data.clock import (
    EARLIEST,
    clock_reading,
    clock_readings,
    request_readings,
    tells_time,
)

CONFIG = FeatureConfig(history_length=4, last_items=2, clock=True)
OFF = FeatureConfig(history_length=4, last_items=2, clock=False)
# Wednesday, 2024-05-15, 18:00 UTC.
NOW = 1_715_796_000
HOUR = 3600


def read(*ago, now=NOW):
    """The reading of a device whose interactions were so many seconds ago, newest last."""
    times = np.array([NOW - one for one in ago], np.int64)
    reading = clock_reading(times, now=now, config=CONFIG)
    context = dict(zip(CLOCK_CONTEXT, reading.tolist(), strict=False))
    return context, reading[len(CLOCK_CONTEXT) :].tolist()


def test_pauses_are_hours_by_slot():
    _, pauses = read(9 * HOUR, 3 * HOUR, HOUR, 1800, 36)
    # The oldest of five is beyond the four slots.
    assert pauses == pytest.approx([3, 1, 0.5, 0.01])


def test_empty_slots_repeat_the_oldest_pause():
    assert read(2 * HOUR, HOUR)[1] == [2, 2, 2, 1]
    assert read()[1] == [0, 0, 0, 0]


def test_a_clock_that_was_set_back_makes_no_negative_pause():
    assert read(HOUR, -HOUR)[1] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("ago", "in_session"),
    [
        ((), 0),
        # Half an hour and a second is a long pause, half an hour is none.
        ((1801,), 0),
        ((1800,), 1),
        ((7200, 60, 30), 2),
        ((7200, 7100, 3600, 3500), 0),
        ((50, 40, 30, 20, 10), 4),
    ],
)
def test_the_session_position_counts_since_the_last_long_pause(ago, in_session):
    assert read(*ago)[0]["session"] == pytest.approx(math.log(1 + in_session))


def test_hour_and_weekday():
    context, _ = read(60)
    # 18:00 is three quarters of a day; Wednesday, 18:00 is 2.75 days of the week.
    week = 2 * math.pi * 2.75 / 7
    expected = {
        "hour_sin": -1, "hour_cos": 0,
        "weekday_sin": math.sin(week), "weekday_cos": math.cos(week),
    }  # fmt: skip
    assert {name: context[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    # Monday, 00:00.
    monday = NOW - 18 * HOUR - 2 * 24 * HOUR
    start, _ = read(now=monday)
    assert [start[name] for name in expected] == pytest.approx([0, 1, 0, 1], abs=1e-6)


def test_row_numbers_are_no_times_and_say_nothing():
    numbers = np.arange(5)
    assert not clock_reading(numbers[:4], now=4, config=CONFIG).any()
    assert not tells_time(numbers)
    assert not tells_time(np.full(3, NOW))
    assert not tells_time(np.array([], np.int64))
    assert tells_time(np.array([EARLIEST - 1, EARLIEST]))


def test_positions_and_requests_are_read_at_their_own_times(make_plain):
    times = [NOW - 5 * HOUR, NOW - HOUR, NOW - 60, NOW, NOW + 40]
    rows = [(0, item, time) for item, time in enumerate(times, start=1)]
    dataset = make_plain(rows, num_users=1, num_items=9)
    split = leave_one_out(dataset)
    view = device_view(dataset, split, 0)
    assert view.times.tolist() == times[:3]
    found = clock_readings(view.times, np.array([1, 2]), config=CONFIG)
    np.testing.assert_allclose(found[:, -1], [4, 59 / 60], rtol=1e-6)
    asked = request_readings(split, np.array([0, 0]), np.array([3, 4]), config=CONFIG)
    np.testing.assert_allclose(asked[:, -1], [60 / 3600, 40 / 3600], rtol=1e-6)
    np.testing.assert_allclose(asked[1, -2:], [100 / 3600, 40 / 3600], rtol=1e-6)
    # A request after all that there is has no time, so that its clock is silent.
    assert not request_readings(split, np.array([0]), np.array([5]), config=CONFIG).any()


@pytest.mark.parametrize("unknown", [0, EARLIEST - 1])
def test_a_time_that_is_unknown_silences_while_it_is_among_the_newest(unknown):
    times = np.array([unknown, NOW - 50, NOW - 40, NOW - 30])
    assert not clock_reading(times, now=NOW, config=CONFIG).any()
    later = np.append(times, NOW - 20)
    assert clock_reading(later, now=NOW, config=CONFIG)[0] == 1.0
    assert not clock_reading(later, now=unknown, config=CONFIG).any()


def test_without_a_clock_readings_are_empty(make_plain):
    rows = [(0, item, NOW + item) for item in range(1, 5)]
    split = leave_one_out(make_plain(rows, num_users=1, num_items=9))
    assert OFF.clock_width == 0
    assert clock_reading(np.array([NOW]), now=NOW, config=OFF).shape == (0,)
    assert clock_readings(np.array([NOW, NOW]), np.array([1]), config=OFF).shape == (1, 0)
    assert request_readings(split, np.array([0]), np.array([3]), config=OFF).shape == (1, 0)
