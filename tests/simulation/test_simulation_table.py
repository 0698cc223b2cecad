"""The final table on terminals of any width: own rows marked, intervals, the strongest rival."""

import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from ecct_tf.config import RunConfig
from ecct_tf.evaluation import (
    CatalogMetrics,
    against_start,
    discounted_gains,
    evaluate_scores,
    hits,
    interval_over_users,
)
from ecct_tf.simulation import table
from ecct_tf.simulation.device_sums import DeviceSums
from ecct_tf.simulation.methods import ABLATIONS
from ecct_tf.simulation.results import CatalogResult, ResultRow
from ecct_tf.simulation.table import print_results

USERS = np.arange(943)


def _row(model, side, missed, *, method="ecct", sees="devices + item table + downlinks"):
    """A model that ranks the held-out item first but for the first `missed` users."""
    scores = np.zeros((len(USERS), 100))
    scores[:, 1:] = np.linspace(-1, -2, 99)
    scores[:missed, 0] = -3.0
    places = np.where(missed > USERS, 99, 0)
    return ResultRow(
        method=method,
        model=model,
        side=side,
        sees=sees,
        metrics=evaluate_scores(scores, k=10, users=USERS),
        hr=interval_over_users(hits(places, 10)),
        ndcg=interval_over_users(discounted_gains(places, 10)),
        places=places,
        calibrated=method != "ease-recency",
    )


ROWS = (
    _row("EASE, recency-weighted", "everything", 280, method="ease-recency", sees="everything"),
    _row("no exchange edge", "edge", 249, sees="devices + item table"),
    _row("ECCT edge", "edge", 236),
    _row("ECCT cloud", "cloud", 340, sees="older history + uplinks"),
)


def _printed(width, *, rows=ROWS, config=None, terminal=True, out=None):
    result = SimpleNamespace(
        rows=rows,
        experiment=SimpleNamespace(
            config=config or RunConfig(),
            dataset=SimpleNamespace(name="movielens-100k"),
            test=SimpleNamespace(users=USERS),
        ),
        algorithm=SimpleNamespace(num_devices=943),
        notes=(),
    )
    screen = io.StringIO()
    console = Console(
        file=screen, width=width, force_terminal=terminal, color_system=None, legacy_windows=False
    )
    print_results(result, out=out, console=console)
    return screen.getvalue()


def _marked(text):
    return [line[2:].split("  ")[0] for line in text.splitlines() if line.startswith("> ")]


def test_the_rows_of_the_run_are_marked_and_no_others():
    text = _printed(120)
    assert _marked(text)[:2] == ["ECCT edge", "ECCT cloud"]
    # An ablation's own rows are its own, and ECCT's would not be.
    text = _printed(120, config=ABLATIONS["no exchange"].of(RunConfig()))
    assert _marked(text)[0] == "no exchange edge"
    assert "> ECCT" not in text
    text = _printed(120, config=RunConfig(method="ease-recency"))
    assert _marked(text)[0] == "EASE, recency-weighted"


def test_one_seed_has_an_interval_over_its_users():
    (row,) = [line for line in _printed(120).splitlines() if line.startswith("> ECCT edge")]
    # 707 of 943 users: 0.7497, give or take 1.96 times 0.0141.
    assert "0.7497" in row
    assert "0.723 to 0.777" in row


def test_the_strongest_of_the_others_is_told_with_its_paired_interval():
    told = " ".join(_printed(120).split())
    # 13 users of 943 are gained, 0.0138, and none is lost.
    assert "ECCT edge against the strongest of the others, no exchange edge: +0.0138 HR@10" in told
    assert "95 % interval +0.0074 to +0.0212, paired." in told
    rows = (*ROWS[:2], _row("ECCT edge", "edge", 249))
    told = " ".join(_printed(120, rows=rows).split())
    assert "paired; that may be chance" in told
    assert "against the strongest" not in _printed(120, rows=ROWS[2:])


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (60, ["model", "HR@10", "95 % interval", "NDCG@10"], ["GAUC", "MRR", "AUC", "log loss"]),
        (80, ["model", "HR@10", "95 % interval", "NDCG@10", "MRR", "GAUC"], ["AUC", "log loss"]),
    ],
)
def test_a_narrow_terminal_has_whole_columns_and_names_the_others(width, shown, left_out):
    text = _printed(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    (head,) = [line for line in text.splitlines() if line.startswith("  model")]
    assert head.split() == " ".join(shown).split()
    for name in ("EASE, recency-weighted", "no exchange edge", "ECCT edge", "ECCT cloud"):
        assert name in text
    told = text.split("too narrow for")[1]
    assert all(name in told for name in left_out)


def test_a_wide_terminal_has_all_columns():
    text = _printed(140)
    assert "too narrow" not in text
    (row,) = [line for line in text.splitlines() if "recency-weighted  " in line]
    # What counts interactions has neither AUC over users nor log loss.
    assert row.split()[-1] == "-"


@pytest.mark.parametrize(("rounds", "words"), [(1, "in 1 round, KiB"), (2, "in 2 rounds, KiB")])
def test_the_traffic_counts_rounds_in_the_right_number(rounds, words, tmp_path):
    header = "downlink_bytes,uplink_bytes,weights_bytes,item_table_bytes\n"
    (tmp_path / "metrics.csv").write_text(header + "1024,0,0,0\n" * rounds)
    result = SimpleNamespace(algorithm=SimpleNamespace(num_devices=1))
    assert words in table._traffic(result, tmp_path)


def test_what_devices_tell_of_items_once_is_told_apart_in_the_traffic(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "downlink_bytes,uplink_bytes,weights_bytes,item_table_bytes\n0,9216,0,0\n0,1024,0,0\n"
    )
    pairs, newest = SimpleNamespace(uplink_bytes=6144), SimpleNamespace(uplink_bytes=2048)
    for sums, words in (
        (DeviceSums(pairs), "sums 3.0 (once, for pairs of items)"),
        (DeviceSums(pairs, newest), "sums 4.0 (once, for pairs of items and items met lately)"),
    ):
        result = SimpleNamespace(algorithm=SimpleNamespace(num_devices=2, sums=sums))
        told = table._traffic(result, tmp_path)
        assert told.endswith(f"uplink 5.0, weights 0.0, item table 0.0, {words}")
    result = SimpleNamespace(algorithm=SimpleNamespace(num_devices=2, sums=DeviceSums()))
    assert "uplink 5.0, " in table._traffic(result, tmp_path)


def test_the_whole_catalog_and_the_start_are_shown_where_they_were_measured():
    places = np.array([0, 3, 400])
    metrics = CatalogMetrics(
        hr=2 / 3, recall=2 / 3, ndcg=0.5, mrr=0.4, coverage=0.25, novelty=3.5, k=10, num_items=1682
    )
    hr = interval_over_users(hits(places, 10))
    row = dataclasses.replace(
        ROWS[2],
        catalog=CatalogResult(metrics, hr, hr, places),
        start=against_start([0, 3, 20], [1, 3, 9], k=10, users=[1, 2, 3]),
    )
    text = " ".join(_printed(100, rows=(*ROWS[:2], row, ROWS[3])).split())
    assert "Among all 1,682 items but those met before" in text
    assert "> ECCT edge 0.6667 0.000 to 1.000 0.5000 0.4000 25.0% 3.50 >" in text
    assert "of 3 users 33.3% better, 33.3% equal, 33.3% worse." in text
    assert "Recall" not in text
    narrow = " ".join(_printed(50, rows=(row,)).split())
    assert "too narrow for 95 % interval" in narrow
    uneven = dataclasses.replace(metrics, recall=0.6)
    row = dataclasses.replace(row, catalog=CatalogResult(uneven, hr, hr, places))
    assert "Recall@10" in _printed(120, rows=(row,))
    assert "Among all" not in _printed(100)
