"""Item-to-item embeddings on histories small enough to check by hand."""

import numpy as np
import pytest

from cloud import similarity
from cloud.similarity import preference_block, preference_sources, sequence_block
from ecct_tf.baselines import factored_ease, fit_ease
from ecct_tf.config import SimilarityConfig
from ecct_tf.errors import ConfigError


def _histories(*rows):
    return [np.array(row, np.int32) for row in rows]


def _scores(block):
    return block.source @ block.target.T


def test_preference_ties_items_that_people_share():
    histories = _histories(*[[1, 2]] * 4, *[[3, 4]] * 4, [2, 1], [4, 3])
    scores = _scores(preference_block(histories, num_items=4, rank=4, regularization=1.0))
    assert scores[1, 2] > 0.5 > scores[1, 3]
    assert scores[3, 4] > 0.5 > scores[3, 2]
    np.testing.assert_allclose(scores, scores.T, atol=1e-5)  # it knows no order


def test_preference_at_full_rank_is_ease():
    rng = np.random.default_rng(0)
    histories = [rng.choice(np.arange(1, 7), 3, replace=False).astype(np.int32) for _ in range(9)]
    weights = fit_ease(histories, num_items=6, regularization=2.0).weights
    block = preference_block(histories, num_items=6, rank=6, regularization=2.0)
    assert block.source.shape == block.target.shape == (7, 6)
    assert block.source.dtype == np.float32
    np.testing.assert_allclose(_scores(block), weights, atol=1e-4)


def test_a_symmetric_preference_is_the_nearest_product_of_one_array():
    rng = np.random.default_rng(0)
    histories = [rng.choice(np.arange(1, 7), 3, replace=False).astype(np.int32) for _ in range(9)]
    weights = fit_ease(histories, num_items=6, regularization=2.0).weights
    block = preference_block(histories, num_items=6, rank=2, regularization=2.0, symmetric=True)
    assert block.is_symmetric
    values, vectors = np.linalg.eigh((weights + weights.T) / 2)
    nearest = (vectors[:, -2:] * values[-2:]) @ vectors[:, -2:].T
    np.testing.assert_allclose(_scores(block), nearest, atol=1e-5)


def test_a_symmetric_preference_without_pairs_is_zero():
    block = preference_block(
        _histories([1], [2]), num_items=4, rank=2, regularization=1.0, symmetric=True
    )
    assert block.is_symmetric
    np.testing.assert_array_equal(block.source, np.zeros((5, 2)))


def test_preference_sources_of_the_same_histories_are_the_blocks_own():
    rng = np.random.default_rng(1)
    histories = [rng.choice(np.arange(1, 7), 3, replace=False).astype(np.int32) for _ in range(9)]
    block = preference_block(histories, num_items=6, rank=3, regularization=2.0)
    same = preference_sources(block, histories, num_items=6, regularization=2.0)
    np.testing.assert_allclose(same, block.source, atol=1e-4)
    other = preference_sources(block, histories[:4], num_items=6, regularization=2.0)
    assert np.abs(other - block.source).max() > 0.01


def test_sequence_knows_the_direction():
    histories = _histories(*[[1, 2, 3]] * 5, [4, 1], [3, 4])
    scores = _scores(sequence_block(histories, num_items=4, rank=4, decay=0.5))
    assert scores[1, 2] > 0.3
    assert scores[2, 3] > 0.3
    assert abs(scores[2, 1]) < 1e-4
    assert abs(scores[3, 2]) < 1e-4


def test_sequence_is_ppmi_by_hand():
    # Successions weigh 0.5 each: 1->2, 1->3, 4->3. Contexts: 2: 0.5, 3: 1.0, to the power 0.75.
    block = sequence_block(_histories([1, 2], [1, 3], [4, 3]), num_items=4, rank=4, decay=0.5)
    smoothed = np.array([0.5, 1.0]) ** 0.75
    context = smoothed / smoothed.sum()
    expected = np.zeros((5, 5))
    expected[1, 2] = np.log(0.5 / (1.0 * context[0]))
    expected[4, 3] = np.log(0.5 / (0.5 * context[1]))
    assert np.log(0.5 / (1.0 * context[1])) < 0  # 1->3 is rarer than chance
    np.testing.assert_allclose(_scores(block), expected, atol=1e-4)


def test_sequence_weighs_near_steps_more():
    # In 1, 2, 3 the step 1->3 spans two: with little decay weight it hardly counts.
    histories = _histories([1, 2, 3], [4, 2], [4, 2])
    strong = _scores(sequence_block(histories, num_items=4, rank=4, decay=1.0))
    weak = _scores(sequence_block(histories, num_items=4, rank=4, decay=0.1))
    # By hand: log(0.1 / (0.11 * 0.68)) and 0; with full weight log(1 / (2 * 0.42)).
    np.testing.assert_allclose([weak[1, 2], weak[1, 3]], [0.290, 0.0], atol=2e-3)
    np.testing.assert_allclose(strong[1, 3], 0.164, atol=2e-3)


def test_users_without_history_do_not_matter():
    with_empty = _histories([1, 2], [], [3, 4], [1, 2], [4], [2, 3])
    without = [history for history in with_empty if len(history) > 1]
    for build in (
        lambda rows: sequence_block(rows, num_items=4, rank=3, decay=0.5),
        lambda rows: preference_block(rows, num_items=4, rank=3, regularization=1.0),
    ):
        assert np.isfinite(_scores(build(with_empty))).all()
    np.testing.assert_allclose(
        _scores(sequence_block(with_empty, num_items=4, rank=3, decay=0.5)),
        _scores(sequence_block(without, num_items=4, rank=3, decay=0.5)),
        atol=1e-5,
    )


def test_blocks_repeat_bit_by_bit():
    histories = _histories([1, 2, 3], [4, 3, 1], [2, 4])
    first, second = (sequence_block(histories, num_items=4, rank=2, decay=0.5) for _ in range(2))
    np.testing.assert_array_equal(first.source, second.source)
    np.testing.assert_array_equal(first.target, second.target)


@pytest.mark.parametrize("rank", [5, 9])
def test_a_rank_beyond_the_items_is_refused(rank):
    histories = _histories([1, 2, 3], [4, 3])
    with pytest.raises(ConfigError, match=f"got {rank}"):
        preference_block(histories, num_items=4, rank=rank, regularization=1.0)
    with pytest.raises(ConfigError, match=f"got {rank}"):
        sequence_block(histories, num_items=4, rank=rank, decay=0.5)


def test_histories_without_a_succession_say_nothing_of_any_pair():
    histories = _histories([1], [], [2])
    sequence = sequence_block(histories, num_items=4, rank=2, decay=0.5)
    preference = preference_block(histories, num_items=4, rank=2, regularization=1.0)
    for part in (sequence.source, sequence.target, preference.source, preference.target):
        assert part.shape == (5, 2)
        assert not part.any()


def test_items_that_nobody_met_cost_nothing_in_very_large_catalogs(monkeypatch):
    rng = np.random.default_rng(3)
    histories = [rng.choice(np.arange(2, 40, 3), 6, replace=False) for _ in range(30)]
    histories = [history.astype(np.int32) for history in histories]
    sizes = {"num_items": 40, "rank": 4}
    factored = SimilarityConfig(form="factored", factors=9)

    def blocks():
        return {
            "preference": preference_block(
                histories, regularization=2.0, similarity=factored, **sizes
            ),
            "sequence": sequence_block(histories, decay=0.5, **sizes),
        }

    whole = blocks()
    monkeypatch.setattr(similarity, "_AMONG_ALL", 39)
    monkeypatch.setattr(factored_ease, "_AMONG_ALL", 39)
    seen = []
    low_rank = similarity._low_rank
    monkeypatch.setattr(
        similarity, "_low_rank", lambda m, rank: seen.append(m.shape) or low_rank(m, rank)
    )
    met = blocks()
    assert seen == [(13, 13), (13, 13)]
    for name, block in met.items():
        # The random directions of a randomized decomposition are others.
        np.testing.assert_allclose(_scores(block), _scores(whole[name]), atol=1e-4, err_msg=name)
        assert not block.source[[0, 1, 3, 40]].any()
