"""Devices that rank their held-back positions lower than at their start serve with their start."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.data import Candidates
from ecct_tf.data.guard import guard_candidates
from ecct_tf.federated import CohortState
from ecct_tf.simulation.edge_state import as_started, edge_arrays, edge_state
from ecct_tf.simulation.evaluation import EdgeEvaluator
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm

GUARDED = SampleConfig(negatives=2, guard_positions=2)


@pytest.fixture(scope="module")
def built(small_config):
    experiment = build_experiment(small_config("method=edge-only"))
    algorithm = build_algorithm(experiment)
    start = algorithm.process.cohorts[0].initial(3)
    return experiment, algorithm, start


def process_of(built, *, start, samples=GUARDED):
    """The same devices with a start, which only a cloud could have made."""
    (cohort,) = built[1].process.cohorts
    cohort = dataclasses.replace(cohort, work=cohort.work.changed(samples=samples), start=start)
    return dataclasses.replace(built[1].process, cohorts=(cohort,))


def evaluator(built, *, process=None, **changed):
    experiment, algorithm, _ = built
    return EdgeEvaluator(
        process or process_of(built, **changed),
        experiment.split,
        table=algorithm.table,
        features=experiment.config.features,
    )


def state_of(built, private):
    """Of devices with shared weights of the start and these private ones, `[devices, P]`."""
    _, algorithm, start = built
    state = algorithm.initialize().edge
    shared = state.cohorts[0].server._replace(shared=start[: len(start) - private.shape[1]])
    return dataclasses.replace(state, cohorts=(CohortState(shared, private),))


@pytest.fixture(scope="module")
def states(built):
    """Of devices as they started, and of devices whose training went anywhere."""
    _, algorithm, start = built
    size = algorithm.process.cohorts[0].work.shared_size
    begun = np.tile(start[size:], (algorithm.num_devices, 1))
    drawn = np.random.default_rng(1).normal(size=begun.shape).astype(np.float32)
    return state_of(built, begun), state_of(built, begun + drawn)


@pytest.fixture(scope="module")
def cloud(built):
    _, algorithm, _ = built
    return algorithm.cloud_at(algorithm.initialize())


def verdicts(built, states, cloud, requests):
    """Whether each request is served with trained weights, by places that are added up here."""
    split, scorer = built[0].split, evaluator(built, start=None)
    users, positions, items, owners = [], [], [], []
    for row, (user, position) in enumerate(
        zip(requests.users.tolist(), requests.positions.tolist(), strict=True)
    ):
        history, own = split.before(user, position), position - len(split.older(user))
        newest = list(range(position - min(2, own // 2), position))
        users += [user] * len(newest)
        positions += newest
        owners += [row] * len(newest)
        items += list(guard_candidates(history, np.array(newest, int), num_items=split.num_items))
    held = Candidates(np.array(users), np.array(positions), np.array(items))
    places = np.zeros((2, len(requests.users)), int)
    for number, state in enumerate(states):
        for owner, logits in zip(owners, scorer.scores(state, cloud, held), strict=True):
            places[number, owner] += sum(logits[1:] >= logits[0])
    # One position instead of two must rank higher.
    few = np.bincount(np.array(owners, int), minlength=len(requests.users)) == 1
    return np.where(few, places[1] < places[0], places[1] <= places[0])


@pytest.mark.parametrize("part", ["validation", "test"])
def test_each_device_serves_with_what_ranks_its_newest_positions_higher(built, states, cloud, part):
    requests = getattr(built[0], part)
    expected = verdicts(built, states, cloud, requests)
    assert 0 < expected.sum() < len(expected)
    plain, guarded = evaluator(built, start=None), evaluator(built, start=built[2])
    begun, trained = (plain.scores(state, cloud, requests) for state in states)
    found = guarded.scores(states[1], cloud, requests)
    np.testing.assert_array_equal(found[expected], trained[expected])
    np.testing.assert_array_equal(found[~expected], begun[~expected])
    assert guarded.at_start(states[1], cloud, requests) == pytest.approx(1 - expected.mean())
    # Asked again, and of another state in between: the verdict is of the state, not of the first.
    unmoved = verdicts(built, (states[0], states[0]), cloud, requests)
    assert guarded.at_start(states[0], cloud, requests) == pytest.approx(1 - unmoved.mean())
    np.testing.assert_array_equal(guarded.scores(states[0], cloud, requests), begun)
    np.testing.assert_array_equal(guarded.scores(states[1], cloud, requests), found)


def test_the_newest_position_is_the_last_before_the_request(built):
    """At a test request the validation item is the newest position, which nobody trained on."""
    experiment, samples = built[0], dataclasses.replace(GUARDED, guard_positions=1)
    guarded = evaluator(built, start=built[2], samples=samples)
    (requests,) = guarded._asked_of(experiment.test)
    split = experiment.split
    newest = [
        split.before(user, position)[-1]
        for user, position in zip(
            experiment.test.users[requests.asked.rows],
            experiment.test.positions[requests.asked.rows],
            strict=True,
        )
    ]
    assert requests.held_items[:, 0].tolist() == newest
    assert set(newest) & set(experiment.validation.items[:, 0].tolist())


@pytest.mark.parametrize("change", ["no start", "no positions"])
def test_without_a_guard_devices_serve_with_what_they_trained(built, states, cloud, change):
    requests, start = built[0].validation, None if change == "no start" else built[2]
    samples = dataclasses.replace(GUARDED, guard_positions=0) if start is not None else GUARDED
    guarded = evaluator(built, start=start, samples=samples)
    assert guarded.at_start(states[1], cloud, requests) is None
    np.testing.assert_array_equal(
        guarded.scores(states[1], cloud, requests),
        evaluator(built, start=None).scores(states[1], cloud, requests),
    )


def test_devices_that_are_opened_from_a_checkpoint_serve_alike(built, states, cloud):
    requests, process = built[0].test, process_of(built, start=built[2])
    expected = evaluator(built, process=process).scores(states[1], cloud, requests)
    arrays = edge_arrays(states[1], process.cohorts)
    # Whoever opens a run folder builds its devices without the cloud, and so without a start.
    opened = as_started(process_of(built, start=None), arrays)
    state = edge_state(arrays, opened.cohorts)
    found = evaluator(built, process=opened).scores(state, cloud, requests)
    np.testing.assert_array_equal(found, expected)
    plain = evaluator(built, start=None).scores(state, cloud, requests)
    assert not np.array_equal(found, plain)


def test_devices_that_start_at_random_have_no_guard(built, small_config):
    assert small_config().samples.guard_positions > 0
    _, algorithm, _ = built
    assert algorithm.process.cohorts[0].work.task.samples.guard_positions == 0
    state = algorithm.initialize()
    assert algorithm.at_start(state, built[0].validation) is None
