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
from ecct_tf.errors import DataError

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


def test_readings_of_a_whole_history_are_those_read_one_by_one():
    """Bit for bit: pauses short and long, two times alike, one set back, one unknown."""
    ago = [9 * HOUR, 8 * HOUR, 8 * HOUR, 60, 3600, 50, 40, 30, 20, 10]
    times = np.array([7, *(NOW - one for one in ago)], np.int64)
    positions = np.array([0, 10, 1, 4, 5, 6, 8])
    found = clock_readings(times, positions, config=CONFIG)
    alone = [
        clock_reading(times[:position], now=int(times[position]), config=CONFIG)
        for position in positions
    ]
    assert found.tobytes() == np.stack(alone).tobytes()
    assert found[:, 0].tolist() == [0, 1, 0, 0, 1, 1, 1]
    # A clock that is set back ends no session, its leap forward does.
    in_session = np.round(np.expm1(found[found[:, 0] == 1, 1])).tolist()
    assert in_session == [4, 1, 0, 2]


def test_requests_beyond_a_history_are_refused(make_plain):
    rows = [(user, item, NOW + item) for user in (0, 1) for item in range(1, 5)]
    split = leave_one_out(make_plain(rows, num_users=2, num_items=9))
    with pytest.raises(DataError, match=r"position must be in 0\.\.4 for user 0, received 5"):
        request_readings(split, np.array([1, 0]), np.array([4, 5]), config=CONFIG)
    empty = request_readings(split, np.array([], np.int32), np.array([], np.int64), config=CONFIG)
    assert empty.shape == (0, CONFIG.clock_width)


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
