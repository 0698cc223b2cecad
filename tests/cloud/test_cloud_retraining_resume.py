"""A job that was stopped at any point ends as if nothing had happened."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloud.registry import Registry
from cloud.registry.drafts import Draft
from cloud.retraining import gate, preparation, retrain
from cloud.retraining.engines import ReplicaEngine
from cloud.retraining.folder import JobFolder
from cloud.retraining.progress import Progress
from cloud.retraining.state import TrainingState

ROOT = Path(__file__).parents[2]
SAME = ("recommender.npz", "item_table.npz", "knowledge.npz", "history.npz", "vocabulary.json")


class _Stopped(BaseException):
    """Not an Exception: nothing may catch it and tidy up."""


def _metrics(job):
    with (job / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def _assert_same_end(folder, calm):
    (version,) = Registry(folder / "registry").versions()
    (expected,) = Registry(calm / "registry").versions()
    assert Registry(folder / "registry").promoted().number == 1
    assert version.manifest.metrics == expected.manifest.metrics
    for name in SAME:
        assert (version.path / name).read_bytes() == (expected.path / name).read_bytes(), name
    assert _metrics(folder / "job") == _metrics(calm / "job")


def _stopping(target, name, *, call, after, monkeypatch):
    """Makes the call number `call` of a function the end, before or after it did its work."""
    original, calls = getattr(target, name), [0]

    def stop(*arguments, **keywords):
        calls[0] += 1
        if calls[0] == call and not after:
            raise _Stopped
        result = original(*arguments, **keywords)
        if calls[0] == call:
            raise _Stopped
        return result

    monkeypatch.setattr(target, name, stop)


POINTS = [
    (preparation, "write_inputs", 1, False),
    (preparation, "write_inputs", 1, True),
    (TrainingState, "save", 1, False),
    (ReplicaEngine, "step", 2, True),
    (Progress, "end_epoch", 1, True),
    (TrainingState, "save", 2, True),
    (ReplicaEngine, "step", 5, False),
    (TrainingState, "finish", 1, True),
    (Draft, "commit", 1, False),
    (Draft, "commit", 1, True),
    (gate.Registry, "promote", 1, False),
    (JobFolder, "write_result", 1, False),
]


@pytest.mark.slow
def test_stopped_at_every_kind_of_point(calm, jobs, tmp_path):
    """One job, stopped again and again, each time a little later."""
    jobs.write_log(tmp_path, range(20), name="log")
    config = jobs.small_job(tmp_path)
    stopped = 0
    for target, name, call, after in POINTS:
        with pytest.MonkeyPatch.context() as patch:
            _stopping(target, name, call=call, after=after, monkeypatch=patch)
            with contextlib.suppress(_Stopped):
                retrain(config, tmp_path / "job", show=False)
                pytest.fail(f"it ended before {name} was called {call} times")
            stopped += 1
        if stopped > 1:  # The inputs are fixed: what arrives now is the next job's.
            jobs.write_log(tmp_path, range(20), round_number=stopped, name=f"later-{stopped}")
    assert retrain(config, tmp_path / "job", show=False).promoted
    _assert_same_end(tmp_path, calm)
    assert not list((tmp_path / "registry" / "drafts").iterdir())


@pytest.mark.slow
def test_killed_twice_and_resumed(calm, jobs, tmp_path):
    jobs.write_log(tmp_path, range(20), name="log")
    command = [sys.executable, "-m", "ecct_tf.cli", "cloud", "retrain", f"--out={tmp_path / 'job'}"]
    command += [f"--set={setting}" for setting in jobs.settings(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for rows in (1, 4):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and _rows(tmp_path / "job") < rows:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert Registry(tmp_path / "registry").versions() == ()
    assert retrain(jobs.small_job(tmp_path), tmp_path / "job", show=False).promoted
    _assert_same_end(tmp_path, calm)


def _rows(job):
    path = job / "metrics.csv"
    return max(path.read_text().count("\n") - 1, 0) if path.exists() else 0
