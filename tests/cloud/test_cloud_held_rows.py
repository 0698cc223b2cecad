"""Which rows the cloud sends each device, and that it asks about no others."""

import numpy as np
import pytest

from cloud import best_products, held_rows
from cloud.held_rows import AskingHeld, choose_held_items
from ecct_tf.config import CandidateRowsConfig
from ecct_tf.data import SyntheticConfig, cloud_view, leave_one_out, synthetic_dataset
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import ItemTable

ITEMS, WIDTH = 120, 3


@pytest.fixture(scope="module")
def view():
    dataset = synthetic_dataset(SyntheticConfig(users=10, items=ITEMS))
    return cloud_view(dataset, leave_one_out(dataset))


@pytest.fixture(scope="module")
def table(view):
    rng = np.random.default_rng(0)
    rows = view.num_items + 1
    return ItemTable(
        blocks=(),
        attributes=np.zeros((rows, 0), np.float32),
        cloud=rng.standard_normal((rows, WIDTH)).astype(np.float32),
        bias=rng.standard_normal(rows).astype(np.float32),
        feature_mean=np.zeros(1, np.float32),
        feature_scale=np.ones(1, np.float32),
    )


VECTORS = np.random.default_rng(1).standard_normal((10, WIDTH)).astype(np.float32)


def chosen(view, table, **sizes):
    config = CandidateRowsConfig(**{"best": 4, "popular": 5, "uniform": 3, **sizes})
    return choose_held_items(
        view, table, config, downlinks=lambda users: VECTORS[users], newest=2, seed=0
    )


def test_the_shared_rows_are_the_most_popular_and_a_draw_of_the_others(view, table):
    counts = np.bincount(view.older.items, minlength=view.num_items + 1)
    popular = 1 + np.argsort(-counts[1:], kind="stable")[:5]
    shared = chosen(view, table).shared
    assert len(shared) == len(set(shared.tolist())) == 8
    assert set(popular.tolist()) <= set(shared.tolist())
    assert chosen(view, table, uniform=0).shared.tolist() == sorted(popular.tolist())


def test_a_users_own_are_the_best_ranked_that_are_new_and_the_newest_that_the_cloud_knows(
    view, table
):
    held = chosen(view, table)
    for user in range(view.num_users):
        logits = table.cloud[1:] @ VECTORS[user] + table.bias[1:]
        ranked = 1 + np.argsort(-logits, kind="stable")
        known = view.older.of(user)
        new = [i for i in ranked.tolist() if i not in known and i not in held.shared]
        expected = {*new[:4], *known[-2:].tolist()}
        assert set(held.own[user].tolist()) - {0} == expected


def test_in_a_large_catalog_they_are_the_same_found_in_blocks(view, table, monkeypatch):
    sizes = {"few": {}, "more than there are": {"best": 1000}}
    whole = {name: chosen(view, table, **some) for name, some in sizes.items()}
    monkeypatch.setattr(held_rows, "IN_ONE_PIECE", view.num_items - 1)
    monkeypatch.setattr(best_products, "_FIRST", 8)
    monkeypatch.setattr(best_products, "_AT_ONCE", 16)
    for name, some in sizes.items():
        blocks = chosen(view, table, **some)
        np.testing.assert_array_equal(blocks.shared, whole[name].shared)
        np.testing.assert_array_equal(blocks.own, whole[name].own)


def test_more_rows_than_there_are_items_are_all_of_them(view, table):
    held = chosen(view, table, best=1000, popular=1000, uniform=1000)
    assert held.of(3).tolist() == list(range(1, view.num_items + 1))


def test_a_cloud_that_sends_rows_of_pairs_has_nothing_to_rank_by(view, table):
    rows = ItemTable(
        blocks=(),
        attributes=table.attributes,
        cloud=np.zeros((view.num_items + 1, 0), np.float32),
        bias=np.zeros(view.num_items + 1, np.float32),
        feature_mean=table.feature_mean,
        feature_scale=table.feature_scale,
        row_dim=4,
    )
    with pytest.raises(ConfigError, match=r"exchange\.items=candidates: expected a cloud whose"):
        chosen(view, rows)


class _Scoring:
    """A cloud that scores items by their number."""

    def scores(self, users, candidates, *, knowledge, round_number):
        del users, knowledge, round_number
        return candidates.astype(np.float32)


def test_questions_are_about_rows_that_were_sent_and_what_the_cloud_does_not_know(view, table):
    held = chosen(view, table)
    asking = AskingHeld(_Scoring(), held, view, num_queries=6, top_share=0.5, seed=0)
    users = np.arange(view.num_users, dtype=np.int32)
    asked = asking.queries(users, round_number=1)
    for user, items in zip(users.tolist(), asked.tolist(), strict=True):
        open_rows = set(held.of(user).tolist()) - set(view.older.of(user).tolist())
        assert set(items) <= open_rows
    # Each user's are drawn by themselves, anew in each round.
    np.testing.assert_array_equal(asking.queries(users[3:5], round_number=1), asked[3:5])
    assert not np.array_equal(asking.queries(users, round_number=2), asked)
