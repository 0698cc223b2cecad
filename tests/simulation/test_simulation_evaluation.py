"""Scores of the devices' models, of requests that are asked about more than once."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.data import Candidates
from ecct_tf.simulation.evaluation import EdgeEvaluator
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm


@pytest.fixture(scope="module")
def built(small_config):
    experiment = build_experiment(small_config("method=edge-only"))
    algorithm = build_algorithm(experiment)
    return experiment, algorithm, algorithm.initialize()


def fresh(experiment, algorithm):
    """An evaluator that has not been asked yet."""
    return EdgeEvaluator(
        algorithm.process,
        experiment.split,
        table=algorithm.table,
        features=experiment.config.features,
    )


def test_what_was_asked_before_changes_no_score(built):
    experiment, algorithm, state = built
    test, evaluator = experiment.test, fresh(experiment, algorithm)
    half = Candidates(test.users[::2], test.positions[::2], test.items[::2])
    other_items = dataclasses.replace(test, items=test.items[:, ::-1].copy())
    # The same users at other positions, other users, and the first again.
    for asked in (test, experiment.validation, other_items, half, test):
        cloud = algorithm.cloud_at(state)
        again = evaluator.scores(state.edge, cloud, asked)
        alone = fresh(experiment, algorithm).scores(state.edge, cloud, asked)
        np.testing.assert_array_equal(again, alone)
    reversed_scores = evaluator.scores(state.edge, algorithm.cloud_at(state), other_items)
    np.testing.assert_allclose(reversed_scores[:, ::-1], again, rtol=1e-4, atol=1e-5)


def test_only_the_newest_requests_are_kept(built):
    experiment, algorithm, state = built
    test, evaluator = experiment.test, fresh(experiment, algorithm)
    for rows in range(1, 6):
        part = Candidates(test.users[:rows], test.positions[:rows], test.items[:rows])
        evaluator.scores(state.edge, algorithm.cloud_at(state), part)
    assert len(evaluator._asked) == 2


def test_a_sample_of_the_devices_is_evaluated_as_it_is_among_all(built):
    experiment, algorithm, state = built
    config = experiment.config
    few = build_experiment(
        dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, devices=7)),
        dataset=experiment.dataset,
    )
    assert few.validation.users.tolist() == few.test.users.tolist()
    evaluator, cloud = fresh(experiment, algorithm), algorithm.cloud_at(state)
    rows = np.isin(experiment.test.users, few.test.users)
    np.testing.assert_array_equal(experiment.test.items[rows], few.test.items)
    everybody = evaluator.scores(state.edge, cloud, experiment.test)
    sampled = evaluator.scores(state.edge, cloud, few.test)
    np.testing.assert_allclose(sampled, everybody[rows], rtol=1e-5, atol=1e-6)
