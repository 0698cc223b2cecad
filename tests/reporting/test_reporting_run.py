"""Run folders are read whole, or refused with the file and the way out."""

import json
from pathlib import Path

import pandas as pd
import pytest

from ecct_tf.errors import RunFolderError
from ecct_tf.reporting import read_run, read_runs


def test_a_run_is_read_with_its_own_rows_apart_from_references(make_run, result) -> None:
    path = make_run(
        settings={"edge.tiers": {"mlp": 0.5, "linear": 0.5}},
        results=[
            result("popularity", "everything", 0.4, method="popularity", auc="", log_loss=""),
            result("no exchange edge", "edge", 0.6),
            result("ECCT edge", "edge", 0.75),
            result("ECCT cloud", "cloud", 0.5),
        ],
        ranks={("ECCT edge", "edge"): (1, 2, 3, 4), ("ECCT cloud", "cloud"): (1, 2, 3, 4)},
    )
    run = read_run(path)
    assert (run.method, run.seed, run.k, run.candidates, run.population) == ("ecct", 0, 10, 100, 4)
    assert run.config["edge.tiers"] == {"mlp": 0.5, "linear": 0.5}
    assert run.seconds == 12.0
    # The ablation has the method of the run, but no ranks of its own.
    assert list(run.own_results()["model"]) == ["ECCT edge", "ECCT cloud"]
    assert list(run.references()["model"]) == ["popularity", "no exchange edge"]
    assert run.references()["auc"].isna().tolist() == [True, False]


def test_own_rows_are_not_guessed(make_run, result) -> None:
    path = make_run(
        results=[result("no exchange edge", "edge", 0.6), result("ECCT edge", "edge", 0.7)]
    )
    (path / "devices.csv").unlink()
    with pytest.raises(RunFolderError, match=r"results\.csv.*devices\.csv tells"):
        read_run(path).own_results()


def test_a_folder_of_runs_stands_for_all_of_them(make_run) -> None:
    for name in ("many/b", "many/a", "many/.c.part"):
        make_run(name)
    many = make_run("single").parent / "many"
    assert [run.path.name for run in read_runs([many, many.parent / "single"])] == [
        "a",
        "b",
        "single",
    ]


@pytest.mark.parametrize(
    "missing", ["config.yaml", "environment.json", "status.json", "results.csv"]
)
def test_a_missing_file_is_named(make_run, missing: str) -> None:
    path = make_run()
    (path / missing).unlink()
    with pytest.raises(RunFolderError, match=f"{path}/{missing} is missing"):
        read_run(path)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="expected a run folder, found nothing"):
        read_run(tmp_path / "none")
    with pytest.raises(RunFolderError, match=r"config\.yaml is missing.*ecct simulate"):
        read_run(tmp_path)


@pytest.mark.parametrize("lacking", ["method", "exchange.down"])
def test_a_run_of_an_earlier_version_is_told_from_a_damaged_one(make_run, lacking: str) -> None:
    file = make_run() / "config.yaml"
    *section, name = lacking.split(".")
    lines = file.read_text().splitlines(keepends=True)
    indent = "  " * len(section)
    file.write_text("".join(line for line in lines if not line.startswith(f"{indent}{name}:")))
    with pytest.raises(
        RunFolderError, match=f"lacks {lacking}.*earlier version.*ecct simulate --config"
    ):
        read_run(file.parent)


def test_settings_of_before_they_were_there_mean_what_held_then(make_run) -> None:
    path = make_run() / "config.yaml"
    written = path.read_text()
    assert "  clock: true\n" in written
    path.write_text(written.replace("  clock: true\n", ""))
    assert read_run(path.parent).config["features.clock"] is False


def test_metrics_of_an_earlier_version_are_told(make_run) -> None:
    path = make_run()
    metrics = pd.read_csv(path / "metrics.csv")
    metrics.drop(columns=["weights_bytes"]).to_csv(path / "metrics.csv", index=False)
    with pytest.raises(RunFolderError, match=r"metrics\.csv lacks the column weights_bytes"):
        read_run(path)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("metrics.csv", "\n2,2,4", "\n2,2,four", "line 3, column devices: .* got 'four'"),
        ("metrics.csv", "\n2,2,4", "\n1,2,4", "each round once and in order"),
        ("results.csv", "0.75", "nan", "line 2, column hr: .* got 'nan'"),
        ("results.csv", "method", '"method', "not a readable table"),
        ("devices.csv", "40,4", "40,", "column rank"),
        ("config.yaml", "seed: 0", "seed: true", "seed: expected int, got true"),
        ("config.yaml", "method: ecct", "method: [ecct", "not valid YAML"),
        ("status.json", "complete", "finished", "status of running, .* got 'finished'"),
        ("status.json", "12.0", '"12"', "seconds: expected a number"),
        ("environment.json", "{", "[", "not valid JSON"),
    ],
)
def test_damage_is_told_with_its_place(make_run, file: str, old: str, new: str, words: str) -> None:
    path = make_run()
    text = (path / file).read_text()
    assert old in text
    (path / file).write_text(text.replace(old, new, 1))
    with pytest.raises(RunFolderError, match=words) as caught:
        read_run(path)
    assert f"{path}/{file}" in str(caught.value)


def test_binary_rubbish_is_told(make_run) -> None:
    path = make_run()
    (path / "metrics.csv").write_bytes(b"\xff\xfe\x00round")
    with pytest.raises(RunFolderError, match=r"metrics\.csv is not a readable table"):
        read_run(path)


def test_an_unfinished_run_needs_no_results(make_run) -> None:
    run = read_run(make_run(status="interrupted"))
    assert (run.complete, run.rounds_done, run.results) == (False, 2, None)
    with pytest.raises(RunFolderError, match="expected a complete run, got 'interrupted'"):
        run.own_results()


def test_control_characters_of_names_are_replaced(make_run, result) -> None:
    path = make_run(results=[result("ECCT \x1b[31m edge", "edge", 0.7)])
    assert list(read_run(path).own_results()["model"]) == ["ECCT �[31m edge"]


def test_a_run_before_seconds_were_recorded_has_none(make_run) -> None:
    path = make_run()
    (path / "status.json").write_text(json.dumps({"status": "complete"}))
    run = read_run(path)
    assert (run.seconds, run.rounds_done) == (None, 2)
