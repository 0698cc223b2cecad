"""A study's folder: run, interrupted, resumed, refused; its table, figures and page."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from ecct_tf.cli import cli
from ecct_tf.errors import ConfigError, DataError, RunFolderError
from ecct_tf.reporting.run import read_run
from ecct_tf.reporting.theme import PAPER, drawing
from ecct_tf.studies import (
    check_study_folder,
    plan_study,
    read_study,
    run_study,
    write_study,
)
from ecct_tf.studies.drawings import quality_by_bytes, quality_by_point
from ecct_tf.studies.table import as_csv, grid_table

COMMAND = "ecct study recency"


def quiet(text: str) -> None:
    del text


def run(plan, out, say=quiet):
    return run_study(plan, name="ablation", out=out, command=COMMAND, say=say)


@pytest.fixture(scope="module")
def plan(recency, small):
    return plan_study(recency, seeds=(0, 1), overrides=small)


@pytest.fixture(scope="module")
def done(plan, tmp_path_factory):
    """The folder of a finished study; not to be changed."""
    out = tmp_path_factory.mktemp("study") / "recency"
    run(plan, out)
    return out


@pytest.fixture(scope="module")
def result(plan, done):
    return read_study(plan, done, command=COMMAND)


@pytest.mark.parametrize("begun", [False, True])
def test_a_study_of_which_nothing_was_begun_leaves_no_folder(
    plan, tmp_path, monkeypatch, begun
) -> None:
    out = tmp_path / "study"

    def fail(runs, *, out, say):
        del runs, say
        (out / "point").mkdir()
        if begun:
            (out / "point" / "config.yaml").touch()
        raise DataError("no such data")

    monkeypatch.setattr("ecct_tf.studies.run.run_all", fail)
    with pytest.raises(DataError, match="no such data"):
        run(plan, out)
    assert out.exists() == begun
    assert (out / "study.json").exists() == begun


def test_an_interrupted_study_goes_on_and_leaves_what_is_complete(plan, tmp_path) -> None:
    out, told = tmp_path / "study", []

    def stop(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, out, say=stop)
    first = out / "0.2" / "popularity-seed0" / "results.csv"
    before = first.stat().st_mtime_ns
    with pytest.raises(RunFolderError):
        read_study(plan, out, command=COMMAND)
    told.clear()
    run(plan, out, say=told.append)
    assert [text.endswith("is complete") for text in told] == [True, True] + [False] * 8
    assert first.stat().st_mtime_ns == before
    assert len(read_study(plan, out, command=COMMAND).points) == 3


def test_more_seeds_and_points_join_a_stored_study(recency, small, plan, done) -> None:
    told = []
    run(plan_study(recency, seeds=(1, 0), overrides=small, labels=["cut"]), done, told.append)
    assert all(text.endswith("is complete") for text in told)
    check_study_folder(plan_study(recency, seeds=(0, 1, 2), overrides=small), done)
    run(plan, done)


def test_settings_that_conflict_are_refused_before_any_work(recency, small, done) -> None:
    other = plan_study(recency, seeds=(7, 0), overrides=[*small, "evaluation.k=4"])
    with pytest.raises(RunFolderError, match=r"evaluation\.k was 5, now 4.*another --out"):
        run(other, done)
    assert not (done / "0.2" / "popularity-seed7").exists()


def test_a_folder_of_something_else_is_refused(plan, tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="a study's folder or none"):
        run(plan, tmp_path)
    stored = tmp_path / "other"
    stored.mkdir()
    (stored / "study.json").write_text(json.dumps({"study": "communication"}))
    with pytest.raises(ConfigError, match="holds the study 'communication', expected 'recency'"):
        run(plan, stored)


def test_the_long_table_has_every_run(result, done) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(result))))
    hr = {
        (row["point"], row["model"], row["seed"]): float(row["value"])
        for row in rows
        if row["metric"] == "hr"
    }
    assert len(hr) == 10
    own = read_run(done / "0.5" / "ease-recency-seed1").own_results().iloc[0]
    assert hr["0.5", "EASE, recency-weighted", "1"] == own["hr"]
    (row,) = [
        row
        for row in rows
        if (row["point"], row["method"], row["seed"], row["metric"])
        == ("0.5", "ease-recency", "1", "ndcg")
    ]
    assert (row["at"], row["side"], row["uplink_bytes"]) == ("0.5", "everything", "")
    assert float(row["value"]) == own["ndcg"]


def test_changes_are_paired_with_the_reference(result) -> None:
    point = result.points[2]
    (popular,) = point.models
    change = result.change(point, popular)
    reference = result.points[0].model("popularity")
    assert change.mean == pytest.approx(
        popular.quality["hr"].mean - reference.quality["hr"].mean, abs=1e-9
    )
    assert change.num_users == 12
    assert result.change(result.points[0], reference) is None


def test_the_page_has_the_table_the_points_and_the_command(result, tmp_path) -> None:
    files = {path.name: path for path in write_study(result, tmp_path)}
    text = files["study.md"].read_text()
    assert "seeds 0, 1" in text
    assert COMMAND in text
    assert "| cut | data.keep\\_last=6 |" in text
    html = files["study.html"].read_text()
    assert "How much of a history may stay on devices?" in html
    table = grid_table(result)
    for row in table.rows:
        assert len(row) == len(table.headings)
        assert all(f">{cell}<" in html for cell in row[:2])


def test_lines_stand_at_their_points(result) -> None:
    figure = quality_by_point(result)
    with drawing():
        axes = figure.draw(PAPER).axes[0]
    # One point has no number: all stand beside each other.
    (popular,) = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert list(popular.get_xdata()) == [0.0, 1.0, 2.0]
    # Without an order nothing joins them.
    assert popular.get_linestyle() == "None"
    values = [p.model("popularity").quality["hr"].mean for p in result.points]
    assert list(popular.get_ydata()) == pytest.approx(values)
    assert quality_by_bytes(result) is None


def test_the_command_lists_plans_and_refuses() -> None:
    listed = CliRunner().invoke(cli, ["study"])
    assert "ablation: What is each part of ECCT worth" in listed.output
    planned = CliRunner().invoke(
        cli, ["study", "ablation", "--dataset=synthetic", "--points=whole", "--seeds=4,", "--plan"]
    )
    assert "runs/study-ablation-synthetic/whole/ecct-seed4" in planned.output
    refused = CliRunner().invoke(cli, ["study", "ablation", "--seeds=none"])
    assert isinstance(refused.exception, ConfigError)
