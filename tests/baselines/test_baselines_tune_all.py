"""The search over several data sets: its score, its records, and what a second call still does."""

import csv
import logging

import pytest
from click.testing import CliRunner

from benchmarks import tune_all

SMALL = ("data.dataset=synthetic", "data.synthetic_items=120")


@pytest.fixture(autouse=True)
def log_as_before():
    yield
    # A search keeps the logs of its runs off the terminal, for the rest of its process.
    logging.disable(logging.NOTSET)


@pytest.fixture
def two_data_sets(monkeypatch):
    users = {"few": 12, "more": 16}
    found = {name: (*SMALL, f"data.synthetic_users={count}") for name, count in users.items()}
    monkeypatch.setattr(tune_all, "DATASETS", found)


@pytest.fixture
def trials(monkeypatch, two_data_sets):
    """Trials that only note what they are asked, and reach what their data set says."""
    del two_data_sets
    asked = []

    def trial(settings, *, common, patience, files):
        del patience, files
        asked.append((settings, common))
        better = 0.05 * (len(asked) > 2)
        ndcg = 0.5 if "data.synthetic_users=12" in common else 0.25
        return {"round": 5, "hr": 0.6, "ndcg": ndcg + better, "seconds": 1.0}

    monkeypatch.setattr(tune_all, "trial", trial)
    return asked


def search(out, *arguments):
    given = ["--methods", "ecct", "--datasets", "few,more", "--out", str(out)]
    engine = ["--set", "runtime.engine=local"]
    return CliRunner().invoke(tune_all.main, [*given, *engine, *arguments])


def test_a_trial_counts_by_its_mean_gain_over_the_default(tmp_path, trials):
    result = search(tmp_path, "--trials", "2")
    assert result.exit_code == 0, result.output
    # 0.55 / 0.5 and 0.3 / 0.25.
    assert "trial 1, score 1.1500 (few 1.1000, more 1.2000)" in result.output
    (_, first), _, (third, _), (fourth, last) = trials
    assert third == fourth != {}
    assert {"method=ecct", "seed=100", SMALL[0]} <= set(first)
    assert "data.synthetic_users=16" in last
    with (tmp_path / "all-ecct.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["data"]) for row in rows] == [
        ("0", "few"),
        ("0", "more"),
        ("1", "few"),
        ("1", "more"),
    ]


def test_a_stopped_search_goes_on_with_what_is_missing(tmp_path, trials):
    search(tmp_path, "--trials", "2")
    path = tmp_path / "all-ecct.csv"
    *kept, _ = path.read_text().splitlines(keepends=True)
    path.write_text("".join(kept))
    assert len(tune_all.scores(list(csv.DictReader(kept)), datasets=["few", "more"])) == 1
    trials.clear()
    search(tmp_path, "--trials", "2")
    ((settings, common),) = trials
    assert "data.synthetic_users=16" in common
    assert tune_all.shown(settings) in path.read_text().splitlines()[-1]


@pytest.mark.usefixtures("trials")
def test_records_of_another_search_are_refused(tmp_path):
    search(tmp_path, "--trials", "2")
    result = search(tmp_path, "--trials", "2", "--seed", "101")
    assert result.exit_code == 1
    assert "trial 0 has seed '100', expected '101'" in result.output
    result = search(tmp_path, "--trials", "2", "--set", "training.epochs=3")
    assert "another search's; give another --out" in result.output


def test_reported_seeds_and_unknown_names_are_refused(tmp_path, trials):
    assert "1 is a reported seed" in search(tmp_path, "--seed", "1").output
    assert "expected different ones of few, more" in search(tmp_path, "--datasets", "few,x").output
    assert not trials


@pytest.mark.slow
@pytest.mark.usefixtures("two_data_sets")
def test_methods_run_on_every_data_set(tmp_path):
    small = ("--set", "evaluation.negatives=20", "--rounds", "2", "--every", "1")
    result = search(tmp_path, "--methods", "ecct,fedavg", "--trials", "1", *small)
    assert result.exit_code == 0, result.output
    for method in ("ecct", "fedavg"):
        assert f"{method}: trial 0, score 1.0000 (few 1.0000, more 1.0000)" in result.output
