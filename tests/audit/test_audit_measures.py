"""Figures by hand, and intervals that are paired."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecct_tf.audit import measures
from ecct_tf.audit.measures import Curve, Draws, balanced_accuracy, class_auc, difference


def test_an_area_is_exact_with_many_scores_and_its_interval_is_that_of_delong():
    rng = np.random.default_rng(0)
    members = rng.random(2000) < 0.2
    scores = rng.normal(size=2000) + members
    found = Curve(scores, members, Draws(np.arange(2000))).area
    assert found.value == pytest.approx(roc_auc_score(members, scores), abs=1e-12)
    above = scores[members][:, None] > scores[~members]
    error = np.sqrt(sum(above.mean(axis=a).var() / above.shape[1 - a] for a in (0, 1)))
    interval = found.estimate
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert (interval.low + interval.high) / 2 == pytest.approx(found.value, abs=2e-3)


def test_rows_of_one_user_are_drawn_together():
    # Each user's rows repeated ten times: no more is known than of the users once.
    rng = np.random.default_rng(1)
    members = rng.random(80) < 0.5
    scores = rng.normal(size=80) + members
    once = Curve(scores, members, Draws(np.arange(80))).area
    owners = np.repeat(np.arange(80), 10)
    again = Curve(scores[owners], members[owners], Draws(owners)).area
    assert np.allclose(again.drawn, once.drawn)


def test_a_difference_to_itself_is_zero_and_pairs_narrow_the_interval():
    rng = np.random.default_rng(2)
    members = rng.random(300) < 0.5
    scores = rng.normal(size=300) + members
    draws = Draws(np.arange(300))
    first = Curve(scores, members, draws).area
    second = Curve(scores + 0.1 * rng.normal(size=300), members, draws).area
    assert difference(first, first).estimate == measures.Estimate(0.0, 0.0, 0.0)
    near = difference(second, first).estimate
    assert near.high - near.low < 0.3 * (first.estimate.high - first.estimate.low)


def test_classes_and_false_alarms_by_hand():
    draws = Draws(np.arange(4))
    labels = np.array([0, 1, 2, 2])
    scores = np.log(np.array([[0.6, 0.2, 0.2], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]]))
    assert balanced_accuracy(scores, labels, draws).value == pytest.approx((1 + 0 + 0.5) / 3)
    # Class 0: 3/3 pairs; class 1: 0.3 above two of 0.2, 0.2, 0.5; class 2: 0.7, 0.3 above both.
    assert class_auc(scores, labels, draws).value == pytest.approx((1 + 2 / 3 + 1) / 3)
    members = np.array([True, False, True, False])
    assert Curve(np.array([4.0, 3.0, 2.0, 1.0]), members, draws).rate(0.4).value == 0.5
