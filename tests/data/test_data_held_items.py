"""Devices that hold rows of some items: what they train on, and where tested positions are."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.data import SyntheticConfig, leave_one_out, synthetic_dataset
from ecct_tf.data.candidates import evaluation_candidates
from ecct_tf.data.guard import guard_candidates
from ecct_tf.data.held_items import HeldItems, held_dataset, placed_candidates
from ecct_tf.data.samples import draw_samples


@pytest.fixture(scope="module")
def data():
    dataset = synthetic_dataset(SyntheticConfig(users=12, items=120))
    return dataset, leave_one_out(dataset, recent_fraction=0.5)


def every_second(split):
    """Rows of the even items, which devices share, and of each user's older ones."""
    own = [split.older(user) for user in range(split.num_users)]
    width = max(map(len, own))
    padded = [np.pad(items, (0, width - len(items))) for items in own]
    return HeldItems(np.arange(2, split.num_items + 1, 2), np.stack(padded))


def test_a_row_of_ones_own_that_all_share_counts_once():
    held = HeldItems(np.array([2, 5]), np.array([[0, 3, 5], [0, 0, 2]]))
    assert held.own_counts.tolist() == [1, 0]
    assert held.of(0).tolist() == [2, 3, 5]


def test_recent_interactions_of_unknown_items_are_gone_and_nothing_else(data):
    dataset, split = data
    held = every_second(split)
    thin, cut = held_dataset(dataset, split, held)
    assert len(thin.items) == len(cut.items) < len(split.items)
    for user in split.users.tolist():
        known = set(held.of(user).tolist())
        expected = [item for item in split.recent(user).tolist() if item in known]
        assert cut.recent(user).tolist() == expected
        np.testing.assert_array_equal(cut.older(user), split.older(user))
        assert (cut.validation(user), cut.test(user)) == (split.validation(user), split.test(user))


def test_a_user_may_be_left_without_a_recent_interaction(data):
    dataset, split = data
    nothing = HeldItems(np.array([1]), np.zeros((split.num_users, 0)))
    _, cut = held_dataset(dataset, split, nothing)
    assert (cut.recent_counts <= 1).all()
    assert len(cut.users) == len(split.users)


def test_tested_positions_stay_those_of_the_tested_interactions(data):
    dataset, split = data
    _, cut = held_dataset(dataset, split, every_second(split))
    test = evaluation_candidates(split, part="test", negatives=5, seed=0)
    placed = placed_candidates(test, split, cut)
    assert (placed.positions < test.positions).any()
    found = [cut.touched(u)[p] for u, p in zip(placed.users, placed.positions, strict=True)]
    assert found == test.items[:, 0].tolist()


def test_a_request_misses_the_rows_that_the_device_has_not(data):
    _, split = data
    held = HeldItems(np.arange(2, split.num_items + 1, 2), np.zeros((split.num_users, 0)))
    test = evaluation_candidates(split, part="test", negatives=5, seed=0)
    assert held.missing(test).tolist() == (test.items % 2).sum(axis=1).tolist()


def test_negatives_come_from_the_rows_held_outside_the_history():
    pool = np.array([2, 3, 5, 8, 9], np.int32)
    drawn = draw_samples(
        np.array([3, 1, 4, 8], np.int32),
        num_older=1,
        num_items=40,
        history_length=3,
        samples=SampleConfig(negatives=30, guard_positions=0),
        seed=0,
        user=5,
        pool=pool,
    )
    assert set(drawn.candidates[:, 1:].ravel().tolist()) == {2, 5, 9}


def test_what_a_device_judges_by_comes_from_them_too():
    history, newest = np.array([3, 1, 8], np.int32), np.array([2])
    pool = np.array([2, 3, 5, 8], np.int32)
    found = guard_candidates(history, newest, num_items=40, pool=pool)
    assert found[0, 0] == 8
    assert set(found[0, 1:].tolist()) == {2, 5}
    everything = np.arange(1, 41, dtype=np.int32)
    np.testing.assert_array_equal(
        guard_candidates(history, newest, num_items=40, pool=everything),
        guard_candidates(history, newest, num_items=40),
    )
    assert guard_candidates(history, newest, num_items=40, pool=history[:1]).shape == (0, 100)


def test_a_split_keeps_its_bound_unless_it_is_told_another(data):
    _, split = data
    assert dataclasses.replace(split).min_training == 2
