"""Scores of the devices' models, of requests that are asked about more than once."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.data import Candidates
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.simulation.edge_scorer import EdgeScorer
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


def test_features_that_are_asked_for_again_are_computed_twice_and_then_kept(built, monkeypatch):
    experiment, algorithm, state = built
    cloud, evaluator = algorithm.cloud_at(state), fresh(experiment, algorithm)
    (scorer,) = evaluator._scorers
    asked = []
    compute = scorer._computing

    def counted(of):
        asked.append(of)
        return compute(of)

    monkeypatch.setattr(scorer, "_computing", counted)
    first, *others = (evaluator.scores(state.edge, cloud, experiment.validation) for _ in range(4))
    assert len(asked) == 2
    for other in others:
        np.testing.assert_array_equal(other, first)
    # Once each: what a ranking of the catalog asks for fills no memory.
    assert len(scorer._kept) == 1


def test_features_beyond_the_bound_are_not_kept(built):
    experiment, algorithm, state = built
    (cohort,) = algorithm.process.cohorts
    items = ItemTensors(*(tf.constant(array) for array in item_tensors(algorithm.table)))
    scorer = EdgeScorer(
        cohort.work, items=items, features=experiment.config.features, kept_bytes=1000
    )
    evaluator = fresh(experiment, algorithm)
    evaluator._scorers = (scorer,)
    cloud = algorithm.cloud_at(state)
    for _ in range(3):
        evaluator.scores(state.edge, cloud, experiment.validation)
    assert not scorer._kept
