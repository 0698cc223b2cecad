"""A run that was stopped goes on to the result of an undisturbed one, bit by bit."""

import csv
import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecct_tf.doctor import worker_processes
from ecct_tf.errors import CheckpointError, RunFolderError, WorkerError
from ecct_tf.simulation import run_folder
from ecct_tf.simulation.loop import Callback
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate

ROUNDS = 5


class StopAfter(Callback):
    def __init__(self, rounds):
        self.rounds = rounds

    def on_round(self, result, state):
        del state
        if result.round_number == self.rounds:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(f"rounds={ROUNDS}", "edge.tiers={linear: 0.5, attention: 0.5}")


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    simulate(config, out=out)
    return out


def outcome(run):
    """All that a run computed: quality by round, final quality, ranks, and the last state."""
    with (run / "metrics.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    # The name of a checkpoint carries its hash.
    last = max(path.name for path in (run / "checkpoints").iterdir())
    return rows, (run / "results.csv").read_text(), (run / "devices.csv").read_text(), last


def stop(config, out, rounds):
    with pytest.raises(KeyboardInterrupt):
        simulate(config, out=out, callbacks=[StopAfter(rounds)])


def test_stopped_twice_and_resumed(config, undisturbed, tmp_path):
    out = tmp_path / "run"
    stop(config, out, 1)
    assert RunFolder.open(out).status == "interrupted"
    with pytest.raises(KeyboardInterrupt):
        resume(out, callbacks=[StopAfter(3)])
    resume(out)
    assert outcome(out) == outcome(undisturbed)
    folder = RunFolder.open(out)
    assert folder.status == "complete"
    with pytest.raises(RunFolderError, match="complete"):
        resume(out)


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_costs_a_round_and_nothing_else(config, undisturbed, tmp_path):
    out = tmp_path / "run"
    stop(config, out, 3)
    newest = max((out / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    result = resume(out)
    assert result.state.edge.round_number == ROUNDS
    assert outcome(out) == outcome(undisturbed)


@pytest.mark.slow
def test_without_a_checkpoint_it_begins_anew(config, undisturbed, tmp_path):
    out = tmp_path / "run"
    stop(config, out, 1)
    for path in (out / "checkpoints").iterdir():
        path.unlink()
    resume(out)
    assert outcome(out) == outcome(undisturbed)


@pytest.mark.slow
def test_sparse_checkpoints_repeat_the_rounds_between(small_config, undisturbed, tmp_path):
    config = small_config(
        f"rounds={ROUNDS}", "edge.tiers={linear: 0.5, attention: 0.5}", "checkpoint.every=4"
    )
    out = tmp_path / "run"
    simulate(config, out=out)
    # As if it had been killed in the last round: a row, but no checkpoint.
    RunFolder.open(out).set_status("running", round_number=4)
    max((out / "checkpoints").iterdir()).unlink()
    resume(out)
    assert outcome(out) == outcome(undisturbed)


@pytest.mark.slow
def test_other_data_is_refused(config, tmp_path, monkeypatch):
    out = tmp_path / "run"
    stop(config, out, 1)
    written = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(written.replace("synthetic_users: 24", "synthetic_users: 25"))
    with pytest.raises(CheckpointError, match=r"data\.synthetic_users was 24, now 25"):
        resume(out)
    # As where files have another content.
    monkeypatch.setattr(run_folder, "check_settings", lambda *_, **__: None)
    with pytest.raises(CheckpointError, match="the data is not what the run began with"):
        resume(out)


def test_a_run_of_an_earlier_release_is_resumed_as_it_was_meant(tmp_path, small_config, caplog):
    out = tmp_path / "run"
    simulate(small_config("method=popularity", "features.clock=false"), out=out)
    written = (out / "config.yaml").read_text()
    assert "  clock: false\n" in written
    (out / "config.yaml").write_text(written.replace("  clock: false\n", ""))
    folder = RunFolder.open(out)
    assert not folder.config.features.clock
    folder.set_status("interrupted", round_number=0)
    assert not resume(out).experiment.config.features.clock
    assert "an earlier release began the run, without features.clock;" in caplog.text


@pytest.mark.slow
def test_altered_metrics_are_refused(config, tmp_path):
    out = tmp_path / "run"
    stop(config, out, 2)
    lines = (out / "metrics.csv").read_text().splitlines(keepends=True)
    (out / "metrics.csv").write_text(lines[0] + lines[2])
    with pytest.raises(RunFolderError, match=r"metrics\.csv: expected a row for each of the 2"):
        resume(out)


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder: it is not a folder"):
        resume(tmp_path / "nothing")
    (tmp_path / "mine").mkdir()
    with pytest.raises(RunFolderError, match=r"did you mean .*mine\? Give the folder that"):
        resume(tmp_path / "mien")
    with pytest.raises(RunFolderError, match=r"is not a run folder: it has no config\.yaml"):
        resume(tmp_path)


def test_two_processes_do_not_write_one_run(undisturbed):
    with (undisturbed / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunFolderError, match="another process"):
            resume(undisturbed)


class _StopTheWorker(Callback):
    """Stops TFF's worker after the first round, as `kill -STOP` does."""

    def on_round(self, result, state):
        del result, state
        # The newest: a fixture of another module may have one too. Numbers of processes begin
        # anew at some point, so that the highest need not be the newest.
        own = [w.pid for w in worker_processes() if w.parent_pid == os.getpid()]
        os.kill(max(own, key=_started), signal.SIGSTOP)


def _started(pid):
    """When a process began, in ticks since the machine did (proc(5): field 22 of its stat)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.mark.slow
def test_a_stopped_worker_ends_the_run_with_how_to_resume_it(config, tmp_path):
    out = tmp_path / "run 1"
    hasty = dataclasses.replace(config.runtime, round_deadline_seconds=15.0)
    hasty = dataclasses.replace(config, runtime=hasty)
    with pytest.raises(WorkerError, match="has not answered for 15 s") as caught:
        simulate(hasty, out=out, callbacks=[_StopTheWorker()])
    assert str(caught.value).endswith(f"resume with: ecct resume '{out}'")
    assert json.loads((out / "status.json").read_text())["status"] == "failed"
    assert RunFolder.open(out).checkpoints.newest().round_number == 1


@pytest.mark.slow
def test_killed_and_resumed_through_the_command_line(config, undisturbed, tmp_path):
    """SIGKILL between rounds, and once more while it goes on."""
    del config
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ecct_tf.cli"]
    first = ["simulate", f"--config={undisturbed / 'config.yaml'}", f"--out={out}"]
    for rounds, arguments in ((1, first), (3, ["resume", str(out)])):
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        deadline = time.monotonic() + 180
        metrics = out / "metrics.csv"
        while process.poll() is None and time.monotonic() < deadline:
            if metrics.exists() and len(metrics.read_text().splitlines()) > rounds:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        errors = process.communicate()[1].decode()
        assert process.returncode == -signal.SIGKILL, errors
    done = subprocess.run(
        [*command, "resume", str(out)], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert outcome(out) == outcome(undisturbed)
