"""Shared weights that cross in every n-th round: what waits on devices, what crosses, its bytes."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from ecct_tf.config import EdgeConfig, RunConfig, RuntimeConfig, ServerConfig
from ecct_tf.errors import ConfigError
from ecct_tf.federated import build_ecct_process
from ecct_tf.federated.sharing import ShareSchedule
from ecct_tf.knowledge import build_codec
from ecct_tf.simulation.edge_state import edge_arrays, edge_state

needs_tff = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_federated") is None, reason="TFF is not installed"
)
RATE = 0.1


@pytest.fixture(scope="module")
def sharing(experiment, dataset, cohorts, config):
    """Composes a process of linear devices that all learn at one rate."""
    cohort = cohorts["linear"]
    training = dataclasses.replace(
        cohort.work.training, learning_rate=RATE, private_learning_rate=RATE
    )

    def compose(every, *, shared="backbone", shard_size=3, engine="local", **options):
        return build_ecct_process(
            [(cohort.work.changed(sharing=shared, training=training), cohort.devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=0,
            server=options.pop("server", config.server),
            runtime=RuntimeConfig(engine=engine, shard_size=shard_size),
            share_every=every,
            **options,
        )

    return compose


@pytest.fixture(scope="module")
def thirds(sharing):
    return sharing(3)


def _run(process, cloud, rounds, *, state=None):
    """States after each round, and reports; rounds are of participants, and who of them answers."""
    states, reports = [process.initialize(1) if state is None else state], []
    for participants, answering, *delays in rounds:
        asked, heard = (np.array(each, np.int64) for each in (participants, answering))
        late = (np.array(delays[0], np.int64),) if delays else ()
        after, report = process.next(states[-1], cloud, asked, heard, *late)
        states.append(after)
        reports.append(report)
    return states, reports


def _all(*devices):
    return [(each, each) for each in devices]


def _coded(process):
    work = process.cohorts[0].work
    return build_codec(work.weights_codec).encoded_bytes(1, work.shared_size)


def test_a_period_is_received_once_and_sent_once():
    schedule = ShareSchedule(2)
    shares = schedule.none(3)
    assert schedule.receiving(shares, np.array([0, 2]), round_number=0).tolist() == [True, True]
    shares = schedule.received(shares, np.array([0, 2]), round_number=0)
    assert schedule.receiving(shares, np.array([0, 1]), round_number=1).tolist() == [False, True]
    assert [schedule.sends(number) for number in range(4)] == [False, True, False, True]
    assert [schedule.begins(number) for number in range(4)] == [True, False, True, False]
    assert ShareSchedule().none(3) is None
    assert ShareSchedule().receiving(None, np.array([4]), round_number=7).tolist() == [True]


@pytest.mark.parametrize("shard_size", [0, 3])
def test_what_crosses_is_the_mean_of_all_that_devices_learned_since(
    sharing, make_cloud, shard_size
):
    process, alone = sharing(2, shard_size=shard_size), sharing(1, shared="none")
    everybody = _all(*[np.arange(process.num_devices)] * 2)
    (begun, first, second), reports = _run(process, make_cloud(), everybody)
    apart = [state.cohorts[0].weights() for state in _run(alone, make_cloud(), everybody)[0]]
    size = process.cohorts[0].work.shared_size
    here = first.cohorts[0]
    # Nothing has crossed: each device is where it is without any sharing.
    np.testing.assert_array_equal(here.server.shared, begun.cohorts[0].server.shared)
    np.testing.assert_allclose(here.weights(), apart[1], atol=1e-6)
    assert np.ptp(here.weights()[:, :size], axis=0).max() > 1e-3
    # The server adds the mean change, weighted by samples, with a rate of 1.
    counts = process.cohorts[0].devices.outlines.samples
    mean = np.average(apart[2][:, :size] - apart[0][:, :size], axis=0, weights=counts)
    there = second.cohorts[0]
    np.testing.assert_allclose(there.server.shared, apart[0][0, :size] + mean, atol=1e-5)
    np.testing.assert_array_equal(there.unshared, np.zeros_like(there.unshared))
    np.testing.assert_allclose(there.private, apart[2][:, size:], atol=1e-6)
    coded, devices = _coded(process), process.num_devices
    assert [each.weights_bytes for each in reports] == [devices * coded] * 2
    assert [each.weights_up_bytes for each in reports] == [0, devices * coded]


def test_who_misses_the_sharing_round_keeps_its_change_for_the_next(thirds, make_cloud):
    # Device 3 is away when changes cross, and back one round before they cross again.
    rounds = _all([1, 3], [1], [1], [1], [1, 3], [1, 3])
    states, reports = _run(thirds, make_cloud(), rounds)
    kept = [np.asarray(state.cohorts[0].unshared[3]) for state in states]
    assert np.abs(kept[1]).max() > 1e-3
    for state in kept[2:5]:
        np.testing.assert_array_equal(state, kept[1])
    # On top of the newer mean it goes on from its change, not from none.
    shared = np.asarray(states[4].cohorts[0].server.shared)
    assert (shared != states[0].cohorts[0].server.shared).any()
    np.testing.assert_array_equal(
        states[4].cohorts[0].weights(np.array([3]))[0][: len(shared)], shared + kept[1]
    )
    assert np.abs(kept[5] - kept[1]).max() > 1e-3
    np.testing.assert_array_equal(kept[6], np.zeros_like(shared))
    # Down: 1 and 3, then 1 for the second period, then 3, when it comes. Up: who is there.
    coded = _coded(thirds)
    up = [each.weights_up_bytes // coded for each in reports]
    assert up == [0, 0, 1, 0, 0, 2]
    down = [each.weights_bytes // coded - sent for each, sent in zip(reports, up, strict=True)]
    assert down == [2, 0, 0, 1, 1, 0]


def test_who_fails_has_received_and_sends_nothing(thirds, make_cloud):
    rounds = [([0, 1], [0]), ([0, 1], [0, 1]), ([0, 1], [0]), ([0, 1], [1])]
    states, reports = _run(thirds, make_cloud(), rounds)
    coded = _coded(thirds)
    assert [each.weights_bytes // coded for each in reports] == [2, 0, 1, 2]
    assert states[3].cohorts[0].unshared[[0, 1]].any(axis=1).tolist() == [False, True]


def test_going_on_from_a_checkpoint_repeats_the_rounds(thirds, make_cloud):
    rounds = _all([0, 1, 2], [0, 2], [1, 2], [0, 1], [0, 1, 2], [2])
    whole, _ = _run(thirds, make_cloud(), rounds)
    for begun in (1, 2, 4):
        arrays = {
            name: np.asarray(value)
            for name, value in edge_arrays(whole[begun], thirds.cohorts).items()
        }
        stored = edge_state(arrays, thirds.cohorts)
        again, _ = _run(thirds, make_cloud(), rounds[begun:], state=stored)
        expected = edge_arrays(whole[-1], thirds.cohorts)
        found = edge_arrays(again[-1], thirds.cohorts)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(value), name)


def test_late_changes_wait_for_the_next_round_that_shares(sharing, make_cloud):
    process = sharing(2, asynchronous=True)
    rounds = [([0, 1], [0, 1], [0, 0]), ([0, 1], [0, 1], [0, 1])]
    rounds += [([0, 1], [0, 1], [0, 0]), ([0, 1], [0, 1], [0, 0])]
    states, _ = _run(process, make_cloud(), rounds)
    steps = [int(state.cohorts[0].server.round_number) for state in states]
    assert steps == [0, 0, 1, 1, 2]
    waiting = [state.cohorts[0].changes.devices.tolist() for state in states]
    assert waiting == [[], [], [1], [1], []]
    shared = [np.asarray(state.cohorts[0].server.shared) for state in states]
    np.testing.assert_array_equal(shared[2], shared[3])
    assert (shared[4] != shared[3]).any()


@needs_tff
def test_both_engines_agree(sharing, make_cloud, runtime):
    del runtime
    rounds = _all(*[[0, 1, 2, 5]] * 3)
    (states, reports), (others, repeated) = (
        _run(sharing(2, engine=engine), make_cloud(), rounds) for engine in ("local", "tff")
    )
    here, there = states[-1].cohorts[0], others[-1].cohorts[0]
    np.testing.assert_allclose(here.weights(), there.weights(), atol=1e-5)
    np.testing.assert_allclose(here.unshared, there.unshared, atol=1e-5)
    assert [each.weights_bytes for each in reports] == [each.weights_bytes for each in repeated]


def test_settings_that_need_a_change_in_every_round_are_refused(sharing):
    with pytest.raises(ConfigError, match=r"edge\.share_every: got 2, but edge\.shared=none"):
        EdgeConfig(shared="none", share_every=2)
    edge = EdgeConfig(share_every=2)
    runtime = RuntimeConfig(shard_size=0)
    aggregator = ServerConfig(aggregator="my_pkg.sums:clipped")
    with pytest.raises(ConfigError, match=r"server\.aggregator: got .*edge\.share_every=2"):
        RunConfig(edge=edge, server=aggregator, runtime=runtime)
    with pytest.raises(ConfigError, match=r"server\.stages: got .*edge\.share_every=2"):
        RunConfig(edge=edge, server=ServerConfig(stages="my_pkg.stages:own"))
    with pytest.raises(ConfigError, match=r"server\.aggregator: got .*edge\.share_every=2"):
        sharing(2, server=aggregator, shard_size=0)
