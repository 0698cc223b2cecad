"""The best items of a large catalog are those of the whole matrix of scores."""

import numpy as np
import pytest

from cloud import best_guesses, best_products
from cloud.best_products import BestProducts
from cloud.queries import guesses_of_logits, queries_of


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(best_products, "_USERS_AT_ONCE", 3)
    monkeypatch.setattr(best_products, "_FIRST", 4)
    monkeypatch.setattr(best_products, "_AT_ONCE", 7)


def _sorted(users, vectors, biases, closed, count):
    found = np.zeros((len(users), count), np.int32)
    for row, user in enumerate(users):
        scores = vectors @ user + biases
        items = 1 + np.argsort(-scores, kind="stable")
        items = items[np.isfinite(scores[items - 1]) & ~np.isin(items, closed[row])][:count]
        found[row, : len(items)] = items
    return found


@pytest.mark.parametrize("count", [1, 5, 40, 90])
@pytest.mark.parametrize("levels", [2, 1000])
def test_they_are_the_first_of_a_sort(count, levels):
    """Whole numbers, so that sums are exact and, of few levels, many scores are equal."""
    rng = np.random.default_rng(count)
    vectors = rng.integers(-levels, levels, (60, 3)).astype(np.float32)
    biases = rng.integers(0, levels, 60).astype(np.float32)
    biases[rng.integers(0, 60, 5)] = -np.inf
    users = rng.integers(-2, 3, (10, 3)).astype(np.float32)
    closed = [rng.choice(60, size, replace=False) + 1 for size in range(0, 60, 6)]
    found = BestProducts(vectors, biases).of(users, closed=closed, count=count)
    np.testing.assert_array_equal(found, _sorted(users, vectors, biases, closed, count))


def test_nobody_has_no_best_items():
    best = BestProducts(np.ones((20, 2), np.float32), np.zeros(20, np.float32))
    assert best.of(np.zeros((0, 2), np.float32), closed=[], count=3).shape == (0, 3)


def test_questions_of_a_large_catalog_are_drawn_from_the_same_guesses(make_cloud, monkeypatch):
    cloud = make_cloud()
    users = np.arange(8, dtype=np.int32)

    def guesses():
        found, _ = cloud._guesses(round_number=0)
        known = [cloud._view.older.of(user) for user in users.tolist()]
        return [np.sort(each[each > 0]).tolist() for each in found(users, known, 12)]

    small = guesses()
    monkeypatch.setattr(best_guesses, "IN_ONE_PIECE", 10)
    assert guesses() == small
    asked = cloud.queries(users, round_number=0)
    for row, (user, own) in enumerate(zip(users.tolist(), small, strict=True)):
        tops = round(cloud.num_queries * cloud.config.query_top_share)
        best = cloud._guesses(round_number=0)[0](
            users[[row]], [cloud._view.older.of(user)], 4 * tops
        )
        assert np.isin(asked[row, :tops], best[0]).all()
        assert not np.isin(asked[row], cloud._view.older.of(user)).any()
        assert len(own) == 12
    # Whoever else is asked.
    np.testing.assert_array_equal(cloud.queries(users[3:5], round_number=0), asked[3:5])


def test_each_user_is_asked_alone():
    class _Older:
        def of(self, user):
            return np.array([user + 1], np.int32)

    class _View:
        older, num_items = _Older(), 50

    logits = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    ask = {"view": _View(), "size": 6, "top_share": 0.5, "seed": (1,)}
    guesses = guesses_of_logits(lambda users: logits[users])
    everybody = queries_of(np.arange(4, dtype=np.int32), guesses=guesses, **ask)
    alone = queries_of(np.array([2], np.int32), guesses=guesses, **ask)
    np.testing.assert_array_equal(alone[0], everybody[2])
    assert 3 not in everybody[2]
