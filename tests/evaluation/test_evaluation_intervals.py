"""Intervals over users: against formulas, paired against unpaired, users with several rows."""

import numpy as np
import pytest

from ecct_tf.errors import DataError
from ecct_tf.evaluation import Interval, interval_over_users, paired_interval
from ecct_tf.evaluation import intervals as module


def _coins(count, share, seed):
    return (np.random.default_rng(seed).random(count) < share).astype(float)


def test_an_interval_reaches_as_far_as_the_formula_says():
    values = _coins(943, 0.75, 0)
    found = interval_over_users(values)
    share = values.mean()
    reach = 1.96 * np.sqrt(share * (1 - share) / 943)
    assert found.mean == share
    # The half width of a share of 0.75 of 943 users: 0.0276, twice the standard error 0.0141.
    assert reach == pytest.approx(0.0276, abs=0.001)
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.06)
    assert found.low < share < found.high
    assert found.num_users == 943


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    values = np.random.default_rng(1).random(200)
    assert interval_over_users(values) == interval_over_users(values)
    assert interval_over_users(values, seed=1) != interval_over_users(values)


def test_a_pair_knows_more_than_its_parts():
    hard = np.random.default_rng(2).random(500)
    theirs = (hard < 0.5).astype(float)
    ours = (hard < 0.55).astype(float)
    paired = paired_interval(ours, theirs)
    assert paired.mean == pytest.approx(ours.mean() - theirs.mean())
    assert paired.excludes_zero
    # Side by side the intervals overlap: nothing could be said.
    assert interval_over_users(ours).low < interval_over_users(theirs).high
    assert not paired_interval(ours, ours).excludes_zero


def test_rows_of_one_user_are_drawn_together():
    # 40 users whose 25 rows each are all alike: as much is known as from 40 rows, not from 1000.
    per_user = _coins(40, 0.5, 3)
    users = np.repeat(np.arange(40), 25)
    together = interval_over_users(np.repeat(per_user, 25), users=users)
    alone = interval_over_users(per_user)
    assert (together.mean, together.num_users) == (alone.mean, 40)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    wrong = interval_over_users(np.repeat(per_user, 25))
    assert wrong.high - wrong.low < 0.3 * (together.high - together.low)


def test_the_mean_is_over_rows_as_the_metrics_are():
    # User 7 has three rows, user 8 one: 3 of 4 rows, though half of the users.
    found = interval_over_users([1, 1, 1, 0], users=[7, 7, 7, 8])
    assert found.mean == 0.75
    # A draw of user 8 alone has mean 0, one of user 7 alone 1.
    assert (found.low, found.high) == (0.0, 1.0)


def test_many_users_take_the_normal_approximation_to_the_same_end(monkeypatch):
    values = _coins(3000, 0.4, 4)
    users = np.random.default_rng(5).integers(0, 1500, 3000)
    drawn = interval_over_users(values, users=users)
    monkeypatch.setattr(module, "_MANY_USERS", 2)
    formula = interval_over_users(values, users=users)
    assert formula.mean == drawn.mean
    assert formula.low == pytest.approx(drawn.low, abs=2e-3)
    assert formula.high == pytest.approx(drawn.high, abs=2e-3)


def test_one_user_has_no_interval():
    assert interval_over_users([0.0, 1.0], users=[5, 5]) == Interval(0.5, None, None, 1)
    assert not Interval(0.5, None, None, 1).excludes_zero


@pytest.mark.parametrize(
    ("values", "users", "words"),
    [
        ([], None, "non-empty"),
        ([0.0, np.nan], None, "finite"),
        ([0.0, 1.0], [1], "one user per row"),
    ],
)
def test_what_does_not_fit_is_refused(values, users, words):
    with pytest.raises(DataError, match=words):
        interval_over_users(values, users=users)
    with pytest.raises(DataError, match="on the same candidates"):
        paired_interval([1.0, 0.0], [1.0])
