"""The study of stability: how far a side falls below its best so far, and in which round."""

import pytest

from ecct_tf.reporting.run import read_run
from ecct_tf.studies import find_study, plan_study
from ecct_tf.studies.stability import largest_fall, worst_round


def test_the_largest_fall_is_below_the_best_so_far(make_run, course):
    run = read_run(make_run(metrics=course(0.5, 0.7, 0.66, 0.72, 0.71)))
    assert largest_fall(run, "edge") == pytest.approx(0.04)
    assert worst_round(run, "edge") == 3.0
    assert largest_fall(run, "cloud") is None


def test_a_side_that_only_rises_has_no_worst_round(make_run, course):
    run = read_run(make_run(metrics=course(0.5, 0.5, 0.6)))
    assert largest_fall(run, "edge") == 0.0
    assert worst_round(run, "edge") is None


def test_every_round_is_measured(small):
    plan = plan_study(find_study("stability"), seeds=(0,), overrides=small)
    assert {config.evaluation.every for config in plan.runs.values()} == {1}
    assert {config.method for config in plan.runs.values()} == {"ecct", "cloud-only"}
    assert plan.runs["30-fail/ecct-seed0"].participation.dropout == 0.3
