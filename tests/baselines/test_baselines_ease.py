"""EASE against its definition: a ridge regression per item, the item itself left out."""

import numpy as np
import pytest

from ecct_tf.baselines import Ease, ease_scores, fit_ease
from ecct_tf.baselines import ease as ease_module
from ecct_tf.errors import ConfigError, DataError

NUM_ITEMS = 7


@pytest.fixture
def histories() -> list[np.ndarray]:
    rng = np.random.default_rng(17)
    return [
        rng.permutation(NUM_ITEMS)[: rng.integers(1, NUM_ITEMS)].astype(np.int32) + 1
        for _ in range(12)
    ]


def dense(histories: list[np.ndarray]) -> np.ndarray:
    matrix = np.zeros((len(histories), NUM_ITEMS + 1))
    for row, history in zip(matrix, histories, strict=True):
        row[history] = 1.0
    return matrix


def ridge_per_item(matrix: np.ndarray, regularization: float) -> np.ndarray:
    """The definition, by ordinary least squares on rows extended by sqrt(lambda) I."""
    weights = np.zeros((matrix.shape[1], matrix.shape[1]))
    for item in range(1, matrix.shape[1]):
        others = [other for other in range(1, matrix.shape[1]) if other != item]
        penalty = np.sqrt(regularization) * np.eye(len(others))
        inputs = np.vstack([matrix[:, others], penalty])
        target = np.concatenate([matrix[:, item], np.zeros(len(others))])
        weights[others, item] = np.linalg.lstsq(inputs, target, rcond=None)[0]
    return weights


@pytest.mark.parametrize("regularization", [0.1, 2.0, 500.0])
def test_is_the_constrained_ridge_regression(
    histories: list[np.ndarray], regularization: float
) -> None:
    model = fit_ease(histories, num_items=NUM_ITEMS, regularization=regularization)
    expected = ridge_per_item(dense(histories), regularization)
    assert model.weights.dtype == np.float32
    np.testing.assert_allclose(model.weights, expected, rtol=1e-5, atol=1e-8)


def test_no_neighbour_has_a_lower_objective(histories: list[np.ndarray]) -> None:
    matrix, rng = dense(histories), np.random.default_rng(19)
    weights = fit_ease(histories, num_items=NUM_ITEMS, regularization=2.0).weights

    def objective(candidate: np.ndarray) -> float:
        return float(((matrix - matrix @ candidate) ** 2).sum() + 2.0 * (candidate**2).sum())

    for _ in range(20):
        step = rng.normal(scale=0.01, size=weights.shape)
        np.fill_diagonal(step, 0.0)
        assert objective(weights) < objective(weights + step)


def test_padding_and_diagonal_are_zero(histories: list[np.ndarray]) -> None:
    weights = fit_ease(histories, num_items=NUM_ITEMS + 2).weights
    assert weights.shape == (NUM_ITEMS + 3, NUM_ITEMS + 3)
    for part in (weights[0], weights[:, 0], np.diag(weights), weights[-2:], weights[:, -2:]):
        assert not part.any()  # the last two items were never seen


def test_order_repetition_and_padding_do_not_matter_for_the_fit(
    histories: list[np.ndarray],
) -> None:
    disguised = [np.concatenate([[0], history[::-1], history[:1], [0]]) for history in histories]
    np.testing.assert_array_equal(
        fit_ease(disguised, num_items=NUM_ITEMS).weights,
        fit_ease(histories, num_items=NUM_ITEMS).weights,
    )


def weights_by_hand() -> np.ndarray:
    weights = np.zeros((4, 4), np.float32)
    weights[1, 2], weights[1, 3], weights[2, 3], weights[3, 1] = 8, 16, 32, -4
    return weights


def test_scores_by_hand() -> None:
    candidates = np.array([[1, 2, 3], [1, 2, 3], [3, 3, 1]], np.int32)
    histories = [np.array([2, 1]), np.array([1, 2, 3]), np.array([], np.int32)]
    model = Ease(weights_by_hand())
    scores = ease_scores(model, histories, candidates)
    assert scores.dtype == np.float32
    assert scores.tolist() == [[0, 8, 48], [-4, 8, 48], [0, 0, 0]]
    # The newest has age 0: [2, 1] weighs item 1 by 1 and item 2 by a half.
    recent = ease_scores(model, histories, candidates, decay=0.5)
    assert recent.tolist() == [[0, 8, 16 + 16], [-4, 2, 4 + 16], [0, 0, 0]]


def test_a_repeated_item_counts_once_at_its_newest() -> None:
    model, candidates = Ease(weights_by_hand()), np.array([[2, 3]])
    # Ages without padding: 1 -> 0 (and 3), 2 -> 1 (and 2).
    history = np.array([0, 1, 2, 2, 1, 0])
    assert ease_scores(model, [history], candidates).tolist() == [[8, 48]]
    assert ease_scores(model, [history], candidates, decay=0.5).tolist() == [[8, 16 + 16]]


def test_scores_do_not_depend_on_the_block(
    histories: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit_ease(histories, num_items=NUM_ITEMS, regularization=2.0)
    candidates = np.tile(np.arange(1, NUM_ITEMS + 1, dtype=np.int32), (len(histories), 1))
    whole = ease_scores(model, histories, candidates)
    np.testing.assert_allclose(whole, (dense(histories) @ model.weights)[:, 1:], atol=1e-6)
    monkeypatch.setattr(ease_module, "_DEVICES_AT_ONCE", 5)
    np.testing.assert_array_equal(ease_scores(model, histories, candidates), whole)


def test_wrong_settings_are_refused(histories: list[np.ndarray]) -> None:
    for regularization in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ConfigError, match=f"received {regularization}"):
            fit_ease(histories, num_items=NUM_ITEMS, regularization=regularization)
    model = Ease(weights_by_hand())
    for decay in (0.0, 1.5, np.nan):
        with pytest.raises(ConfigError, match=f"decay.*received {decay}"):
            ease_scores(model, [np.array([1])], np.array([[2]]), decay=decay)


def test_wrong_data_is_refused() -> None:
    model = Ease(weights_by_hand())
    with pytest.raises(DataError, match="one per row of candidates, 2, received 1"):
        ease_scores(model, [np.array([1])], np.array([[2], [3]]))
    with pytest.raises(DataError, match=r"histories\[0\].*received 4"):
        ease_scores(model, [np.array([4])], np.array([[2]]))
    with pytest.raises(DataError, match=r"square float32 matrix.*float64"):
        Ease(np.zeros((3, 3)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="square float32 matrix"):
        Ease(np.zeros((3, 4), np.float32))
    with pytest.raises(DataError, match="row and column 0"):
        Ease(np.ones((3, 3), np.float32))
