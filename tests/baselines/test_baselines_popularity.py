"""Popularity, counted by hand, and the checks that all baselines share."""

import numpy as np
import pytest

from ecct_tf.baselines import popularity_scores
from ecct_tf.errors import ConfigError, DataError

HISTORIES = [np.array([1, 2, 3]), np.array([2, 3, 2]), np.array([0, 0, 3]), np.array([], np.int32)]


def test_by_hand() -> None:
    # Item 2: two devices, although one came back to it; padding counts for nothing.
    candidates = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], np.int32)
    scores = popularity_scores(HISTORIES, candidates, num_items=4)
    assert scores.dtype == np.float32
    assert scores.tolist() == [[1, 2, 3, 0], [0, 3, 2, 1]]


def test_histories_may_be_a_padded_matrix() -> None:
    histories = np.array([[0, 1, 2], [2, 3, 0]])
    assert popularity_scores(histories, np.array([[1, 2, 3]]), num_items=3).tolist() == [[1, 2, 1]]


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ([np.array([1]), np.array([2, 5])], r"histories\[1\].*from 1 to 4.*received 5"),
        ([np.array([-1])], r"histories\[0\].*received -1"),
        ([np.array([1.0])], r"histories\[0\].*integer item ids.*float64"),
        ([np.array([[1]])], r"histories\[0\].*shape \(1, 1\)"),
        ([], "at least one device"),
    ],
)
def test_wrong_histories_are_refused(histories: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        popularity_scores(histories, np.array([[1]]), num_items=4)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (np.array([[1, 2], [3, 0]]), r"candidates\[1, 1\].*from 1 to 4, received 0"),
        (np.array([[5]]), r"candidates\[0, 0\].*received 5"),
        (np.array([1, 2]), r"integer matrix.*shape \(2,\)"),
        (np.array([[1.0]]), "integer matrix.*float64"),
    ],
)
def test_wrong_candidates_are_refused(candidates: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        popularity_scores(HISTORIES, candidates, num_items=4)


def test_wrong_number_of_items_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_items: expected at least 1, received 0"):
        popularity_scores([np.array([], np.int32)], np.zeros((0, 1), np.int32), num_items=0)
