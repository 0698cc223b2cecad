"""TFF's worker as a process of its own: how it is started, and when it listens.

The worker is a C++ program, which TFF's package carries and any number of which may run.
It listens on every interface of the network that it is started in, and takes work from whoever
reaches its port.
"""

import importlib.util
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import IO

from ecct_tf.child_processes import start_child
from ecct_tf.errors import WorkerError

__all__ = ["HOST", "await_worker", "start_worker", "worker_binary"]

HOST = "127.0.0.1"


def worker_binary() -> Path | None:
    """Where TFF keeps the program, found without importing TFF; None where TFF is missing."""
    found = importlib.util.find_spec("tensorflow_federated")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "data" / "worker_binary"


def start_worker(
    binary: Path,
    *,
    port: int,
    threads: int,
    concurrent_calls: int,
    output: int | IO[bytes] = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Starts a worker, which ends with this process.

    Args:
      binary: the program.
      port: where it is to listen.
      threads: intra-op threads of TensorFlow in it.
      concurrent_calls: client values that it computes at once.
      output: where what it prints goes.

    Raises:
      WorkerError: it cannot be run.
    """
    command = [
        str(binary),
        f"--port={port}",
        f"--max_concurrent_computation_calls={concurrent_calls}",
    ]
    environment = {
        **os.environ,
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # glibc would raise this threshold with each large block that is freed, and keep
        # such blocks in its heaps: the worker would grow over hundreds of rounds.
        "MALLOC_MMAP_THRESHOLD_": str(4 * 2**20),
        "MALLOC_TRIM_THRESHOLD_": str(16 * 2**20),
        "MALLOC_ARENA_MAX": "2",
    }
    try:
        return start_child(command, environment=environment, output=output, errors=output)
    except OSError as error:
        raise WorkerError(
            f"could not start TFF's worker {binary}: {error}; "
            "run `ecct doctor` to check the installation"
        ) from error


def await_worker(process: subprocess.Popen[bytes], port: int, *, patience_seconds: float) -> None:
    """Waits until a worker accepts connections.

    Raises:
      WorkerError: it has ended, or does not in time; whoever started it is to end it.
    """
    # Not `grpc.channel_ready_future`: its thread outlives it for a moment and prints a
    # traceback when the channel is closed meanwhile.
    end = time.monotonic() + patience_seconds
    code = None
    while code is None and time.monotonic() < end:
        try:
            socket.create_connection((HOST, port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(0.01)
        code = process.poll()
    state = "was still starting" if code is None else f"ended with code {code}"
    raise WorkerError(
        f"TFF's worker did not answer; after at most {patience_seconds:g} s it {state}. "
        "Run `ecct doctor`; on a loaded machine, try again"
    )
