"""Ranks, HR, NDCG and MRR: by hand, against scikit-learn, and as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import ndcg_score

from ecct_tf.errors import ConfigError, DataError
from ecct_tf.evaluation import (
    discounted_gains,
    hit_rate,
    hits,
    mrr,
    ndcg,
    ranks,
    reciprocal_ranks,
)

# Small integers as floats: many ties, and exact under the transformations below.
score_tables = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.integers(-6, 6).map(float),
)
rank_vectors = hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 40))


def ranks_by_loop(scores: np.ndarray, positive: int) -> list[int]:
    return [
        sum(1 for column, score in enumerate(row) if column != positive and score >= row[positive])
        for row in scores
    ]


def test_by_hand() -> None:
    scores = [
        [3.0, 1.0, 2.0],  # first
        [2.0, 3.0, 1.0],  # second
        [0.0, 3.0, 1.0],  # third
        [1.0, 1.0, 0.0],  # tied with one: second
        [1.0, 1.0, 1.0],  # tied with all: last
    ]
    places = ranks(scores)
    assert places.dtype == np.int64
    assert places.tolist() == [0, 1, 2, 1, 2]
    assert hits(places, 2).tolist() == [1, 1, 0, 1, 0]
    assert hit_rate(places, 2) == pytest.approx(3 / 5)
    second = 1 / np.log2(3)
    assert discounted_gains(places, 2) == pytest.approx([1, second, 0, second, 0])
    assert ndcg(places, 2) == pytest.approx((1 + 2 * second) / 5)
    assert ndcg(places, 3) == pytest.approx((1 + 2 * second + 2 * 0.5) / 5)
    assert reciprocal_ranks(places) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 2, 1 / 3])
    assert mrr(places) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 2 + 1 / 3) / 5)


def test_another_column_may_hold_the_positive() -> None:
    assert ranks([[3.0, 1.0, 2.0]], positive=2).tolist() == [1]


def test_infinite_scores_have_a_place() -> None:
    assert ranks([[np.inf, 0.0], [-np.inf, 0.0], [np.inf, np.inf]]).tolist() == [0, 1, 1]


@settings(deadline=None)  # other work on the machine is no failure
@given(score_tables, st.data())
def test_agrees_with_a_loop(scores: np.ndarray, data: st.DataObject) -> None:
    positive = data.draw(st.integers(0, scores.shape[1] - 1))
    assert ranks(scores, positive=positive).tolist() == ranks_by_loop(scores, positive)


@pytest.mark.parametrize("k", [1, 5, 10, 100])
def test_ndcg_agrees_with_scikit_learn(k: int) -> None:
    scores = np.random.default_rng(3).normal(size=(200, 100))
    relevance = np.zeros_like(scores)
    relevance[:, 0] = 1.0
    assert ndcg(ranks(scores), k) == pytest.approx(ndcg_score(relevance, scores, k=k), abs=1e-12)


@settings(deadline=None)
@given(score_tables)
def test_monotone_transformations_change_nothing(scores: np.ndarray) -> None:
    expected = ranks(scores)
    for transformed in (2.5 * scores - 7.0, np.exp(scores), scores**3, scores.astype(np.float32)):
        np.testing.assert_array_equal(ranks(transformed), expected)


@settings(deadline=None)
@given(score_tables)
def test_a_tie_counts_as_a_loss(scores: np.ndarray) -> None:
    lowered = scores.copy()
    lowered[:, 0] -= 0.5  # below all it was tied with, above all it beat
    np.testing.assert_array_equal(ranks(lowered), ranks(scores))


def test_a_constant_model_finds_nothing() -> None:
    assert ranks(np.zeros((4, 100))).tolist() == [99] * 4


@settings(deadline=None)
@given(rank_vectors, st.integers(1, 40))
def test_relations_between_the_metrics(places: np.ndarray, k: int) -> None:
    assert hit_rate(places, k) <= hit_rate(places, k + 1)
    assert ndcg(places, k) <= ndcg(places, k + 1) + 1e-12
    assert 0.0 <= ndcg(places, k) <= hit_rate(places, k) <= 1.0
    assert ndcg(places, 1) == hit_rate(places, 1)
    assert hit_rate(places, 1) - 1e-12 <= mrr(places) <= 1.0


def test_nan_is_refused_with_its_row() -> None:
    scores = np.zeros((3, 4))
    scores[2, 1] = np.nan
    with pytest.raises(DataError, match="row 2, column 1"):
        ranks(scores)


@pytest.mark.parametrize("scores", [[1.0, 2.0], np.zeros((0, 3)), np.zeros((3, 0)), [["a", "b"]]])
def test_wrong_scores_are_refused(scores: object) -> None:
    with pytest.raises(DataError, match=r"expected a non-empty numeric matrix.*received shape"):
        ranks(scores)  # type: ignore[arg-type]


@pytest.mark.parametrize("positive", [-1, 3])
def test_wrong_column_is_refused(positive: int) -> None:
    with pytest.raises(ConfigError, match=f"from 0 to 2, received {positive}"):
        ranks(np.zeros((2, 3)), positive=positive)


def test_wrong_ranks_and_k_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, received 0"):
        hit_rate([0, 1], 0)
    with pytest.raises(DataError, match="received -2 in row 1"):
        mrr([0, -2])
    for wrong in ([], [0.5], [[0, 1]]):
        with pytest.raises(DataError, match="non-empty integer vector"):
            ndcg(wrong, 10)
