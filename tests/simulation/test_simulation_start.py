"""A run whose edge models start with weights that the cloud made."""

import numpy as np
import pytest

from ecct_tf.evaluation import evaluate_scores
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import ABLATIONS, build_algorithm


@pytest.fixture(scope="module")
def started(small_config):
    """Algorithm, experiment and first state, by `edge.start`."""
    found = {}
    for name in ("cloud", "random"):
        config = small_config(
            f"edge.start={name}",
            "data.synthetic_users=60",
            "exchange.stage_1_rounds=0",
            "edge.tiers={linear: 0.5, attention: 0.5}",
            "start.learning_rate=0.01",
        )
        experiment = build_experiment(config)
        algorithm = build_algorithm(experiment)
        found[name] = (algorithm, experiment, algorithm.initialize())
    return found


def test_a_device_that_never_trained_ranks_better_than_with_random_weights(started):
    quality = {}
    for name, (algorithm, experiment, state) in started.items():
        scores = algorithm.scores(state, experiment.validation)["edge"]
        quality[name] = evaluate_scores(scores, k=10).ndcg
    assert quality["cloud"] > quality["random"] + 0.05


def test_all_devices_of_a_tier_start_with_the_weights_as_received(started):
    algorithm, _, state = started["cloud"]
    for cohort, kept in zip(algorithm.process.cohorts, state.edge.cohorts, strict=True):
        weights = kept.weights()
        assert (weights == weights[0]).all()
        np.testing.assert_array_equal(weights[0], weights[0].astype(np.float16))
        assert not np.array_equal(weights[0], cohort.work.model.layout.initial(0))


def test_the_start_crosses_once_with_the_item_table(started):
    """Two bytes a weight of the own tier, beside what a random start fetches."""
    fetched = {}
    for name, (algorithm, _, state) in started.items():
        everyone = np.arange(algorithm.num_devices)
        nobody = np.zeros(0, np.int64)
        after, report = algorithm.next(
            state, round_number=0, participants=everyone, answering=nobody
        )
        again = algorithm.next(after, round_number=1, participants=everyone, answering=nobody)[1]
        assert again.item_table_bytes == 0
        fetched[name] = report.item_table_bytes
    cohorts = started["cloud"][0].process.cohorts
    expected = sum(2 * cohort.work.model.layout.size * len(cohort) for cohort in cohorts)
    assert fetched["cloud"] - fetched["random"] == expected


@pytest.mark.slow
@pytest.mark.parametrize(("name", "reads"), [("no exchange", False), ("embeddings only", False)])
def test_an_ablation_without_logits_has_a_start_that_reads_none(small_config, name, reads):
    """Its devices would otherwise lean on an input that they never get."""
    config = small_config("edge.start=cloud", "start.epochs=1", "edge.tiers={linear: 1.0}")
    for ablated, expected in ((ABLATIONS[name].of(config), reads), (config, True)):
        algorithm = build_algorithm(build_experiment(ablated))
        (cohort,) = algorithm.process.cohorts
        spec = cohort.work.model.spec
        head = cohort.work.model.layout.to_dict(cohort.start)["head/inputs"]
        assert (head[spec.interaction_dim + spec.cloud_dim] != 0.0) == expected
