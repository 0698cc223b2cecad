"""TFF's worker: it serves, it is replaced, and it never outlives its process."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

import ecct_tf
from ecct_tf.doctor import worker_processes
from ecct_tf.errors import ConfigError, WorkerError
from ecct_tf.federated import FederatedRuntime, compat, federated_runtime
from ecct_tf.federated import runtime as module
from ecct_tf.federated.resident import ResidentValue

ROOT = pathlib.Path(ecct_tf.__file__).parents[1]
SCRIPT = """
import sys, threading, time
import numpy as np
from ecct_tf.federated import FederatedRuntime, compat
from ecct_tf.federated.resident import ResidentValue

opened = []
thread = threading.Thread(target=lambda: opened.append(FederatedRuntime()))
thread.start()
thread.join()
(runtime,) = opened
with compat.install_context(runtime.context):
    add = compat.federated_computation(
        lambda values: compat.federated_sum(values), compat.clients_type(np.int32)
    )
    kept = [
        ResidentValue.at_clients([np.int32(1), np.int32(2)], compat.tensor_type(np.int32, ()))
        for _ in range(25)
    ]
    print("total", [add(values) for values in kept][-1], flush=True)
print("worker", runtime.worker_pid, flush=True)
"""
PIPED = 'echo script $$; exec "$0" -c "$1" > >(exec cat) 2>"$2"'
ENDINGS = {
    "normal": "",
    "exception": "raise RuntimeError('on purpose')",
    "killed": "time.sleep(120)",
}


@pytest.fixture(scope="module")
def add():
    @compat.federated_computation(compat.clients_type(np.int32))
    def add(values):
        return compat.federated_sum(values)

    return add


@pytest.fixture(scope="module")
def endings(tmp_path_factory):
    """The script with each ending, started side by side, its output piped into `cat`."""
    folder = tmp_path_factory.mktemp("endings")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = {
        ending: subprocess.Popen(
            ["bash", "-c", PIPED, sys.executable, SCRIPT + last, str(folder / ending)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for ending, last in ENDINGS.items()
    }
    yield started, folder
    for process in started.values():
        process.kill()
        process.wait()
        process.stdout.close()


def _running(pid):
    return any(worker.pid == pid for worker in worker_processes())


def _wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_a_worker_serves_and_ends_with_its_context(add):
    with federated_runtime() as runtime:
        pid = runtime.worker_pid
        assert add([np.int32(1), np.int32(2)]) == 3
        assert _running(pid)
    assert runtime.worker_pid is None
    assert not _running(pid)


def test_a_worker_ends_when_the_body_raises():
    pids = []

    def body():
        with federated_runtime() as runtime:
            pids.append(runtime.worker_pid)
            raise KeyError

    with pytest.raises(KeyError):
        body()
    assert not _running(pids[0])


def test_closing_twice_is_safe_and_a_closed_runtime_says_so(add):
    with federated_runtime() as runtime:
        add([np.int32(1)])
        runtime.close()
        runtime.close()
        with pytest.raises(WorkerError, match="closed"):
            add([np.int32(1)])  # the same cardinality: TFF keeps its executor
        with pytest.raises(WorkerError, match="closed"):
            add([np.int32(1), np.int32(2)])


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"concurrent_calls": 0}, {"threads": -1}])
def test_numbers_below_one_are_refused(wrong):
    before = len(worker_processes())
    with pytest.raises(ConfigError, match="at least one"):
        FederatedRuntime(**wrong)
    assert len([w for w in worker_processes() if w.parent_pid == os.getpid()]) <= before


def test_a_worker_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr(compat, "WORKER_BINARY", ROOT / "no-such-binary")
    with pytest.raises(WorkerError, match="ecct doctor"):
        FederatedRuntime()


def test_a_worker_that_dies_at_once_is_reported_at_once(monkeypatch):
    monkeypatch.setattr(compat, "WORKER_BINARY", pathlib.Path("/bin/false"))
    start = time.monotonic()
    with pytest.raises(WorkerError, match="ended with code 1"):
        FederatedRuntime()
    assert time.monotonic() - start < 10


PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")
SILENT = """#!/usr/bin/env python3
import socket, sys, time
port = int(sys.argv[1].partition("=")[2])
server = socket.create_server(("", port))
kept = []
while True:
    kept.append(server.accept())
"""


@pytest.mark.parametrize("names", [("http_proxy",), ("grpc_proxy",), PROXIES])
def test_no_proxy_of_the_user_stands_before_the_worker(add, monkeypatch, names):
    monkeypatch.setattr(module, "_FIRST_SECONDS", 20)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # port 9: nobody answers
    with federated_runtime():
        assert add([np.int32(1), np.int32(2)]) == 3
    assert {os.environ[name] for name in names} == {"http://127.0.0.1:9"}


def test_a_worker_that_never_answers_is_given_up_at_the_deadline(monkeypatch, tmp_path):
    silent = tmp_path / "worker"
    silent.write_text(SILENT)
    silent.chmod(0o755)
    monkeypatch.setattr(compat, "WORKER_BINARY", silent)
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.5)
    with pytest.raises(WorkerError, match=r"1 \+ 1 within 0\.5 s.*ecct doctor"):
        FederatedRuntime()


def test_a_worker_that_stops_before_the_first_computation_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.5)
    original = compat.one_plus_one

    def stopped():
        (own,) = {w.pid for w in worker_processes() if w.parent_pid == os.getpid()} - before
        os.kill(own, signal.SIGSTOP)
        return original()

    # The worker that other tests share is not to be stopped.
    before = {worker.pid for worker in worker_processes()}
    monkeypatch.setattr(compat, "one_plus_one", stopped)
    with pytest.raises(WorkerError, match="has not computed"):
        FederatedRuntime()


def test_a_worker_that_is_stopped_in_a_later_computation_is_ended_at_the_deadline(add):
    with federated_runtime(deadline_seconds=2.0) as runtime:
        assert add([np.int32(1), np.int32(2)]) == 3
        worker = runtime.worker_pid
        os.kill(worker, signal.SIGSTOP)
        expected = r"has not answered for 2 s and was ended.*runtime\.round_deadline_seconds"
        with pytest.raises(WorkerError, match=expected):
            add([np.int32(1), np.int32(2)])
        # What comes later does not wait again, and there is no other worker.
        with pytest.raises(WorkerError, match="has not answered"):
            add([np.int32(1), np.int32(2)])
        assert runtime.generation == 0
    assert not _running(worker)


def test_a_worker_that_hangs_while_it_takes_values_is_ended_at_the_deadline(add):
    with federated_runtime(deadline_seconds=2.0) as runtime:
        values = [np.int32(1), np.int32(2)]
        kept = ResidentValue.at_clients(values, compat.tensor_type(np.int32, ()))
        assert add(kept) == 3
        os.kill(runtime.worker_pid, signal.SIGSTOP)
        # Other cardinalities: the first call is one that sets up an executor.
        with pytest.raises(WorkerError, match="has not answered"):
            add([*values, np.int32(3)])


def test_no_clock_runs_on_after_a_computation(add):
    with federated_runtime(deadline_seconds=60.0):
        assert add([np.int32(1)]) == 1
        clocks = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
        assert all(clock.finished.is_set() for clock in clocks)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_deadline_that_is_none_is_refused(seconds):
    with pytest.raises(ConfigError, match="deadline: expected seconds above 0"):
        FederatedRuntime(deadline_seconds=seconds)


def test_a_worker_outlives_the_thread_that_asked_for_it(add):
    opened = []
    thread = threading.Thread(target=lambda: opened.append(FederatedRuntime()))
    thread.start()
    thread.join()
    (runtime,) = opened
    try:
        time.sleep(0.3)
        assert _running(runtime.worker_pid)
        with compat.install_context(runtime.context):
            assert add([np.int32(2), np.int32(2)]) == 4
        assert runtime.generation == 0
    finally:
        runtime.close()


def test_a_killed_worker_is_replaced_and_the_next_round_is_equal(
    compose, make_cloud, run_rounds, assert_states_equal
):
    process = compose(("linear",))
    expected, _ = run_rounds(process, 2)
    everybody, cloud = np.arange(process.num_devices), make_cloud()
    with federated_runtime() as runtime:
        state, _ = process.next(process.initialize(1), cloud, everybody, everybody)
        first = runtime.worker_pid
        os.kill(first, signal.SIGKILL)
        state, report = process.next(state, cloud, everybody, everybody)
        assert report.stage == 2
        assert runtime.generation == 1
        assert runtime.worker_pid != first
        assert not _running(first)
    assert_states_equal(state, expected)


def test_a_worker_that_keeps_dying_is_given_up(add, monkeypatch):
    monkeypatch.setattr(module, "_MAX_RESTARTS", 0)
    with federated_runtime() as runtime:
        assert add([np.int32(1)]) == 1
        os.kill(runtime.worker_pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="died 1 times, last with code -9") as caught:
            add([np.int32(1)])
    assert "participation.devices_per_round" in str(caught.value)


def test_a_worker_killed_for_memory_is_not_begun_again(add, monkeypatch):
    kills = [4]
    monkeypatch.setattr(module, "memory_kills", lambda: kills[0])
    with federated_runtime(load="runtime.shard_size=64") as runtime:
        kills[0] += 1
        os.kill(runtime.worker_pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"memory ran out.*runtime\.shard_size=64"):
            add([np.int32(1)])
        assert runtime.generation == 0


def test_a_computation_that_fails_is_one_line(runtime):
    @compat.tensor_computation(compat.tensor_type(np.int32, ()))
    def look_up(index):
        return tf.gather(tf.constant([1, 2]), index)

    with pytest.raises(WorkerError, match=r"could not run a computation.*7 is not in") as caught:
        look_up(np.int32(7))
    assert "\n" not in str(caught.value)
    message = runtime._explain("OOM when allocating tensor with shape[9,9]\n more\n more")
    assert message.startswith("TFF's worker ran out of memory: OOM when")
    assert "runtime.shard_size" in message
    assert "\n" not in message


@pytest.mark.slow
@pytest.mark.parametrize("ending", list(ENDINGS))
def test_no_worker_survives_its_process_and_the_pipe_ends(ending, endings):
    processes, folder = endings
    process = processes[ending]
    lines = [process.stdout.readline().split() for _ in range(3)]
    assert [line[0] for line in lines] == ["script", "total", "worker"]
    script, total, worker = (int(line[1]) for line in lines)
    assert total == 3
    if ending == "killed":
        assert _running(worker)
        os.kill(script, signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)  # the end of the pipe behind `cat`
    assert rest == ""
    assert process.returncode == {"normal": 0, "exception": 1, "killed": -9}[ending]
    assert _wait_until(lambda: not _running(worker))
    # Values that outlive their worker do not complain either.
    complaints = (folder / ending).read_text().count("Traceback")
    assert complaints == (1 if ending == "exception" else 0)
