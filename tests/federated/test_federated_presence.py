"""Which devices could take part: members, awake, reachable by a trace; drawn by their data."""

import numpy as np
import pytest

from ecct_tf.config import AvailabilityConfig, MembershipConfig, ParticipationConfig
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.federated import Schedule
from ecct_tf.federated.availability_trace import read_trace, trace_digest
from ecct_tf.federated.presence import Population, Presence


def _presence(devices=10, seed=0, **parts):
    return Presence.of(ParticipationConfig(**parts), num_devices=devices, seed=seed)


def test_by_default_everybody_is_there_for_good():
    assert _presence().at(0).all()
    assert _presence().at(10**6).all()


def test_devices_join_late_and_leave_for_good():
    own = MembershipConfig(late_share=0.5, late_rounds=3, leave_share=0.4, leave_rounds=2)
    there = _presence(200, membership=own)
    late, gone = there.joins > 0, there.leaves < 10**9
    assert (late.sum(), gone.sum()) == (100, 80)
    assert set(there.joins[late]) == {1, 2, 3}
    assert set((there.leaves - there.joins)[gone]) == {1, 2}
    assert (there.at(0) == ~late).all()
    # By then all have joined, and whoever leaves has left.
    assert (there.at(5) == ~gone).all()
    assert (_presence(200, membership=own, seed=1).joins != there.joins).any()


def test_a_day_has_one_stretch_for_each_device_in_its_own_time_zone():
    day = AvailabilityConfig(rounds_per_day=24, awake_share=0.25)
    there = _presence(60, availability=day)
    awake = np.stack([there.at(number) for number in range(48)])
    np.testing.assert_array_equal(awake[:24], awake[24:])
    np.testing.assert_array_equal(awake[:24].sum(axis=0), 6)
    assert len({tuple(column) for column in awake.T.tolist()}) > 12
    # One stretch: it begins once a day.
    begins = awake[1:25] & ~awake[:24]
    np.testing.assert_array_equal(begins.sum(axis=0), 1)


def _write(tmp_path, *lines, header="user,from_round,to_round"):
    path = tmp_path / "trace.csv"
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def test_a_trace_says_when_a_device_can_be_reached(tmp_path):
    path = _write(tmp_path, "ann,1,2", "bob,2,2", "ann,5,9")
    trace = read_trace(path, users={"ann", "bob", "cid"})
    config = ParticipationConfig(availability=AvailabilityConfig(trace=str(path)))
    # A device can be reached while one of its users can; who has no line never can.
    population = Population(np.ones(3, np.int64), [["ann"], ["cid", "bob"], ["cid"]])
    schedule = Schedule(config, num_devices=3, seed=0, population=population, trace=trace)
    drawn = [schedule.draw(number).participants.tolist() for number in range(6)]
    assert drawn == [[0], [0, 1], [], [], [0], [0]]
    with pytest.raises(ConfigError, match="expected the trace"):
        Schedule(config, num_devices=3, seed=0)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["dan,1,2"], r"line 2: user 'dan' is not in the data; did you mean ann\?"),
        (["ann,0,2"], r"line 2, from_round: expected a whole number from 1, got '0'"),
        (["ann,1,2", "ann,3,x"], r"line 3, to_round: expected a whole number from 1, got 'x'"),
        (["ann,4,3"], r"line 2: expected to_round from 4 on, .* got 3"),
        (["ann,4"], r"line 2: expected 3 values"),
        ([], r"expected a line for each time"),
    ],
)
def test_a_wrong_line_of_a_trace_is_named(lines, text, tmp_path):
    with pytest.raises(DataError, match=text):
        read_trace(_write(tmp_path, *lines), users={"ann"})


def test_a_file_that_is_no_trace_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected the columns user, from_round, to_round, got a"):
        read_trace(_write(tmp_path, header="a"), users={"ann"})
    for read in (lambda path: read_trace(path, users=set()), trace_digest):
        with pytest.raises(DataError, match=r"availability\.trace: cannot read"):
            read(tmp_path / "none.csv")


def test_devices_with_more_interactions_are_drawn_more_often():
    population = Population(np.array([0, 1, 1, 8]), [[]] * 4)
    config = ParticipationConfig(devices_per_round=1, sampling="interactions")
    schedule = Schedule(config, num_devices=4, seed=0, population=population)
    drawn = [int(schedule.draw(number).participants[0]) for number in range(1000)]
    shares = np.bincount(drawn, minlength=4) / 1000
    np.testing.assert_allclose(shares, [0.0, 0.1, 0.1, 0.8], atol=0.04)
    everybody = ParticipationConfig(sampling="interactions")
    schedule = Schedule(everybody, num_devices=4, seed=0, population=population)
    assert schedule.draw(0).participants.tolist() == [1, 2, 3]
    with pytest.raises(ConfigError, match="interactions of each device"):
        Schedule(everybody, num_devices=4, seed=0).draw(0)
