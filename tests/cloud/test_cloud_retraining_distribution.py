"""The same result on one worker and on several; a lost worker ends in a clear error."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cloud.registry import Registry
from cloud.retraining.distribution import build_engine
from cloud.version_files import StoredCloud
from ecct_tf.errors import ConfigError

ROOT = Path(__file__).parents[2]
# Sums in another order, and Adam, which magnifies what is near zero.
TOLERANCE = 2e-4

_MIRRORED = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
assert tf.distribute.MirroredStrategy().num_replicas_in_sync == 2
from ecct_tf.cli import main

main()
"""


def _assert_same(folder, calm):
    one, other = (
        StoredCloud.read(Registry(path / "registry").promoted().path) for path in (calm, folder)
    )
    for name, value in one.snapshot.items():
        np.testing.assert_allclose(
            other.snapshot[name], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name
        )


def _start(folder, jobs, *, script=("-m", "ecct_tf.cli"), config=None, **changes):
    settings = [f"--set={setting}" for setting in jobs.settings(folder, **changes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if config is not None:
        environment["TF_CONFIG"] = json.dumps(config)
    return subprocess.Popen(
        [sys.executable, *script, "cloud", "retrain", f"--out={folder / 'job'}", *settings],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _end(process):
    try:
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    return process.returncode, output


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
@pytest.mark.current
def test_two_mirrored_devices(calm, jobs, tmp_path):
    jobs.write_log(tmp_path, range(20), name="log")
    code, output = _end(_start(tmp_path, jobs, script=("-c", _MIRRORED), distribution="mirrored"))
    assert code == 0, output
    _assert_same(tmp_path, calm)


@pytest.mark.slow
def test_a_lost_worker_and_two_that_go_on(calm, jobs, tmp_path):
    """The second of two workers is killed in an epoch; then both are started again."""
    jobs.write_log(tmp_path, range(20), name="log")
    changes = {"distribution": "multi_worker_mirrored", "cloud__update_batch_size": 6}

    def start():
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
        cluster = {"worker": addresses}
        return [
            _start(
                tmp_path,
                jobs,
                config={"cluster": cluster, "task": {"type": "worker", "index": index}},
                **changes,
            )
            for index in range(2)
        ]

    first, second = start()
    metrics = tmp_path / "job" / "metrics.csv"
    while first.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 1):
        time.sleep(0.01)
    second.send_signal(signal.SIGKILL)
    _end(second)
    code, output = _end(first)
    assert code == 2, output
    assert "a worker of the cluster was lost" in output
    assert Registry(tmp_path / "registry").versions() == ()
    ended = [_end(process) for process in start()]
    assert [code for code, _ in ended] == [0, 0], ended
    _assert_same(tmp_path, calm)


@pytest.fixture
def parameter_servers(jobs, tmp_path):
    """Starts a coordinator, two workers and a server, each a process of its own."""
    jobs.write_log(tmp_path, range(20), name="log")
    started = []

    def start(*chosen, cluster=None):
        tasks = [("worker", 0), ("worker", 1), ("ps", 0), ("chief", 0)]
        if cluster is None:
            cluster = {}
            for (name, _), port in zip(tasks, _free_ports(len(tasks)), strict=True):
                cluster.setdefault(name, []).append(f"127.0.0.1:{port}")
        processes = {
            (name, index): _start(
                tmp_path,
                jobs,
                config={"cluster": cluster, "task": {"type": name, "index": index}},
                distribution="parameter_server",
                cloud__update_batch_size=6,
            )
            for name, index in chosen or tasks
        }
        started.extend(processes.values())
        return cluster, processes

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _kill_in_an_epoch(folder, processes, task):
    metrics = folder / "job" / "metrics.csv"
    chief = processes["chief", 0]
    while chief.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 1):
        time.sleep(0.01)
    processes[task].send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_parameter_servers_go_on_when_a_lost_worker_is_back(calm, parameter_servers, tmp_path):
    cluster, processes = parameter_servers()
    _kill_in_an_epoch(tmp_path, processes, ("worker", 1))
    parameter_servers(("worker", 1), cluster=cluster)
    code, output = _end(processes["chief", 0])
    assert code == 0, output
    _assert_same(tmp_path, calm)


@pytest.mark.slow
def test_a_lost_parameter_server_ends_the_job_which_goes_on(calm, parameter_servers, tmp_path):
    _, processes = parameter_servers()
    _kill_in_an_epoch(tmp_path, processes, ("ps", 0))
    code, output = _end(processes["chief", 0])
    assert code == 2, output
    assert "a worker of the cluster was lost" in output
    assert Registry(tmp_path / "registry").versions() == ()
    _, processes = parameter_servers()
    code, output = _end(processes["chief", 0])
    assert code == 0, output
    _assert_same(tmp_path, calm)


@pytest.mark.parametrize("value", [None, "no json", '{"cluster": {"worker": []}}'])
def test_a_cluster_that_is_not_described_is_refused(value, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    for distribution in ("multi_worker_mirrored", "parameter_server"):
        with pytest.raises(ConfigError, match="expected TF_CONFIG in the environment"):
            build_engine(distribution)
