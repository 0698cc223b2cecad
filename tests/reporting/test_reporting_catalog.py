"""Figures over the whole catalog, by group and since the start, as reports have them."""

import csv
import io
import math
import re

import pandas as pd
import pytest

from ecct_tf.errors import RunFolderError
from ecct_tf.reporting import compare_runs, read_run, read_runs, write_report
from ecct_tf.reporting.comparison_files import as_csv, as_markdown
from ecct_tf.reporting.gains import gain_since_start, served_by_start
from ecct_tf.reporting.groups import group_quality
from ecct_tf.reporting.pairs import gain_interval, interval_of

EDGE, CLOUD, AVERAGED = ("ECCT edge", "edge"), ("ECCT cloud", "cloud"), ("FedAvg", "edge")
CATALOG = {
    "catalog_hr": 0.5,
    "catalog_recall": 0.5,
    "catalog_ndcg": 0.25,
    "catalog_mrr": 0.2,
    "coverage": 0.125,
    "novelty": 2.75,
}


def _gain(rank):
    return 1 / math.log2(rank + 1)


@pytest.fixture
def paths(make_run, result):
    """ECCT with everything, its cloud without a start, FedAvg over the catalog too."""
    ours = [result(*EDGE, 0.75, **CATALOG), result(*CLOUD, 0.5)]
    theirs = [result(*AVERAGED, 0.5, method="fedavg", **{**CATALOG, "catalog_ndcg": 0.125})]
    return [
        make_run(
            "ecct",
            results=ours,
            ranks={EDGE: (1, 2, 11, 4), CLOUD: (3, 3, 3, 3)},
            catalog_ranks={EDGE: (1, 3, 900, 30)},
            start_ranks={EDGE: (2, 2, 20, 3)},
            interactions=(10, 20, 30, 40),
        ),
        make_run(
            "fedavg",
            method="fedavg",
            results=theirs,
            ranks={AVERAGED: (2, 2, 11, 4)},
            catalog_ranks={AVERAGED: (3, 3, 700, 60)},
        ),
    ]


@pytest.fixture
def compared(paths):
    return compare_runs(read_runs(paths))


def _model(comparison, name):
    return next(model for model in comparison.models if model.name == name)


def test_differences_are_paired_in_every_measure(compared):
    edge, averaged = _model(compared, "ECCT edge"), _model(compared, "FedAvg")
    assert gain_interval(edge, averaged).mean == 0
    assert gain_interval(edge, averaged, "ndcg").mean == pytest.approx((1 - _gain(2)) / 4)
    assert gain_interval(edge, averaged, "catalog_hr").mean == 0
    found = gain_interval(edge, averaged, "catalog_ndcg")
    # Users 2 to 4 have the same figure by both: only the first differs.
    assert found.mean == pytest.approx((1 - 0.5) / 4)
    assert (found.low, found.num_users) == (0, 4)
    assert interval_of(edge, "catalog_ndcg").mean == pytest.approx((1 + 0.5) / 4)


def test_what_was_not_ranked_over_the_catalog_has_no_pair(compared):
    edge, cloud = _model(compared, "ECCT edge"), _model(compared, "ECCT cloud")
    assert gain_interval(edge, cloud).mean == -0.25
    assert gain_interval(edge, cloud, "catalog_hr") is None
    assert interval_of(cloud, "catalog_ndcg") is None


def test_the_tables_have_the_catalog_where_it_was_measured(compared, make_run):
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(as_csv(compared)))}
    assert float(rows["ECCT edge"]["coverage_mean"]) == 0.125
    assert float(rows["FedAvg"]["gain_catalog_ndcg"]) == pytest.approx(0.125)
    assert float(rows["FedAvg"]["gain_ndcg_low"]) == 0
    assert rows["ECCT cloud"]["catalog_hr_mean"] == rows["ECCT cloud"]["gain_catalog_hr"] == ""
    head, _, edge, cloud, averaged = as_markdown(compared).splitlines()[:5]
    assert head.endswith("| catalog NDCG@10 | over it, catalog NDCG@10 |")
    assert edge.endswith("| 0.250 | - |")
    assert cloud.endswith("| - | - |")
    assert averaged.endswith("| 0.125 | +0.125 (0.000 to +0.375) |")
    plain = compare_runs([read_run(make_run("plain"))])
    assert not plain.over_catalog
    assert "catalog" not in as_markdown(plain)


def test_since_the_start_by_hand(compared):
    found = gain_since_start(_model(compared, "ECCT edge"))
    # 2 to 1 is better, 3 to 4 worse, the others are as they were.
    assert (found.better, found.equal, found.worse) == (0.25, 0.5, 0.25)
    assert found.ndcg == pytest.approx((2 * _gain(2) + _gain(3)) / 4)
    assert found.gain.mean == pytest.approx((1 - _gain(2) + _gain(4) - _gain(3)) / 4)
    assert gain_since_start(_model(compared, "ECCT cloud")) is None
    assert gain_since_start(_model(compared, "FedAvg")) is None


def test_the_report_tells_what_share_is_served_by_the_start(make_run, result, compared, tmp_path):
    assert served_by_start(_model(compared, "ECCT edge")) is None
    runs = [
        make_run(
            f"ecct-{seed}",
            seed=seed,
            results=[result(*EDGE, 0.75, start_serves=share), result(*CLOUD, 0.5)],
            ranks={EDGE: (1, 2, 11, 4), CLOUD: (3, 3, 3, 3)},
            start_ranks={EDGE: (2, 2, 20, 3)},
            interactions=(10, 20, 30, 40),
        )
        for seed, share in ((0, 0.25), (1, 0.5))
    ]
    comparison = compare_runs(read_runs(runs))
    assert served_by_start(_model(comparison, "ECCT edge")) == 0.375
    text = write_report(read_runs(runs), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Devices serve 37.5&nbsp;% of the tested requests with their start" in text


def test_groups_by_hand(compared):
    models = [_model(compared, name) for name in ("ECCT edge", "ECCT cloud", "FedAvg")]
    groups = group_quality(models)
    assert [(each.kind, each.fewest, each.most, each.num_users) for each in groups] == [
        ("activity", 10, 20, 2),
        ("activity", 30, 30, 1),
        ("activity", 40, 40, 1),
        ("cold", 10, 10, 1),
    ]
    edge, cloud, averaged = groups[0].models
    assert (edge.hr, edge.ndcg) == (1, pytest.approx((1 + _gain(2)) / 2))
    assert edge.mrr == pytest.approx((1 + 1 / 2) / 2)
    assert edge.catalog_ndcg == pytest.approx((1 + 0.5) / 2)
    assert (cloud.catalog_hr, cloud.ndcg) == (None, 0.5)
    assert averaged.catalog_hr == 1
    assert [each.ndcg for each in groups[3].models] == [1, 0.5, pytest.approx(_gain(2))]


def test_a_cold_group_of_nobody_stays_and_the_setting_moves_the_border(make_run):
    path = make_run(settings={"evaluation.cold_interactions": 9})
    (model, *_) = compare_runs([read_run(path)]).models
    last = group_quality([model])[-1]
    assert (last.kind, last.num_users, last.most, last.models) == ("cold", 0, 9, ())


def test_users_of_each_seed_are_their_own(make_run):
    """Generated data gives a user number other interactions at each seed."""
    paths = [
        make_run("a", seed=0, interactions=(1, 2, 3, 4)),
        make_run("b", seed=1, interactions=(4, 3, 2, 1)),
    ]
    (model, *_) = compare_runs(read_runs(paths)).models
    groups = group_quality([model])
    assert [(each.fewest, each.most, each.num_users) for each in groups[:3]] == [
        (1, 2, 4),
        (3, 3, 2),
        (4, 4, 2),
    ]


def test_models_without_ranks_are_left_out(make_run):
    path = make_run()
    (path / "devices.csv").unlink()
    assert group_quality(compare_runs([read_run(path)]).models) == ()


def test_a_rank_that_is_none_is_refused(paths):
    file = paths[0] / "devices.csv"
    table = pd.read_csv(file)
    table.loc[0, "catalog_rank"] = 0
    table.to_csv(file, index=False)
    edge = _model(compare_runs(read_runs(paths)), "ECCT edge")
    with pytest.raises(RunFolderError, match="expected ranks from 1 in catalog_rank"):
        interval_of(edge, "catalog_hr")


def _page(paths, tmp_path):
    text = write_report(read_runs(paths), tmp_path / "report.html").read_text()
    return " ".join(text.split())


def test_the_page_shows_all_of_it(paths, tmp_path):
    page = _page(paths, tmp_path)
    assert "<h3>Over the whole catalog</h3>" in page
    assert "<h3>Differences, paired over users</h3>" in page
    assert '<td class="number">+0.125<br><i>0.000 to +0.375</i></td>' in page
    assert "Of 4 devices 25.0&nbsp;% are better than at their start, 50.0&nbsp;% equal" in page
    # An end of the interval that is not zero must not read as zero.
    assert re.search(r"changed from 0\.\d{4} by \+0\.\d{4} \(95 % interval [+−]?0\.\d{4} to", page)
    assert "10–20 training interactions · 2 devices" in page
    assert "Cold, 10 training interactions · 1 device<" in page


def test_the_page_of_a_run_that_measured_nothing_more_has_groups_alone(make_run, tmp_path):
    page = _page([make_run(interactions=(11, 20, 30, 40))], tmp_path)
    assert "Over the whole catalog" not in page
    assert "their start" not in page
    assert "Cold: no device has 10 training interactions or fewer" in page
