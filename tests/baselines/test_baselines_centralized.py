"""The centralized bound: trains on pooled samples, stops by validation and by nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.baselines.centralized import build_centralized
from ecct_tf.config import StartConfig
from ecct_tf.data import device_view, evaluation_candidates
from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.evaluation import evaluate_scores
from ecct_tf.simulation.methods import display_name

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_edge_models"
GRU = "own_edge_models.gru:gru4rec"
NOBODY = np.array([], np.int64)


@pytest.fixture(scope="module")
def build(baseline_config, small_dataset, small_split, small_validation):
    def build(*, split=small_split, validation=small_validation, **changes):
        section = dataclasses.replace(baseline_config.centralized, **changes)
        return build_centralized(
            dataclasses.replace(baseline_config, centralized=section),
            dataset=small_dataset,
            split=split,
            groups=[[device_view(small_dataset, split, int(user))] for user in split.users],
            validation=validation,
        )

    return build


@pytest.fixture(scope="module")
def centralized(build):
    return build()


def run(algorithm, epochs, *, state=None, first=0):
    state, losses = algorithm.initialize() if state is None else state, []
    for number in range(first, first + epochs):
        state, report = algorithm.next(
            state, round_number=number, participants=NOBODY, answering=NOBODY
        )
        losses.append(report.train_loss)
    return state, losses


def assert_states_equal(one, other):
    for name, value in one._asdict().items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


def test_an_epoch_lowers_the_loss_over_all_devices_samples(centralized):
    state, losses = run(centralized, 3)
    assert losses[2] < losses[0]
    assert int(state.steps) == 3 * -(-len(centralized._trainer.samples) // 32)
    assert centralized.num_devices == 12
    # It pools what devices read, private numbers among it.
    assert centralized._trainer.model.profile.numbers == 1
    assert centralized._trainer.samples.profile.shape[1] == 3
    assert centralized.rounds == 6


def test_a_loss_by_position_meets_whole_positions(build):
    ranking = build(loss="sampled_softmax", negatives=3, batch_size=30)
    state, losses = run(ranking, 3)
    # 28 of 30 samples are seven positions; the softmax of four begins near log 4.
    assert int(state.steps) == 3 * -(-len(ranking._trainer.samples) // 28)
    assert losses[2] < losses[0] < 1.3 * np.log(4.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tiers", "tier"),
    [
        ({"linear": 1.0}, "linear"),
        ({"attention": 1.0}, "attention"),
        # Of several the one of the most capacity; a share of zero is no device.
        ({"linear": 0.5, "mlp": 0.5, "attention": 0.0}, "mlp"),
        # One's own, which reads item vectors.
        ({"mlp": 0.5, GRU: 0.5}, GRU),
    ],
)
def test_the_bound_has_the_runs_tier(
    tiers, tier, baseline_config, small_dataset, small_split, small_validation, monkeypatch
):
    monkeypatch.syspath_prepend(EXAMPLES)
    edge = dataclasses.replace(baseline_config.edge, tiers=tiers)
    config = dataclasses.replace(baseline_config, method="centralized", edge=edge)
    bound = build_centralized(
        config,
        dataset=small_dataset,
        split=small_split,
        groups=[[device_view(small_dataset, small_split, int(user))] for user in small_split.users],
        validation=small_validation,
    )
    assert bound._trainer.model.tier == tier
    assert display_name(config) == f"centralized, {tier}"
    state, losses = run(bound, 2)
    assert losses[1] < losses[0]
    # Every weight learns, those that read the history slot by slot too.
    start = bound.initialize().weights
    for name, part in bound._trainer.model.layout.to_dict(state.weights - start).items():
        assert np.abs(part).max() > 0, name


def test_the_best_epoch_scores_and_the_rest_is_skipped(build, small_validation):
    eager = build(learning_rate=0.3, patience=2)
    state, losses = run(eager, 6)
    assert int(state.epochs) == min(6, int(state.best_epoch) + 2)
    assert int(state.epochs) < 6
    assert np.isfinite(losses[: int(state.epochs)]).all()
    # An epoch that is skipped measures no loss.
    assert np.isnan(losses[int(state.epochs) :]).all()
    scores = eager.scores(state, small_validation)["everything"]
    assert evaluate_scores(scores, k=10).ndcg == float(state.best_ndcg)
    upto, _ = run(eager, int(state.best_epoch))
    np.testing.assert_array_equal(upto.weights, state.best_weights)


def test_it_starts_with_the_clouds_weights_as_devices_do_and_never_falls_below_them(
    baseline_config, small_dataset, small_split, small_validation
):
    config = dataclasses.replace(
        baseline_config,
        edge=dataclasses.replace(baseline_config.edge, start="cloud"),
        start=StartConfig(epochs=1, max_positions=2),
        # No epoch moves anything.
        centralized=dataclasses.replace(baseline_config.centralized, learning_rate=1e-12),
    )
    algorithm = build_centralized(
        config,
        dataset=small_dataset,
        split=small_split,
        groups=[[device_view(small_dataset, small_split, int(u))] for u in small_split.users],
        validation=small_validation,
    )
    begun = algorithm.initialize()
    drawn = algorithm._trainer.model.layout.initial(config.seed)
    assert not np.array_equal(begun.weights, drawn)
    assert np.isfinite(begun.weights).all()
    after, _ = run(algorithm, 1)
    assert (int(after.epochs), int(after.best_epoch)) == (1, 0)
    np.testing.assert_array_equal(after.best_weights, begun.weights)
    assert float(after.best_ndcg) > 0


def test_the_bound_has_as_many_heads_as_the_runs_devices(
    baseline_config, small_dataset, small_split, small_validation
):
    edge = dataclasses.replace(baseline_config.edge, tiers={"attention": 1.0}, heads=3)
    algorithm = build_centralized(
        dataclasses.replace(baseline_config, edge=edge),
        dataset=small_dataset,
        split=small_split,
        groups=[[device_view(small_dataset, small_split, int(u))] for u in small_split.users],
        validation=small_validation,
    )
    assert algorithm._trainer.model.spec.heads == 3


def test_the_better_reading_of_the_item_table_is_taken(centralized, small_validation):
    state, _ = run(centralized, 1)
    qualities = []
    for reading in (0, 1):
        chosen = state._replace(best_reading=np.array(reading))
        scores = centralized.scores(chosen, small_validation)["everything"]
        qualities.append(evaluate_scores(scores, k=10).ndcg)
    assert qualities[0] != qualities[1]
    assert int(state.best_reading) == int(np.argmax(qualities))


@pytest.mark.slow
def test_test_items_change_nothing_that_is_trained_or_chosen(
    build, centralized, small_split, small_dataset
):
    items = small_split.items.copy()
    last = small_split.offsets[small_split.users + 1] - 1
    items[last] = 1 + items[last] % small_dataset.num_items
    changed = build(split=dataclasses.replace(small_split, items=items))
    assert_states_equal(run(changed, 3)[0], run(centralized, 3)[0])
    # Validation items do, and only through the choice.
    other = evaluation_candidates(small_split, part="test", negatives=20, seed=9)
    by_other, _ = run(build(validation=other), 1)
    state, _ = run(centralized, 1)
    np.testing.assert_array_equal(by_other.weights, state.weights)
    assert float(by_other.best_ndcg) != float(state.best_ndcg)


def test_a_stored_state_goes_on_bit_by_bit(centralized, build, small_validation):
    whole, _ = run(centralized, 3)
    half, _ = run(centralized, 1)
    stored = {name: np.array(array) for name, array in centralized.to_arrays(half).items()}
    fresh = build()
    resumed, _ = run(fresh, 2, state=fresh.from_arrays(stored), first=1)
    assert_states_equal(whole, resumed)
    np.testing.assert_array_equal(
        centralized.scores(whole, small_validation)["everything"],
        fresh.scores(resumed, small_validation)["everything"],
    )


def test_mistakes_are_told(centralized, baseline_config, small_dataset, small_split):
    with pytest.raises(ConfigError, match="at least one device"):
        build_centralized(
            baseline_config,
            dataset=small_dataset,
            split=small_split,
            groups=[],
            validation=evaluation_candidates(small_split, part="validation", negatives=5, seed=0),
        )
    arrays = dict(centralized.to_arrays(centralized.initialize()))
    arrays["weights"] = arrays["weights"][:-1]
    with pytest.raises(CheckpointError, match="'weights': expected float32"):
        centralized.from_arrays(arrays)
