"""Late answers: what is under way is part of the state, arrives, and is weighed by its age."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from ecct_tf.config import RuntimeConfig, ServerConfig
from ecct_tf.errors import ConfigError
from ecct_tf.federated import build_ecct_process
from ecct_tf.federated.changes import Changes, sent_changes
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.late_arrays import (
    answer_arrays,
    change_arrays,
    stored_answers,
    stored_changes,
    stored_uplinks,
    uplink_arrays,
)
from ecct_tf.federated.server import apply_arrived
from ecct_tf.federated.under_way import Answers, SentUplinks, arriving, checked_delays
from ecct_tf.knowledge import Uplink

needs_tff = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_federated") is None, reason="TFF is not installed"
)
PLAIN = ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0)


def _server(steps=0):
    return ServerState(*(np.zeros(1, np.float32),) * 3, np.int32(steps))


def _changes(*rows):
    """Rows of (sum, weight, devices, version, arrives)."""
    sums, weights, devices, versions, arrives = map(list, zip(*rows, strict=True))
    return Changes(
        np.array(sums, np.float32)[:, None],
        np.array(weights, np.float32),
        *(np.array(part, np.int64) for part in (devices, versions, arrives)),
    )


def test_what_arrives_late_is_weighed_by_its_age():
    # Ages 0 and 3, weights 1 and 1/2: (6 + 8 / 2) / (2 + 2).
    changes = _changes((6.0, 2.0, 1, 5, 7), (8.0, 2.0, 1, 2, 7), (9.0, 1.0, 1, 5, 8))
    server, left = apply_arrived(_server(5), changes, round_number=7, config=PLAIN)
    np.testing.assert_allclose(server.shared, [2.5])
    assert server.round_number == 6
    assert left.arrives.tolist() == [8]
    even = dataclasses.replace(PLAIN, staleness_exponent=0.0)
    server, _ = apply_arrived(_server(5), changes, round_number=7, config=even)
    np.testing.assert_allclose(server.shared, [3.5])


def test_a_buffer_waits_for_its_devices_and_loses_none():
    buffered = dataclasses.replace(PLAIN, buffer=3)
    changes = _changes((2.0, 1.0, 2, 0, 0))
    server, left = apply_arrived(_server(), changes, round_number=0, config=buffered)
    assert server.round_number == 0
    assert left.devices.tolist() == [2]
    left = left.and_(_changes((4.0, 1.0, 1, 0, 1)))
    server, left = apply_arrived(server, left, round_number=1, config=buffered)
    np.testing.assert_allclose(server.shared, [3.0])
    assert len(left.devices) == 0


def test_client_values_that_arrive_together_are_one_sum():
    found = [(np.float32([1.0]), 2.0), (np.float32([3.0]), 1.0), (np.float32([5.0]), 4.0)]
    members = [np.array([0, 1]), np.array([2]), np.array([3])]
    sent = sent_changes(found, members, arrives=[6, 4, 6], version=2, size=1)
    assert sent.sums.tolist() == [[3.0], [6.0]]
    assert sent.weights.tolist() == [1.0, 6.0]
    assert (sent.devices.tolist(), sent.arrives.tolist()) == ([1, 3], [4, 6])


def _uplinks(round_number, arrives):
    rows = np.arange(len(arrives), dtype=np.int32)
    values = np.zeros((len(arrives), 1, 2), np.int8), np.ones((len(arrives), 1, 1), np.float16)
    uplink = Uplink(rows, rows[:, None], values, ())
    return SentUplinks(0, round_number, uplink, np.array(arrives, np.int64))


def test_uplinks_arrive_in_the_order_of_their_rounds():
    here, still = arriving([_uplinks(4, [4, 6]), _uplinks(2, [4, 3, 9])], round_number=4)
    assert [(each.round_number, each.uplink.users.tolist()) for each in here] == [
        (2, [0, 1]),
        (4, [0]),
    ]
    assert [(each.round_number, each.uplink.users.tolist()) for each in still] == [
        (2, [2]),
        (4, [1]),
    ]


def test_what_is_under_way_survives_as_arrays():
    answers = Answers.none().with_round(np.array([3, 5]), round_number=2, delays=np.array([0, 4]))
    changes = _changes((2.0, 1.0, 2, 0, 0))
    sent = [_uplinks(4, [5]), _uplinks(2, [9, 9])]
    arrays = answer_arrays(answers) | uplink_arrays(sent) | change_arrays(changes, "mlp")
    for got, expected in zip(stored_answers(arrays), answers, strict=True):
        np.testing.assert_array_equal(got, expected)
    for got, expected in zip(stored_changes(arrays, "mlp"), changes, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not len(stored_changes(arrays, "linear").devices)
    for got, expected in zip(stored_uplinks(arrays), sent, strict=True):
        np.testing.assert_equal(got.to_arrays(), expected.to_arrays())
    assert answer_arrays(Answers.none()) == {}


def test_delays_that_a_method_was_not_built_for_are_refused():
    answering = np.array([1, 4])
    assert checked_delays(None, answering, asynchronous=False).tolist() == [0, 0]
    with pytest.raises(ConfigError, match="a number of rounds for each of the 2 answering"):
        checked_delays(np.array([1]), answering, asynchronous=True)
    with pytest.raises(ConfigError, match=r"participation\.delay\.max_rounds"):
        checked_delays(np.array([0, 1]), answering, asynchronous=False)


class _Seeds:
    """A witness of the seeds of noise."""

    def __init__(self):
        self.seen = []

    def see(self, seen):
        self.seen.append(seen.noise_seed)

    def measured(self):
        return {}


@pytest.fixture(scope="module")
def witness():
    return _Seeds()


@pytest.fixture(scope="module")
def compose_late(experiment, dataset, cohorts, config, witness):
    """Composes a process of linear devices whose answers may be late, all in one stage."""

    def compose(engine):
        cohort = cohorts["linear"]
        return build_ecct_process(
            [(cohort.work, cohort.devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=99,
            server=dataclasses.replace(config.server, staleness_exponent=1.0),
            runtime=RuntimeConfig(shard_size=3, engine=engine),
            witness=witness,
            asynchronous=True,
            cloud_buffer=3,
        )

    return compose


@pytest.fixture(scope="module")
def late(compose_late):
    return compose_late("local")


def _run(process, cloud, rounds):
    """States after each round, and reports; rounds are of (answering, delays)."""
    states, reports = [process.initialize(1)], []
    for answering, delays in rounds:
        answering, delays = np.array(answering, np.int64), np.array(delays, np.int64)
        state, report = process.next(states[-1], cloud, answering, answering, delays)
        states.append(state)
        reports.append(report)
    return states[1:], reports


LATE = [([0, 1, 2, 3, 4], [0, 2, 0, 1, 2]), ([0], [0]), ([], []), ([1], [9])]


def test_late_uplinks_enter_the_store_with_the_round_they_came_from(late, make_cloud):
    cloud = make_cloud()
    states, reports = _run(late, cloud, LATE)
    assert [report.arrived for report in reports] == [2, 2, 2, 0]
    assert [report.under_way for report in reports] == [3, 2, 0, 1]
    assert [report.mean_age for report in reports[:3]] == [0.0, 0.5, 2.0]
    users = [int(device.users[0]) for device in late.cohorts[0].devices.devices]
    stored = [state.knowledge.rounds[users[:5]].tolist() for state in states]
    assert stored == [[0, -1, 0, -1, -1], [1, -1, 0, 0, -1], *[[1, 0, 0, 0, 0]] * 2]
    # Each as it was sent, with its round. Of the 7, the last is still under way.
    assert [[when for when, _ in report.uplinks] for report in reports] == [[0], [0, 1], [0], []]
    assert sum(len(uplink.users) for report in reports for _, uplink in report.uplinks) == 6
    assert sum(len(each.arrives) for each in states[-1].uplinks) == 1
    assert len(states[-1].answers.devices) == 1
    # The cloud learns when 3 have arrived, and the next 3 are not enough until they are there.
    assert [number for number, _, _ in cloud.updates] == [1]
    assert [state.unlearned for state in states] == [2, 0, 2, 2]


def test_without_lateness_collected_changes_make_the_same_step(late, compose, make_cloud, runtime):
    del runtime
    everybody = [(np.arange(late.num_devices), np.zeros(late.num_devices))]
    (here,), (report,) = _run(late, make_cloud(), everybody)
    (there,), (expected,) = _run(compose(("linear",)), make_cloud(), everybody)
    np.testing.assert_allclose(
        here.cohorts[0].server.shared, there.cohorts[0].server.shared, atol=1e-6
    )
    np.testing.assert_array_equal(here.knowledge.rounds, there.knowledge.rounds)
    assert report == dataclasses.replace(expected, train_loss=report.train_loss)


def test_late_changes_move_shared_weights_when_they_arrive(late, make_cloud):
    begun = late.initialize(1).cohorts[0].server.shared
    states, _ = _run(late, make_cloud(), [([0, 1], [0, 2]), ([2], [0]), ([], [])])
    first, second, third = (state.cohorts[0] for state in states)
    kept = first.changes
    assert (kept.devices.tolist(), kept.versions.tolist()) == ([1], [0])
    assert (first.server.shared != begun).any()
    # Age 2: two steps were taken since the device began.
    moved = third.server.shared - second.server.shared
    np.testing.assert_allclose(moved, kept.sums[0] / kept.weights[0] / 3.0, atol=1e-6)
    assert third.server.round_number == 3
    # Its private weights changed when it trained, not when its answer arrived.
    np.testing.assert_array_equal(first.private[1], third.private[1])


def test_noise_is_drawn_anew_while_the_server_waits(late, make_cloud, witness):
    witness.seen.clear()
    states, _ = _run(late, make_cloud(), [([0], [5]), ([1], [5])])
    assert states[-1].cohorts[0].server.round_number == 0
    assert witness.seen == [0, 1]


@needs_tff
def test_both_engines_agree_on_late_answers(late, compose_late, make_cloud, runtime):
    del runtime
    (states, reports), (others, repeated) = (
        _run(process, make_cloud(), LATE) for process in (late, compose_late("tff"))
    )
    here, there = states[-1].cohorts[0], others[-1].cohorts[0]
    np.testing.assert_allclose(here.server.shared, there.server.shared, atol=1e-6)
    np.testing.assert_allclose(here.private, there.private, atol=1e-6)
    np.testing.assert_allclose(here.changes.sums, there.changes.sums, atol=1e-6)
    np.testing.assert_array_equal(states[-1].knowledge.rounds, others[-1].knowledge.rounds)
    for report, other in zip(reports, repeated, strict=True):
        assert other == dataclasses.replace(report, train_loss=other.train_loss)
