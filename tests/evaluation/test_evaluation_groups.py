"""Users by activity, cold ones, and each beside its own start."""

import math

import numpy as np
import pytest

from ecct_tf.errors import ConfigError, DataError
from ecct_tf.evaluation import activity_groups, activity_places, against_start, cold_group


def test_thirds_count_users_not_rows():
    # User 1 has four rows; by rows it would fill more than a third alone.
    users = [1, 1, 1, 1, 2, 3, 4, 5, 6]
    interactions = [9, 9, 9, 9, 1, 2, 5, 6, 20]
    groups = activity_groups(interactions, users=users)
    assert [(each.fewest, each.most, each.num_users) for each in groups] == [
        (1, 2, 2),
        (5, 6, 2),
        (9, 20, 2),
    ]
    assert groups[2].rows.tolist() == [True] * 4 + [False] * 4 + [True]
    assert np.sum([each.rows for each in groups], axis=0).tolist() == [1] * 9


def test_equally_active_users_stay_together():
    groups = activity_groups([6, 6, 6, 6], users=[1, 2, 3, 4])
    assert [(each.fewest, each.most, each.num_users) for each in groups] == [(6, 6, 4)]
    assert activity_places([1, 2, 2, 2, 9], groups=2).tolist() == [0, 0, 0, 0, 1]


def test_cold_users_are_those_up_to_the_border():
    group = cold_group([3, 4, 5, 3], users=[1, 2, 3, 4], most=4)
    assert (group.kind, group.fewest, group.most, group.num_users) == ("cold", 3, 4, 3)
    assert group.rows.tolist() == [True, True, False, True]
    nobody = cold_group([3, 4], users=[1, 2], most=2)
    assert (nobody.fewest, nobody.most, nobody.num_users) == (None, None, 0)
    assert not nobody.rows.any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="received shapes"):
        activity_groups([1, 2], users=[1])
    with pytest.raises(DataError, match="one number for each user, received 3 and 2 for user 8"):
        cold_group([2, 3], users=[8, 8], most=1)
    with pytest.raises(ConfigError, match="at least 1"):
        activity_places([1], groups=0)


def test_devices_against_their_start_by_hand():
    # User 1 climbs from third to first, user 2 stays out of the list, user 3 falls by one place
    # and climbs by one: the mean of its two rows counts. User 4 stays.
    now = [0, 12, 1, 2, 4]
    start = [2, 19, 0, 3, 4]
    found = against_start(now, start, k=10, users=[1, 2, 3, 3, 4])
    assert (found.better, found.equal, found.worse, found.num_users) == (0.25, 0.5, 0.25, 4)
    gains = [1 / math.log2(place + 2) if place < 10 else 0 for place in now]
    before = [1 / math.log2(place + 2) if place < 10 else 0 for place in start]
    assert found.ndcg == pytest.approx(sum(before) / 5)
    assert found.gain.mean == pytest.approx((sum(gains) - sum(before)) / 5)
    assert found.gain.num_users == 4


def test_a_start_that_nothing_changed_leaves_everybody_equal():
    found = against_start([3, 0, 7], [3, 0, 7], k=10, users=[1, 1, 2])
    assert (found.better, found.equal, found.worse) == (0, 1, 0)
    assert (found.gain.low, found.gain.high) == (0, 0)


def test_rows_of_another_length_are_refused():
    with pytest.raises(DataError, match="Measure both models on the same candidates"):
        against_start([1, 2], [1], k=10, users=[1, 2])
