"""The command line as a user meets it, in processes of its own."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = [
    "--dataset=synthetic",
    "--set=data.synthetic_users=24",
    "--set=data.synthetic_items=120",
    "--set=evaluation.negatives=20",
    "--set=cloud.rank=4",
    "--set=edge.start=random",
    "--set=edge_only.rounds=2",
]


def ecct(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ecct_tf.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def workers_of(session: int) -> list[int]:
    """Processes named worker_binary that a run with marker `session` in its environment left."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            name = (folder / "comm").read_text().strip()
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if name.startswith("worker_bin") and f"ECCT_TEST_RUN={session}".encode() in environment:
            found.append(int(folder.name))
    return found


def test_help_imports_no_tensorflow() -> None:
    code = (
        "import sys; sys.argv = ['ecct', '--help']\n"
        "import ecct_tf.cli\n"
        "try: ecct_tf.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'tensorflow_federated', 'pandas', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "simulate" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "training.epoch=2"], ["training.epoch", "did you mean", "training.epochs"]),
        (["--set", "training.epochs=0"], ["training.epochs", "at least 1", "got 0"]),
        (["--set", "training.epochs=many"], ["training.epochs", "many"]),
        (["--set", "edge.tiers={mlp: 0.5}"], ["edge.tiers", "sum to 1"]),
        (["--dataset", "netflix"], ["--dataset netflix", "movielens-100k", "netflix"]),
        (["--rounds", "0"], ["rounds", "at least 1"]),
        (["--config", "no-such.yaml"], ["no-such.yaml"]),
    ],
)
def test_mistakes_are_told_before_any_work(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    done = ecct("simulate", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_existing_run_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = ecct("simulate", *SMALL, "--out", str(tmp_path / "mine"))
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.slow
def test_simulation_through_a_pipe_returns_and_leaves_a_whole_run_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ecct_tf.cli", "simulate", *SMALL, "--rounds=2"]
    marker = os.getpid()
    done = subprocess.run(
        f"{' '.join(repr(part) for part in command)} --out '{out}' | cat",
        shell=True,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "ECCT_TEST_RUN": str(marker)},
    )
    assert "ECCT edge" in done.stdout, done.stderr
    assert "popularity" in done.stdout
    assert workers_of(marker) == []
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["1", "2"]
    assert [row["stage"] for row in rows] == ["1", "2"]
    status = json.loads((out / "status.json").read_text())
    assert (status["status"], status["round"]) == ("complete", 2)
    assert status["seconds"] > 0
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    checkpoints = {name for name in names if name.startswith("checkpoints/")}
    assert [name[:24] for name in sorted(checkpoints)] == [
        "checkpoints/fixed-downli",
        "checkpoints/round-000001",
        "checkpoints/round-000002",
    ]
    watched = {name for name in names if name.startswith(("events/", "plots/"))}
    assert names - checkpoints - watched == {
        ".lock",
        "candidates_test.npz",
        "candidates_validation.npz",
        "config.yaml",
        "devices.csv",
        "environment.json",
        "item_table.npz",
        "metrics.csv",
        "quality_by_group.csv",
        "references.csv",
        "results.csv",
        "run.log",
        "status.json",
    }
    with (out / "results.csv").open() as file:
        results = {row["model"]: row for row in csv.DictReader(file)}
    for row in (results["ECCT edge"], results["ECCT cloud"], results["popularity"]):
        # By itself a run ranks its own models over a small catalog, not its references.
        assert (row["catalog_hr"] != "") == (row["method"] == "ecct")
        assert (row["start_worse"] != "") == (row["model"] == "ECCT edge")
    assert "ECCT edge against its own start: NDCG@10" in " ".join(done.stdout.split())
    # There is no terminal: each of so few rounds is a line, of the run and of its quick references.
    for name, stage in (("ECCT", "stage "), ("edge only", ""), ("no exchange", "")):
        for number in (1, 2):
            assert f"{name}: round {number} of 2, {stage}" in done.stderr
            assert f"{name}: round {number} of 2, {stage}" in (out / "run.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_run_leaves_no_process(tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "my runs" / "k[1]'s"
    marker = f"{os.getpid()}{how.value}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ecct_tf.cli", "simulate", *SMALL),
            *("--rounds=100000", "--out", str(out)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ECCT_TEST_RUN": marker},
    )
    metrics = out / "metrics.csv"
    deadline = time.monotonic() + 120
    while not metrics.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert metrics.exists(), process.communicate()[1]
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    for _ in range(50):
        if not workers_of(int(marker)):
            break
        time.sleep(0.1)
    assert workers_of(int(marker)) == []
    with metrics.open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(None not in row.values() for row in rows)
    if how is not signal.SIGKILL:
        assert process.returncode == 128 + how
        name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[how]
        # It may also come between two rounds.
        assert f"{name}: finishing the round;" in stderr or f"{name}: stopping;" in stderr
        command = stderr.splitlines()[-1]
        assert shlex.split(command.partition(": ")[2]) == ["ecct", "resume", str(out)]
        assert "Traceback" not in stderr
        assert json.loads((out / "status.json").read_text())["status"] == "interrupted"
    last = int(rows[-1]["round"])
    names = [path.name[:12] for path in (out / "checkpoints").glob("round-*.npz")]
    # A kill may come between a round's row and its checkpoint, never before the row.
    newest = max(names, default="round-000000")
    assert newest in {f"round-{last:06d}", f"round-{last - 1:06d}"}


def test_doctor_reports() -> None:
    done = ecct("doctor")
    assert "tensorflow" in done.stdout
    assert "Traceback" not in done.stderr
