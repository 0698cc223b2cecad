"""The whole table of leave-one-out scores at once."""

import dataclasses
import math

import numpy as np
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score

from ecct_tf.errors import ConfigError, DataError
from ecct_tf.evaluation import Metrics, evaluate_scores


def test_by_hand() -> None:
    log3 = math.log(3)  # a probability of 3/4; -log3 one of 1/4
    metrics = evaluate_scores([[log3, 0.0, -log3], [-log3, 0.0, log3]], k=2)
    # Row 1 puts the held-out item first, row 2 last. Of the 8 pairs over both rows
    # log3 wins 3 and ties 1, and -log3 ties 1: 4 of 8.
    quarter, half, most = math.log(1 / 4), math.log(1 / 2), math.log(3 / 4)
    assert metrics.as_dict() == pytest.approx(
        {
            "hr": 0.5,
            "ndcg": 0.5,
            "mrr": (1 + 1 / 3) / 2,
            "auc": 0.5,
            "gauc": 0.5,
            "log_loss": -((most + half + most) + (quarter + half + quarter)) / 6,
            "k": 2,
            "num_users": 2,
        }
    )


def test_agrees_with_scikit_learn() -> None:
    scores = np.random.default_rng(11).normal(size=(300, 100)).astype(np.float32)
    scores[:, 0] += 1.5
    labels = np.zeros(scores.shape)
    labels[:, 0] = 1.0
    probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
    metrics = evaluate_scores(scores)
    expected = Metrics(
        hr=float(np.mean([0 in np.argsort(-row)[:10] for row in scores])),
        ndcg=ndcg_score(labels, scores, k=10),
        mrr=float(np.mean([1 / (1 + list(np.argsort(-row)).index(0)) for row in scores])),
        auc=roc_auc_score(labels.ravel(), scores.ravel()),
        gauc=float(np.mean([roc_auc_score(labels[0], row) for row in scores])),
        log_loss=sklearn_log_loss(labels.ravel(), probabilities.ravel()),
        k=10,
        num_users=300,
    )
    assert metrics.as_dict() == pytest.approx(expected.as_dict(), abs=1e-9)


def test_the_order_of_negatives_does_not_matter() -> None:
    scores = np.random.default_rng(12).integers(0, 5, size=(50, 20)).astype(np.float64)
    shuffled = scores.copy()
    shuffled[:, 1:] = np.random.default_rng(13).permuted(scores[:, 1:], axis=1)
    expected = evaluate_scores(scores).as_dict()
    assert evaluate_scores(shuffled).as_dict() == pytest.approx(expected, abs=1e-12)


def test_a_constant_model() -> None:
    metrics = evaluate_scores(np.zeros((5, 100)))
    assert (metrics.hr, metrics.ndcg, metrics.auc, metrics.gauc) == (0.0, 0.0, 0.5, 0.5)
    assert metrics.log_loss == pytest.approx(math.log(2))


def test_names_carry_the_prefix() -> None:
    metrics = evaluate_scores([[1.0, 0.0]])
    names = [field.name for field in dataclasses.fields(Metrics)]
    assert list(metrics.as_dict()) == names
    assert list(metrics.as_dict("edge/")) == [f"edge/{name}" for name in names]
    assert all(type(value) in (float, int) for value in metrics.as_dict().values())


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[1.0, 0.0], [0.0, math.nan]], "NaN in row 1, column 1"),
        ([[1.0, 0.0], [-math.inf, 0.0]], "received -inf in row 1, column 0"),
        ([[1.0], [0.0]], "at least one negative"),
        ([1.0, 0.0], "non-empty numeric matrix"),
    ],
)
def test_wrong_scores_are_refused(scores: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_scores(scores)


def test_wrong_k_is_refused() -> None:
    with pytest.raises(ConfigError, match="received 0"):
        evaluate_scores([[1.0, 0.0]], k=0)


def test_rows_of_one_user_are_joined_in_the_gauc():
    # User 5: positives 3 and 0 against negatives 1 and 2: 2 of 4 pairs are in order.
    # User 9: one row, in order. Weights by impressions: 4 and 2.
    scores = [[3.0, 1.0], [0.0, 2.0], [7.0, 6.0]]
    metrics = evaluate_scores(scores, k=1, users=[5, 5, 9])
    assert metrics.gauc == pytest.approx((4 * 0.5 + 2 * 1.0) / 6)
    assert metrics.num_users == 2
    assert metrics.hr == pytest.approx(2 / 3)
    alone = evaluate_scores(scores, k=1)
    assert alone.gauc == pytest.approx(2 / 3)
    assert alone.num_users == 3
    assert (alone.auc, alone.log_loss) == (metrics.auc, metrics.log_loss)


def test_one_user_per_row_is_needed():
    with pytest.raises(DataError, match=r"users: expected one user per row.*\(2,\)"):
        evaluate_scores([[2.0, 1.0], [0.0, 1.0]], users=[1])
