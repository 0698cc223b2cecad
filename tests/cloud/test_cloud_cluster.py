"""Processes of a cluster that do not come, or do not answer: named at a deadline, stoppable."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cloud.retraining.cluster import Cluster, Patience, unguarded
from cloud.retraining.config import load_job_config
from ecct_tf.errors import ConfigError, WorkerError

ROOT = Path(__file__).parents[2]
# Python's lock is held for ever, as TensorFlow holds it while it starts a cluster.
DEAF = """
import ctypes
from cloud.retraining.cluster import unguarded
from ecct_tf import stopping
stopping.install()
mutex, libc = ctypes.create_string_buffer(64), ctypes.PyDLL(None)
libc.pthread_mutex_lock(mutex)
with unguarded(seconds={seconds}):
    print("here", flush=True)
    libc.pthread_mutex_lock(mutex)
"""


@pytest.fixture
def ports():
    """Four ports at which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def cluster(addresses, job, index=0):
    return Cluster(
        {name: [f"127.0.0.1:{port}" for port in each] for name, each in addresses.items()},
        job=job,
        index=index,
    )


@pytest.mark.parametrize("job", ["worker", "chief"])
def test_who_does_not_come_is_named_at_the_deadline(ports, job):
    one = cluster({"chief": ports[:1], "worker": ports[1:3], "ps": ports[3:]}, job)
    with pytest.raises(WorkerError, match=r"gave up after 0\.2 s \(cluster\.wait_seconds\)") as it:
        one.gather(seconds=0.2)
    others = {"chief 0": ports[0], "worker 0": ports[1], "worker 1": ports[2], "ps 0": ports[3]}
    del others[f"{job} 0"]
    for name, port in others.items():
        assert f"{name} at 127.0.0.1:{port}" in str(it.value)
    assert f"{job} 0 at" not in str(it.value)


def test_those_who_come_find_each_other(ports):
    addresses = {"worker": ports[:2], "ps": ports[2:3]}
    errors = []

    def gather(job, index):
        try:
            cluster(addresses, job, index).gather(seconds=30)
            # From here on TensorFlow listens.
            servers.append(socket.create_server(("127.0.0.1", addresses[job][index])))
        except WorkerError as error:
            errors.append(error)

    servers = []
    tasks = [("worker", 0), ("worker", 1), ("ps", 0)]
    threads = [threading.Thread(target=gather, args=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()
    assert not errors
    assert len(servers) == 3


def test_a_port_that_is_taken_is_named(ports):
    with (
        socket.create_server(("", ports[0])),
        pytest.raises(
            WorkerError, match=rf"worker 0: expected to listen at 127\.0\.0\.1:{ports[0]}"
        ),
    ):
        cluster({"worker": ports[:2]}, "worker").gather(seconds=1)


def test_a_step_that_is_not_answered_ends_at_the_deadline(ports):
    one = cluster({"worker": ports[:2]}, "worker")
    with pytest.raises(WorkerError, match=rf"a step: gave up.*worker 1 at 127\.0\.0\.1:{ports[1]}"):
        Patience(one, seconds=0.2)(threading.Event().wait, doing="a step")
    with (
        socket.create_server(("127.0.0.1", ports[1])),
        pytest.raises(WorkerError, match="worker 1 accept connections, one does not answer"),
    ):
        Patience(one, seconds=0.2)(threading.Event().wait, doing="a step")


@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("its own"), KeyboardInterrupt()])
def test_results_and_errors_of_a_step_are_passed_on(ports, error):
    patience = Patience(cluster({"worker": ports[:2]}, "worker"), seconds=30)

    def fail():
        raise error

    assert patience(lambda: 3, doing="a step") == 3
    with pytest.raises(type(error)) as it:
        patience(fail, doing="a step")
    assert it.value is error
    assert patience(lambda: 4, doing="a step") == 4


def test_the_wait_for_a_step_can_be_interrupted(ports):
    patience = Patience(cluster({"worker": ports[:2]}, "worker"), seconds=60)

    def work():
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        patience(work, doing="a step")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "seconds"), [(signal.SIGINT, 60), (signal.SIGTERM, 60), (signal.SIGALRM, 1)]
)
def test_a_start_that_holds_pythons_lock_ends_all_the_same(number, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF.format(seconds=seconds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "here\n"
        if number != signal.SIGALRM:
            process.send_signal(number)
        assert process.wait(60) == -number
    finally:
        process.kill()
        process.communicate()


def test_signals_are_as_before_after_a_start():
    before = signal.getsignal(signal.SIGINT)
    with unguarded(seconds=60):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("given", [{}, {"no_proxy": "intra.net"}, {"no_grpc_proxy": "intra.net"}])
def test_no_proxy_stands_between_the_processes(monkeypatch, given):
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_grpc_proxy", "")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    Cluster({"worker": ["a:1", "b:2"], "ps": ["a:3"]}, "worker", 0).without_proxies()
    assert dict(os.environ)["no_grpc_proxy"] == ",".join([*given.values(), "a", "b"])
    assert os.environ.get("no_proxy") == given.get("no_proxy")


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_wait_without_length_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"cluster\.wait_seconds"):
        load_job_config(None, overrides=[f"cluster.wait_seconds={wrong}"])
