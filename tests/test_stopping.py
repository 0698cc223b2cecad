"""Ctrl-C and SIGTERM in processes of their own: answered at once, obeyed, never lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ecct_tf
from ecct_tf import cli, stopping

ROOT = Path(ecct_tf.__file__).parents[1]
HEAD = r"""
import sys, time
from ecct_tf import stopping
def marker(text):
    print(text, flush=True)
def main():
    stopping.install()
    try:
        work()
    except KeyboardInterrupt:
        sys.stderr.write(stopping.last_words() + "\n")
        sys.stderr.flush()
        sys.exit(stopping.exit_code())
"""
# A mutex that is locked twice: no signal brings such a call back to Python.
STUCK = """
import ctypes
def work():
    mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    with stopping.going_on(lambda: "go on like this"):
        marker("here")
        libc.pthread_mutex_lock(mutex)
"""
ROUND = """
def work():
    with stopping.going_on(lambda: "go on like this"):
        with stopping.finishing("the round"):
            marker("here")
            sys.stdin.readline()
            marker("round finished")
        marker("not here")
"""
IMPORT = """
def work():
    import swallowing
    marker("not here")
"""
SWALLOWING = """
import time
print("here", flush=True)
while True:
    try:
        time.sleep(600)
    except BaseException:
        pass
"""
BOTH = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]


@pytest.fixture
def started(tmp_path):
    """Starts a script and waits for its marker."""
    processes = []

    def start(script, tail="\nmain()"):
        (tmp_path / "swallowing.py").write_text(SWALLOWING)
        path = tmp_path / "script.py"
        path.write_text(HEAD + script + tail)
        process = subprocess.Popen(
            [sys.executable, str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "here\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code", "name"), BOTH)
def test_a_round_is_finished_and_the_way_on_is_told(started, number, code, name):
    process = started(ROUND)
    process.send_signal(number)
    assert f"{name}: finishing the round;" in process.stderr.readline()
    output, errors = process.communicate("go\n", timeout=60)
    assert output == "round finished\n"
    assert errors == "go on like this\n"
    assert process.returncode == code


@pytest.mark.parametrize(("number", "code", "name"), BOTH)
def test_a_second_signal_ends_the_round_now(started, number, code, name):
    process = started(ROUND)
    process.send_signal(number)
    assert name in process.stderr.readline()
    # Twice within a moment is once, so it is sent until it is taken for a second one.
    while process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    assert process.stderr.read() == "go on like this\n"
    assert process.returncode == code


@pytest.mark.parametrize(("number", "code", "name"), BOTH)
def test_a_main_thread_that_never_comes_back_is_not_waited_for(started, number, code, name):
    process = started("stopping._PATIENCE_SECONDS = 0.2\n" + STUCK)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert errors.splitlines()[0].startswith(f"{name}: stopping;")
    assert errors.splitlines()[1:] == ["go on like this"]
    assert process.returncode == code


@pytest.mark.parametrize(("number", "code", "name"), BOTH)
def test_an_import_that_swallows_exceptions_does_not_swallow_a_stop(started, number, code, name):
    process = started(IMPORT)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert output == ""
    assert errors.splitlines()[0].startswith(f"{name}: stopping;")
    assert errors.splitlines()[1:] == [stopping.last_words()]
    assert process.returncode == code


def test_a_stop_that_was_swallowed_is_obeyed_at_the_next_round(started):
    swallowed = """
def work():
    with stopping.going_on(lambda: "go on like this"):
        try:
            marker("here")
            time.sleep(600)
        except BaseException:
            pass
        with stopping.finishing("the round"):
            marker("not here")
"""
    process = started(swallowed)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == ""
    assert errors.splitlines()[1:] == ["go on like this"]
    assert process.returncode == 130


def test_an_ignored_signal_stays_ignored(started):
    process = started(ROUND, "\nimport signal; signal.signal(2, signal.SIG_IGN); main()")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate("go\n", timeout=60)
    assert (output, errors, process.returncode) == ("round finished\nnot here\n", "", 0)


def test_without_the_command_line_a_block_is_finished_too():
    before, done = signal.getsignal(signal.SIGINT), []

    def block():
        with stopping.finishing("the round"):
            signal.raise_signal(signal.SIGINT)
            done.append("finished")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["finished"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("imported", [" click.", " ecct_tf.commands.", " tensorflow."])
def test_a_stop_while_packages_are_imported_is_not_lost(tmp_path, number, imported):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "ecct_tf.cli", "simulate", "--rounds=1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if imported in line:
                break
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert "no run to resume" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_little_is_imported_before_a_stop_is_answered():
    code = """
import sys
before = set(sys.modules)
import ecct_tf.cli
print(*sorted(set(sys.modules) - before))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Without `site`, which may import anything.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True
    )
    added = set(done.stdout.split())
    assert {name for name in added if name.startswith("ecct_tf")} == {
        "ecct_tf",
        "ecct_tf.cli",
        "ecct_tf.stopping",
        "ecct_tf.version",  # one line
    }, done.stderr
    assert not added & {"click", "importlib.metadata", "logging", "re", "typing"}


def test_a_command_within_a_test_leaves_signals_as_they_were(monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["ecct", "--version"])
    cli.main()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    # The one of a test before this would stop the run of a test after it.
    assert stopping.exit_code() == 130
