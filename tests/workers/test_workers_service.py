"""`ecct worker` from its start to its end: it serves, it starts again, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_federated")

from ecct_tf.child_processes import with_this_tree
from ecct_tf.doctor import worker_processes
from ecct_tf.errors import WorkerError
from ecct_tf.federated import compat, federated_runtime

pytestmark = pytest.mark.slow


class Service:
    """`ecct worker` in a process of its own."""

    def __init__(self, *options):
        before = {worker.pid for worker in worker_processes()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ecct_tf.cli", "worker", *options],
            env=with_this_tree(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self.next_start()
        self.workers = {worker.pid for worker in worker_processes()} - before

    def next_start(self):
        line = self._process.stdout.readline()
        assert line.startswith("Worker ready at "), line or self._process.stderr.read()
        return line.split()[-1]

    def worker(self):
        """The process id of TFF's worker behind this service."""
        (own,) = (each.pid for each in worker_processes() if _stands_below(each, self.pid))
        return own

    @property
    def pid(self):
        return self._process.pid

    def stop(self, how=signal.SIGTERM):
        if self._process.poll() is None:
            self._process.send_signal(how)
        code = self._process.wait(timeout=60)
        said = self._process.stderr.read()
        self._process.stdout.close()
        self._process.stderr.close()
        return code, said


def _stands_below(worker, pid):
    parent = worker.parent_pid
    while parent > 1 and parent != pid:
        text = Path(f"/proc/{parent}/stat").read_text()
        parent = int(text.rpartition(")")[2].split()[1])
    return parent == pid


@pytest.fixture
def service():
    made = []

    def start(*options):
        made.append(Service("--port", "0", *options))
        return made[-1]

    yield start
    for each in made:
        if each._process.poll() is None:
            each.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def add():
    return compat.federated_computation(compat.federated_sum, compat.clients_type(np.int32))


def _wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def _gone(pid):
    return all(worker.pid != pid for worker in worker_processes())


def _check(address, *options):
    command = [sys.executable, "-m", "ecct_tf.cli", "worker", "--check", address, *options]
    return subprocess.run(command, env=with_this_tree(), capture_output=True, text=True, timeout=60)


def test_it_computes_out_of_reach_of_others_and_leaves_nothing(service, add):
    own = service()
    worker = own.worker()
    assert own.address.startswith("127.0.0.1:")
    own_network = Path(f"/proc/{worker}/ns/net").readlink()
    assert own_network != Path("/proc/self/ns/net").readlink()
    assert _check(own.address).stdout == f"{own.address}: a worker answers\n"
    with federated_runtime(workers=(own.address,)):
        assert add([np.int32(1), np.int32(2)]) == 3
    # A run that ends leaves the worker to the next one.
    with federated_runtime(workers=(own.address,)):
        assert add([np.int32(2), np.int32(2)]) == 4
    code, said = own.stop()
    assert code == 128 + signal.SIGTERM
    assert "The worker has ended." in said
    assert _wait_until(lambda: _gone(worker))
    assert _check(own.address).returncode == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_worker_that_is_lost_comes_back_behind_the_same_port(how, service, add):
    own = service()
    with federated_runtime(workers=(own.address,)) as pool:
        assert add([np.int32(1), np.int32(2)]) == 3
        first = own.worker()
        os.kill(first, how)
        assert own.next_start() == own.address
        assert _gone(first)
        assert add([np.int32(2), np.int32(3)]) == 5
        (member,) = pool.members
        assert _wait_until(lambda: member.ready)


def test_a_service_that_is_killed_leaves_no_worker_and_names_itself_in_the_error(service, add):
    own = service()
    worker = own.worker()
    with federated_runtime(workers=(own.address,)) as pool:
        pool._return_seconds = 2.0
        assert add([np.int32(1)]) == 1
        own.stop(signal.SIGKILL)
        assert _wait_until(lambda: _gone(worker))
        with pytest.raises(WorkerError, match=f"no worker.*worker {own.address}"):
            add([np.int32(1)])


def test_a_worker_that_dies_again_and_again_is_not_started_again(service):
    own = service()
    starts = 0
    while True:
        os.kill(own.worker(), signal.SIGKILL)
        if not own._process.stdout.readline():
            break
        starts += 1
    assert starts == 5
    code, said = own._process.wait(timeout=60), own._process.stderr.read()
    assert code == 2
    assert "ended 6 times within 60 s" in said


def test_over_mutual_tls_nobody_else_gets_in(service, add, certificates):
    own = service("--tls", str(certificates("worker")))
    run, stranger = certificates("run"), certificates("run", authority="other")
    with federated_runtime(workers=(own.address,), workers_tls=str(run)):
        assert add([np.int32(1), np.int32(2)]) == 3
    assert _check(own.address, "--tls", str(run)).returncode == 0
    assert _check(own.address, "--tls", str(stranger)).returncode == 1
    assert _check(own.address).returncode == 1
