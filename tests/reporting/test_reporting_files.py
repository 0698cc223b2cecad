"""Plots and tables as files, and the two commands."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from ecct_tf.commands.compare import compare
from ecct_tf.commands.report import report
from ecct_tf.errors import ConfigError
from ecct_tf.reporting import compare_runs, read_runs, write_comparison, write_plots
from ecct_tf.reporting.comparison_files import as_csv, as_markdown
from ecct_tf.reporting.comparison_table import print_table
from ecct_tf.reporting.figures import parts_figure
from ecct_tf.reporting.theme import PAPER
from ecct_tf.reporting.traffic import traffic_of

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("status", ["complete", "running"])
def test_a_run_gets_its_plots_also_before_its_end(make_run, status: str) -> None:
    path = make_run(status=status)
    names = [file.relative_to(path).as_posix() for file in write_plots(path)]
    assert names == [
        "plots/quality_by_round.png",
        "plots/quality_by_bytes.png",
        "plots/traffic.png",
    ]
    assert all((path / name).read_bytes().startswith(PNG) for name in names)


def test_plots_repeat_byte_for_byte(make_run) -> None:
    path = make_run()
    first = [file.read_bytes() for file in write_plots(path)]
    assert [file.read_bytes() for file in write_plots(path)] == first


def test_a_method_without_rounds_has_no_plots(make_run, result) -> None:
    rows = [result("EASE", "everything", 0.6, method="ease")]
    path = make_run(method="ease", results=rows, metrics=())
    assert write_plots(path) == ()
    assert not (path / "plots").exists()


def test_a_method_that_transmits_nothing_has_no_plot_of_bytes(make_run, course) -> None:
    path = make_run(metrics=course(0.2, 0.3, side="everything", devices=0), status="running")
    assert [file.name for file in write_plots(path)] == ["quality_by_round.png"]


def test_the_files_of_a_comparison(campaign, tmp_path: Path) -> None:
    files = write_comparison(compare_runs(read_runs(campaign)), tmp_path / "out")
    assert [file.name for file in files] == [
        "compare.csv",
        "compare.md",
        "quality_by_model.png",
        "quality_by_model.svg",
        "quality_by_round.png",
        "quality_by_round.svg",
        "quality_by_bytes.png",
        "quality_by_bytes.svg",
    ]
    rows = list(csv.DictReader((tmp_path / "out" / "compare.csv").open()))
    assert [row["model"] for row in rows][:3] == ["ECCT edge", "ECCT cloud", "down only edge"]
    edge, popularity = rows[0], rows[-1]
    assert float(edge["hr_mean"]) == pytest.approx(0.76)
    assert float(edge["hr_std"]) == pytest.approx(0.0002**0.5)
    assert edge["seeds"] == "0 1"
    assert float(edge["bytes_per_round_mean"]) == 1300.0
    assert float(edge["seconds_mean"]) == 12.0
    assert (popularity["auc_mean"], popularity["bytes_per_round_mean"]) == ("", "")


def test_one_seed_has_no_spread_but_an_interval_over_its_users(make_run) -> None:
    comparison = compare_runs(read_runs([make_run()]))
    # Three of four users are hit; a draw of four may hit one to four.
    assert "| ECCT edge | 0.750 | 0.250 to 1.000 | - | 0.375 |" in as_markdown(comparison)
    assert "± -" not in as_markdown(comparison)
    (edge, _) = csv.DictReader(io.StringIO(as_csv(comparison)))
    assert (edge["hr_mean"], edge["hr_std"]) == ("0.75", "")


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_what_is_not_printed_is_not_explained(make_run, campaign, result, form) -> None:
    def printed(*paths: Path) -> str:
        done = CliRunner().invoke(compare, [*map(str, paths), "--format", form])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    one = printed(make_run())
    assert "±" not in one
    assert "One seed of each model. Interval: 95 % of the bootstrap" in one
    alone = printed(make_run("alone", results=[result("ECCT edge", "edge", 0.7)]))
    assert "paired" not in alone
    several = printed(*campaign)
    assert "±: standard deviation over seeds. Interval: 95 %" in several
    assert "of gains paired, each user's rank by both models" in several


def test_names_mean_nothing_to_markdown_or_a_terminal(make_run, result) -> None:
    name = "ECCT |<b>[red]`x`_ edge"
    comparison = compare_runs(read_runs([make_run(results=[result(name, "edge", 0.7)])]))
    assert r"ECCT \|&lt;b&gt;\[red\]\`x\`\_ edge" in as_markdown(comparison)
    screen = io.StringIO()
    print_table(comparison, console=Console(file=screen, width=120))
    assert name in screen.getvalue()


def test_compare_prints_whole_rows_through_a_pipe(campaign) -> None:
    done = CliRunner().invoke(compare, [str(path) for path in campaign])
    assert done.exit_code == 0, done.output
    assert "…" not in done.output
    (row,) = [line for line in done.output.splitlines() if "FedAvg" in line]
    # ECCT hits users 1, 2 and 4 in either seed, FedAvg 1 and 2: one user in four is gained.
    # Of NDCG 1 - 1 / log2(3) and 1 / log2(5), over four users.
    assert row.split() == [
        *("FedAvg", "0.600", "±", "0.000", "0.000", "to", "1.000"),
        *("+0.250", "(0.000", "to", "+0.750)", "0.300", "±", "0.000"),
        *("+0.200", "(0.000", "to", "+0.400)", "0.300", "±", "0.000"),
        *("2", "9.77", "KiB", "12", "s"),
    ]
    assert "paired, each user's rank by both models" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (60, ["model", "HR@10", "ECCT edge over it"], "95 % interval; NDCG@10; over it, NDCG@10;"),
        (80, ["model", "HR@10", "95 % interval", "ECCT edge over it"], "NDCG@10"),
    ],
)
def test_a_narrow_terminal_shows_whole_columns_and_names_the_others(
    campaign, width, shown, left_out
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=True, color_system=None)
    print_table(compare_runs(read_runs(campaign)), console=console)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    (head,) = [line for line in lines if line.startswith("model ")]
    assert head.split() == " ".join(shown).split()
    assert any(line.startswith("no exchange edge") for line in lines)
    assert "…" not in screen.getvalue()
    assert f"too narrow for {left_out}" in " ".join(screen.getvalue().split())


def test_intervals_are_in_the_csv(campaign) -> None:
    rows = csv.DictReader(io.StringIO(as_csv(compare_runs(read_runs(campaign)))))
    found = {row["model"]: row for row in rows}
    edge, averaged, popularity = (found[name] for name in ("ECCT edge", "FedAvg", "popularity"))
    assert (edge["gain_of"], edge["gain_hr"], edge["gain_hr_low"]) == ("", "", "")
    assert (averaged["gain_of"], float(averaged["gain_hr"])) == ("ECCT edge", 0.25)
    assert float(averaged["gain_hr_low"]) == 0.0
    assert float(averaged["hr_low"]) <= 0.5 <= float(averaged["hr_high"])
    # A row that a run carries, without ranks, cannot be paired.
    assert (popularity["hr_low"], popularity["gain_hr"]) == ("", "")


def test_compare_tells_what_it_leaves_out_and_where_files_went(make_run, tmp_path: Path) -> None:
    make_run("runs/a")
    unfinished = make_run("runs/b", seed=1, status="interrupted")
    out = tmp_path / "out"
    done = CliRunner().invoke(
        compare, [str(tmp_path / "runs"), "--format", "markdown", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert f"Left out: {unfinished}, interrupted" in done.stderr
    assert done.stdout == (out / "compare.md").read_text()
    assert f"{out}/compare.csv" in done.stderr


def test_compare_into_a_file_is_refused(make_run, tmp_path: Path) -> None:
    comparison = compare_runs(read_runs([make_run()]))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the comparison"):
        write_comparison(comparison, tmp_path / "file")


def test_report_goes_into_the_run_folder_or_here(make_run, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [make_run("a"), make_run("b", seed=1)]
    done = CliRunner().invoke(report, ["a"])
    assert done.output == "Report: a/report.html\n"
    assert (paths[0] / "report.html").exists()
    done = CliRunner().invoke(report, ["a", "b"])
    assert done.output == "Report: report.html\n"
    assert "ecct report a b" in (tmp_path / "report.html").read_text()


def test_reports_need_no_tensorflow(campaign, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import ecct_tf.commands.report, ecct_tf.commands.compare\n"
        "light = {'numpy', 'pandas', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "from ecct_tf.reporting import *\n"
        "runs = read_runs(map(Path, sys.argv[2:]))\n"
        "write_report(runs, Path(sys.argv[1]) / 'report.html')\n"
        "write_comparison(compare_runs(runs), Path(sys.argv[1]))\n"
        "heavy = {'tensorflow', 'tensorflow_federated', 'tensorboard'} & set(sys.modules)\n"
        "sys.exit(f'imported {light | heavy}' if light | heavy else 0)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path), *map(str, campaign)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_device_sends_once_is_no_part_of_a_round(make_run, course) -> None:
    """Four devices, two rounds: 200 B of uplink in each, and 1,000 B more before the first."""
    rounds = [{**row, "sums_bytes": 0} for row in course(0.2, 0.3, uplink_bytes=200 * 4)]
    rounds[0]["sums_bytes"] = 1000 * 4
    traffic = traffic_of(read_runs([make_run(metrics=rounds)]))
    assert traffic is not None
    assert traffic.parts["uplink"] == 200
    assert traffic.sums == 1000
    assert traffic.once == traffic.item_table + 1000
    assert traffic.total.mean == 2 * traffic.per_round.mean + traffic.once
    axes = parts_figure(traffic, theme=PAPER).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[1] == "uplink, mean of a round"
    assert labels[-1] == "sums of items, once"


def test_runs_of_earlier_releases_have_such_bytes_in_their_uplink(make_run, course) -> None:
    rounds = course(0.2, 0.3, uplink_bytes=200 * 4)
    rounds[0]["uplink_bytes"] += 1000 * 4
    traffic = traffic_of(read_runs([make_run(metrics=rounds)]))
    assert traffic is not None
    assert (traffic.parts["uplink"], traffic.sums) == ((1200 + 200) / 2, 0)
    labels = parts_figure(traffic, theme=PAPER).axes[0].get_yticklabels()
    assert labels[-1].get_text() == "item table, once"
