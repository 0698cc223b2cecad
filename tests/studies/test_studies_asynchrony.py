"""The study of asynchrony: equal device updates at every point, and no answer lost."""

import dataclasses

import pytest

from ecct_tf.reporting.run import read_run
from ecct_tf.studies import find_study, plan_study, run_study
from ecct_tf.studies.asynchrony import lost_answers, mean_age, under_way


def test_every_point_has_as_many_device_updates(small):
    plan = plan_study(find_study("asynchrony"), seeds=(0,), overrides=small)
    updates = {}
    for name, config in plan.runs.items():
        own = config.participation
        rounds = config.rounds if config.method == "ecct" else config.federated_baseline.rounds
        answering = own.wanted(1000) * (1.0 - own.dropout)
        updates.setdefault(config.method, set()).add(rounds * answering)
        scaled = config.cloud.staleness_half_life * answering
        assert scaled == pytest.approx(5 * 1000), name
    assert updates == {"ecct": {10_000.0}, "fedavg": {40_000.0}}


def test_a_late_point_runs_and_loses_nothing(small, tmp_path):
    study = find_study("asynchrony")
    point = study.points[4]
    assert "participation.delay.max_rounds=20" in point.overrides
    few = ("federated_baseline.rounds=6", "participation.delay.max_rounds=3")
    study = dataclasses.replace(
        study,
        points=(dataclasses.replace(point, overrides=(*point.overrides, *few)),),
        methods=("fedavg",),
        reference=None,
    )
    shares = ("participation.share=0.5", "participation.dropout=0")
    point = dataclasses.replace(study.points[0], overrides=(*study.points[0].overrides, *shares))
    study = dataclasses.replace(study, points=(point,))
    plan = plan_study(study, seeds=(0,), overrides=small)
    run_study(plan, name="asynchrony", out=tmp_path / "s", command="", say=[].append)
    run = read_run(tmp_path / "s" / next(iter(plan.runs)))
    assert lost_answers(run, "edge") == 0.0
    assert under_way(run, "edge") > 0
    assert 0 < mean_age(run, "edge") <= 3
