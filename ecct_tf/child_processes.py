"""Processes that end with the one that started them, whatever ends it."""

import concurrent.futures
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = ["end_child", "start_child", "with_this_tree"]

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

# PR_SET_PDEATHSIG fires when the *thread* that started the child ends, so all children
# are started from one thread that lives as long as the process.
_SPAWNER: concurrent.futures.ThreadPoolExecutor | None = None
_SPAWNER_LOCK = threading.Lock()


def start_child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    output: int | IO[bytes] = subprocess.DEVNULL,
    errors: int | IO[bytes] = subprocess.DEVNULL,
    kept: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Starts a process in a session of its own.

    A terminal's Ctrl-C does not reach it, so that its parent can end in order first. On Linux it
    is killed with its parent; elsewhere it outlives a parent that was killed.

    Args:
      command: program and arguments.
      environment: by default that of this process.
      output: where its output goes, as `subprocess.Popen` takes it.
      errors: where its errors go.
      kept: file descriptors of this process that it has, too.

    Raises:
      OSError: the program cannot be run.
    """

    def start() -> subprocess.Popen[bytes]:
        parent = os.getpid()

        def die_with_parent() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the parent died between fork and prctl
                os._exit(1)

        return subprocess.Popen(
            list(command),
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            pass_fds=kept,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )

    return _spawner().submit(start).result()


def end_child(process: subprocess.Popen[bytes], *, patience_seconds: float) -> int:
    """Ends a process with SIGTERM, and one that does not obey in time with SIGKILL.

    Args:
      process: that `start_child` started; one that has ended is left as it is.
      patience_seconds: how long it may take to end in order.

    Returns:
      Its exit code; of one that a signal ended, the signal's negative number.
    """
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        return process.wait(timeout=patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def with_this_tree() -> dict[str, str]:
    """The environment of a Python that imports these packages from where this process has them."""
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _spawner() -> concurrent.futures.ThreadPoolExecutor:
    global _SPAWNER
    with _SPAWNER_LOCK:
        if _SPAWNER is None:
            _SPAWNER = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="spawner")
        return _SPAWNER
