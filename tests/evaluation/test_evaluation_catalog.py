"""Ranking over the whole catalog: places and lists block by block, and what follows from them."""

import math

import numpy as np
import pytest

from ecct_tf.errors import ConfigError, DataError
from ecct_tf.evaluation import CatalogRanker, CatalogRanking, catalog_metrics, ranks


def _ranked(scores, positives, left_out, *, k, width):
    """Ranks `[rows, items]` scores in blocks of `width` items; `left_out` are items by row."""
    scores, positives = np.asarray(scores), np.asarray(positives)
    rows, num_items = scores.shape
    allowed = np.ones(scores.shape, bool)
    for row, items in enumerate(left_out):
        allowed[row, np.array([*items, positives[row]]) - 1] = False
    own = scores[np.arange(rows), positives - 1][:, None]
    ranker = CatalogRanker(positives, k=k)
    for start in range(0, num_items, width):
        block = np.arange(start, min(start + width, num_items))
        ranker.add(
            np.concatenate([own, scores[:, block]], axis=1),
            items=block + 1,
            allowed=allowed[:, block],
        )
    return ranker.ranking()


@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_places_and_lists_by_hand(width):
    scores = [
        [0.9, 0.8, 0.1, 0.8, 0.2],  # held out 2: behind 1, and behind 4, which ties with it
        [0.9, 0.8, 0.1, 0.8, 0.2],  # the same, 1 and 4 met before
        [0.0, 0.0, 0.0, 0.0, 0.0],  # everything ties: the held-out item is last
    ]
    found = _ranked(scores, [2, 2, 1], [[], [1, 4], []], k=3, width=width)
    assert found.places.tolist() == [2, 0, 4]
    assert found.top.tolist() == [[1, 4, 2], [2, 5, 3], [2, 3, 4]]


def test_a_row_with_fewer_candidates_than_the_list_is_long():
    found = _ranked([[0.1, 0.9, 0.5]], [1], [[3]], k=3, width=2)
    assert (found.places.tolist(), found.top.tolist()) == ([1], [[2, 1, 0]])


@pytest.mark.parametrize("width", [7, 64, 300])
def test_blocks_agree_with_one_sort_of_everything(width):
    rng = np.random.default_rng(3)
    # Few values, so that there are ties.
    scores = rng.integers(0, 40, (50, 200)).astype(np.float32)
    positives = rng.integers(1, 201, 50)
    left_out = [rng.choice(200, 30, replace=False) + 1 for _ in range(50)]
    found = _ranked(scores, positives, left_out, k=10, width=width)
    for row, positive in enumerate(positives):
        others = np.setdiff1d(np.arange(1, 201), [*left_out[row], positive])
        whole = np.concatenate([[positive], others])
        assert found.places[row] == ranks(scores[row, whole - 1][None])[0]
        # The held-out item behind its ties, the others by their number.
        order = sorted(whole, key=lambda item: (-scores[row, item - 1], item == positive, item))
        assert found.top[row].tolist() == [int(item) for item in order[:10]]
        assert (positive in found.top[row]) == (found.places[row] < 10)


@pytest.mark.parametrize(
    ("scores", "allowed", "expected"),
    [
        ([[0.1, np.nan]], [[True]], "finite numbers, received nan in row 0, column 1"),
        ([[-np.inf, 0.1]], [[True]], "finite numbers"),
        ([[0.1]], [[True]], "expected shape"),
        ([[0.1, 0.2]], [[True, False]], "expected shape"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(scores, allowed, expected):
    with pytest.raises(DataError, match=expected):
        CatalogRanker(np.array([1]), k=1).add(scores, items=np.array([2]), allowed=allowed)
    with pytest.raises(ConfigError, match="at least 1, received 0"):
        CatalogRanker(np.array([1]), k=0)


def test_metrics_by_hand():
    # User 7 has two tested interactions, one of them hit; user 8 has one, which is hit.
    found = CatalogRanking(
        places=np.array([0, 5, 1]),
        top=np.array([[1, 2], [1, 3], [4, 1]], np.int32),
    )
    # Of 4 users all met item 1, one met 2, two met 3, nobody met 4 or 5.
    metrics = catalog_metrics(found, users=[7, 7, 8], item_users=[0, 4, 1, 2, 0, 0], num_users=4)
    assert metrics.hr == pytest.approx(2 / 3)
    assert metrics.recall == pytest.approx((1 / 2 + 1) / 2)
    assert metrics.ndcg == pytest.approx((1 + 0 + 1 / math.log2(3)) / 3)
    assert metrics.mrr == pytest.approx((1 + 1 / 6 + 1 / 2) / 3)
    assert metrics.coverage == 4 / 5
    # Bits: item 1 has 0, 2 has 2, 3 has 1; 4 counts as met by one, 2 bits.
    assert metrics.novelty == pytest.approx((0 + 2 + 0 + 1 + 2 + 0) / 6)
    assert (metrics.k, metrics.num_items) == (2, 5)


def test_empty_slots_of_a_list_recommend_nothing():
    found = CatalogRanking(np.array([1]), np.array([[2, 1, 0]], np.int32))
    metrics = catalog_metrics(found, users=[0], item_users=[9, 1, 2, 1], num_users=9)
    assert metrics.coverage == pytest.approx(2 / 3)
    assert metrics.novelty == pytest.approx((math.log2(9 / 2) + math.log2(9)) / 2)


def test_users_and_counts_must_fit():
    found = CatalogRanking(np.array([0]), np.array([[1]], np.int32))
    with pytest.raises(DataError, match=r"users: expected one user per row"):
        catalog_metrics(found, users=[1, 2], item_users=[0, 1], num_users=1)
    with pytest.raises(DataError, match="num_users: expected at least the 3 users"):
        catalog_metrics(found, users=[1], item_users=[0, 3], num_users=2)
