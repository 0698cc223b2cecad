"""`ecct worker`: the port, and the child behind it, which is started again when it ends."""

import collections
import dataclasses
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ecct_tf.child_processes import end_child, start_child, with_this_tree
from ecct_tf.config.worker_addresses import WorkerAddress
from ecct_tf.errors import ConfigError, WorkerError
from ecct_tf.installation import require
from ecct_tf.workers.inside import READY
from ecct_tf.workers.process import worker_binary
from ecct_tf.workers.tls import server_context

__all__ = ["WorkerSettings", "serve_worker"]

_log = logging.getLogger(__name__)

# Deaths within a minute; a worker that dies more often is not started again.
_MOST_DEATHS = 5
_DEATHS_SECONDS = 60.0
_END_SECONDS = 5.0
_LAST_LINES = 5


@dataclasses.dataclass(frozen=True)
class WorkerSettings:
    """How a worker is served.

    Attributes:
      host: address to listen at.
      port: to listen at; 0 for any that is free.
      tls: folder with `ca.pem`, `cert.pem` and `key.pem` for mutual TLS; None for none.
      private_network: whether to listen beyond this machine without TLS.
      same_network: whether TFF's worker listens in the machine's own network.
      threads: intra-op threads of the worker.
      concurrent_calls: client values that it computes at once.
      silence_seconds: how long it may give no sign of life.
    """

    host: str = "127.0.0.1"
    port: int = 8470
    tls: Path | None = None
    private_network: bool = False
    same_network: bool = False
    threads: int = 1
    concurrent_calls: int = 2
    silence_seconds: float = 10.0

    def __post_init__(self) -> None:
        beyond = not WorkerAddress(self.host, self.port).here
        if beyond and self.tls is None and not self.private_network:
            raise ConfigError(
                f"{self.host}: expected mutual TLS where others than this machine can connect, "
                "since whoever connects can compute here and what devices hold would cross in "
                "the open; give --tls FOLDER, or --private-network where nobody else can read or "
                "reach that network"
            )
        if self.tls is not None:
            server_context(self.tls)


def serve_worker(settings: WorkerSettings, *, ready: Callable[[str], None]) -> None:
    """Serves until it is interrupted.

    Args:
      settings: how.
      ready: called with the address when connections are taken; again after each new start.

    Raises:
      ConfigError: the address cannot be used.
      WorkerError: the worker does not come up, or dies again and again.
    """
    binary = worker_binary()
    if binary is None:
        require("simulation", by="`ecct worker`")
        raise WorkerError("TFF is not installed; run `ecct doctor`")
    deaths: collections.deque[float] = collections.deque(maxlen=_MOST_DEATHS)
    with _listener(settings) as listener:
        host, port = listener.getsockname()[:2]
        address = WorkerAddress(host, port).target
        while True:
            child = _Child(settings, binary, listener)
            try:
                code = child.wait(lambda: ready(address))
            finally:
                child.end()
            last = child.last_words()
            if code == 2:
                raise WorkerError(last)
            now = time.monotonic()
            if len(deaths) == _MOST_DEATHS and now - deaths[0] < _DEATHS_SECONDS:
                raise WorkerError(
                    f"TFF's worker ended {_MOST_DEATHS + 1} times within {_DEATHS_SECONDS:g} s and "
                    f"is not started again; its last words: {last}. Run `ecct doctor`"
                )
            deaths.append(now)
            _log.warning("%s; starting another", last)


class _Child:
    """The process behind the port, and what it prints."""

    def __init__(self, settings: WorkerSettings, binary: Path, listener: socket.socket) -> None:
        given = {
            "listener": listener.fileno(),
            "binary": str(binary),
            "threads": settings.threads,
            "concurrent_calls": settings.concurrent_calls,
            "tls": None if settings.tls is None else str(settings.tls),
            "own_network": not settings.same_network,
            "silence_seconds": settings.silence_seconds,
        }
        self._process = start_child(
            [sys.executable, "-m", "ecct_tf.workers.inside", json.dumps(given)],
            environment=with_this_tree(),
            output=subprocess.PIPE,
            errors=subprocess.STDOUT,
            kept=(listener.fileno(),),
        )
        self._lines: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name="worker-output", daemon=True)
        self._reader.start()

    def wait(self, ready: Callable[[], None]) -> int:
        """The exit code, once the process has ended; `ready` is called when it serves."""
        told = False
        while True:
            try:
                return self._process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if self._ready.is_set() and not told:
                    told = True
                    ready()

    def last_words(self) -> str:
        """The last line that it printed."""
        self._reader.join(timeout=_END_SECONDS)
        return self._lines[-1] if self._lines else "it ended without a word"

    def end(self) -> None:
        """Ends it; TFF's worker ends with it."""
        end_child(self._process, patience_seconds=_END_SECONDS)

    def _read(self) -> None:
        output = self._process.stdout
        if output is None:
            return
        with output:
            for line in output:
                text = line.decode("utf-8", "replace").rstrip()
                if text == READY:
                    self._ready.set()
                elif text:
                    self._lines.append(text)
                    _log.info("worker: %s", text)


def _listener(settings: WorkerSettings) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=64)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{settings.host}, port {settings.port}: expected an address of this machine with a "
            f"free port, the system says: {error}. Give another --host or --port"
        ) from error
