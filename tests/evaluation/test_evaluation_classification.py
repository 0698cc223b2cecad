"""AUC, GAUC and log loss: by hand, against scikit-learn, and against plain loops."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from ecct_tf.errors import DataError
from ecct_tf.evaluation import auc, grouped_auc, log_loss

# (label, score, group); few distinct scores, so that ties are common.
rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(0, 5)), min_size=2, max_size=60
)


def auc_by_loop(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [
        1.0 if positive > negative else 0.5 if positive == negative else 0.0
        for positive in scores[labels == 1]
        for negative in scores[labels == 0]
    ]
    return sum(pairs) / len(pairs) if pairs else math.nan


def test_auc_by_hand() -> None:
    # Pairs (0.8 > 0.5), (0.8 > 0.3), (0.3 < 0.5), (0.3 = 0.3): 1 + 1 + 0 + 1/2 of 4.
    assert auc([1, 1, 0, 0], [0.8, 0.3, 0.5, 0.3]) == pytest.approx(2.5 / 4)
    assert auc([True, False], [2, 1]) == 1.0
    assert auc([1.0, 0.0], [1, 2]) == 0.0


def test_gauc_by_hand() -> None:
    result = grouped_auc(
        #  group 3: AUC 1 of 2 rows; group 1: 0.5 of 3 rows; groups 2 and 5: one class.
        labels=[1, 0, 1, 0, 0, 1, 0, 0],
        scores=[5.0, 4.0, 0.0, 1.0, -1.0, 9.0, 9.0, 9.0],
        groups=[3, 3, 1, 1, 1, 2, 5, 5],
    )
    assert result.gauc == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)
    assert (result.num_groups, result.num_skipped) == (2, 2)
    assert result.groups.tolist() == [1, 2, 3, 5]
    np.testing.assert_allclose(result.per_group, [0.5, np.nan, 1.0, np.nan])


def test_log_loss_by_hand() -> None:
    # Odds of 3 to 1 are a probability of 0.75.
    expected = -(math.log(0.75) + math.log(0.25) + math.log(0.5)) / 3
    assert log_loss([1, 0, 0], [math.log(3), math.log(3), 0.0]) == pytest.approx(expected)


def test_log_loss_keeps_the_tails() -> None:
    assert log_loss([1, 0], [800.0, -800.0]) == 0.0
    assert log_loss([0, 1], [800.0, -800.0]) == 800.0
    assert log_loss([0], [-40.0]) == pytest.approx(math.exp(-40.0), rel=1e-9)


@settings(deadline=None)  # other work on the machine is no failure
@given(rows)
def test_agrees_with_loops(table: list[tuple[int, int, int]]) -> None:
    labels, scores, groups = (np.array(column) for column in zip(*table, strict=True))
    if 0 < labels.sum() < labels.size:
        assert auc(labels, scores) == pytest.approx(auc_by_loop(labels, scores), abs=1e-12)

    names = np.unique(groups)
    expected = np.array([auc_by_loop(labels[groups == g], scores[groups == g]) for g in names])
    counted = ~np.isnan(expected)
    if not counted.any():
        with pytest.raises(DataError, match="a group with both classes"):
            grouped_auc(labels, scores, groups=groups)
        return
    result = grouped_auc(labels, scores, groups=groups)
    np.testing.assert_allclose(result.per_group, expected, atol=1e-12)
    sizes = np.array([(groups == g).sum() for g in names])[counted]
    assert result.gauc == pytest.approx((sizes * expected[counted]).sum() / sizes.sum())
    assert (result.num_groups, result.num_skipped) == (counted.sum(), (~counted).sum())


def test_gauc_agrees_with_scikit_learn_on_many_groups() -> None:
    rng = np.random.default_rng(5)
    groups = rng.integers(0, 300, 2400)
    labels = rng.random(groups.size) < 0.3
    scores = np.round(rng.normal(size=groups.size) + labels, 1).astype(np.float32)
    total, weight, skipped = 0.0, 0, 0
    by_group = np.argsort(groups, kind="stable")
    for part in np.split(by_group, np.flatnonzero(np.diff(groups[by_group])) + 1):
        if labels[part].all() or not labels[part].any():
            skipped += 1
            continue
        total += part.size * roc_auc_score(labels[part], scores[part])
        weight += part.size
    result = grouped_auc(labels, scores, groups=groups)
    assert skipped > 0
    assert result.num_skipped == skipped
    assert result.gauc == pytest.approx(total / weight, abs=1e-12)


def test_auc_and_log_loss_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    labels = rng.random(5000) < 0.2
    logits = rng.normal(size=labels.size) * 3 + labels
    assert auc(labels, logits) == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)
    probabilities = 1 / (1 + np.exp(-logits))
    expected = sklearn_log_loss(labels, probabilities)
    assert log_loss(labels, logits) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None)
@given(rows)
def test_monotone_transformations_change_no_auc(table: list[tuple[int, int, int]]) -> None:
    labels, scores, groups = (np.array(column) for column in zip(*table, strict=True))
    labels[:2] = [0, 1]
    groups[:2] = 0
    for transformed in (scores * 0.25 - 9.0, np.exp(scores)):
        assert auc(labels, transformed) == pytest.approx(auc(labels, scores))
        per_group = grouped_auc(labels, transformed, groups=groups).per_group
        np.testing.assert_array_equal(
            per_group, grouped_auc(labels, scores, groups=groups).per_group
        )


def test_gauc_ignores_what_differs_between_groups() -> None:
    labels, groups = np.tile([1, 0, 0], 50), np.repeat(np.arange(50), 3)
    scores = np.random.default_rng(7).normal(size=150)
    shifted = scores + 100.0 * groups
    expected = grouped_auc(labels, scores, groups=groups).gauc
    assert grouped_auc(labels, shifted, groups=groups).gauc == pytest.approx(expected)


def test_groups_may_be_names() -> None:
    result = grouped_auc([1, 0, 0, 1], [1.0, 0.0, 1.0, 0.0], groups=["b", "b", "a", "a"])
    assert result.groups.tolist() == ["a", "b"]
    assert result.per_group.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("metric", [auc, log_loss])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 2], [0.0, 1.0], "received 2 in row 1"),
        ([0, -1], [0.0, 1.0], "received -1 in row 1"),
        ([0], [0.0, 1.0], r"one label per score, shape \(2,\), received shape \(1,\)"),
        ([0, 1], [0.0, np.nan], "received nan in row 1"),
        ([0, 1], [np.inf, 0.0], "received inf in row 0"),
        ([], [], "non-empty numeric vector"),
        ([[0, 1]], [[0.0, 1.0]], "non-empty numeric vector"),
    ],
)
def test_wrong_input_is_refused(
    metric: Callable[[object, object], float], labels: object, scores: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        metric(labels, scores)


def test_a_single_class_is_refused() -> None:
    with pytest.raises(DataError, match="received 2 positives among 2 rows"):
        auc([1, 1], [0.0, 1.0])
    with pytest.raises(DataError, match="received 2 groups of a single class"):
        grouped_auc([1, 0], [0.0, 1.0], groups=[0, 1])
    with pytest.raises(DataError, match=r"received shape \(1,\)"):
        grouped_auc([1, 0], [0.0, 1.0], groups=[0])
