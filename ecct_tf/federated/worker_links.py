"""Ways to a worker of a pool: one that this process starts, or one that runs elsewhere."""

import logging
import subprocess
import time
from typing import Any, Protocol

import grpc
import portpicker

from ecct_tf.config.worker_addresses import (
    LOCAL_WORKER,
    WorkerAddress,
    worker_address,
)
from ecct_tf.errors import WorkerError
from ecct_tf.federated import compat
from ecct_tf.memory import memory_kills
from ecct_tf.workers import (
    CHANNEL_OPTIONS,
    HOST,
    answers,
    await_worker,
    channel_to,
    start_worker,
)

__all__ = ["LocalLink", "RemoteLink", "WorkerLink", "worker_links"]

_log = logging.getLogger(__name__)

_START_SECONDS = 60.0
_CONNECT_SECONDS = 10.0


class WorkerLink(Protocol):
    """A way to one worker.

    Attributes:
      name: of the worker, for messages.
      own: whether this process started it, and starts another when it dies.
    """

    name: str
    own: bool

    def connect(self) -> Any:
        """A channel to the worker, which is started or awaited if need be.

        Raises:
          WorkerError: it does not come up, or is not reached.
        """
        ...

    def death(self, *, within_seconds: float = 0.0) -> str | None:
        """How the worker ended, as far as it is known here.

        Args:
          within_seconds: how long to wait for its end, once its connection is gone.
        """
        ...

    def end(self) -> None:
        """Ends the worker if it is one's own."""
        ...


class LocalLink:
    """A worker that this process starts and ends. Implements `WorkerLink`."""

    own = True

    def __init__(self, number: int, *, threads: int, concurrent_calls: int) -> None:
        """The link; the worker is started by `connect`.

        Args:
          number: among the local workers, from 1.
          threads: intra-op threads of the worker.
          concurrent_calls: client values that it computes at once.
        """
        self.name = f"local worker {number}"
        self._threads = threads
        self._concurrent_calls = concurrent_calls
        self._process: subprocess.Popen[bytes] | None = None
        self._kills = 0

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None before and after it."""
        return None if self._process is None else self._process.pid

    def connect(self) -> Any:
        """Starts the worker, or another in its place."""
        self.end()
        self._kills = memory_kills()
        port = portpicker.pick_unused_port()
        self._process = start_worker(
            compat.WORKER_BINARY,
            port=port,
            threads=self._threads,
            concurrent_calls=self._concurrent_calls,
        )
        await_worker(self._process, port, patience_seconds=_START_SECONDS)
        _log.debug("%s is process %d, port %d", self.name, self._process.pid, port)
        return grpc.insecure_channel(f"{HOST}:{port}", CHANNEL_OPTIONS)

    def death(self, *, within_seconds: float = 0.0) -> str | None:
        """How the process ended."""
        process = self._process
        if process is None:
            return None
        try:
            code = process.wait(timeout=within_seconds)
        except subprocess.TimeoutExpired:
            return None
        starved = code in (-9, -6) and memory_kills() > self._kills
        why = ": the system killed it because memory ran out" if starved else ""
        return f"its process ended with code {code}{why}"

    def end(self) -> None:
        """Kills the process and waits for it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


class RemoteLink:
    """A worker that `ecct worker` runs. Implements `WorkerLink`."""

    own = False

    def __init__(self, address: WorkerAddress, *, tls: str | None) -> None:
        """The link; nothing is reached before `connect`.

        Args:
          address: where it listens.
          tls: as `runtime.workers_tls`.
        """
        self.name = f"worker {address.target}"
        self._address = address
        self._tls = tls

    def connect(self) -> Any:
        """A channel on which the worker has answered.

        Raises:
          ConfigError: a file of the TLS cannot be read.
        """
        channel = channel_to(self._address, tls=self._tls)
        end, said = time.monotonic() + _CONNECT_SECONDS, None
        while time.monotonic() < end:
            said = answers(channel, within_seconds=_CONNECT_SECONDS / 4)
            if said is None:
                return channel
            time.sleep(0.2)
        channel.close()
        raise WorkerError(
            f"{self.name} does not answer within {_CONNECT_SECONDS:g} s: {said}. Expected "
            f"`ecct worker --port {self._address.port}` to run there, with the same kind of TLS"
        )

    def death(self, *, within_seconds: float = 0.0) -> None:
        """Not known from here."""

    def end(self) -> None:
        """Leaves the worker to whoever started it."""


def worker_links(
    workers: tuple[str, ...], *, tls: str | None, threads: int, concurrent_calls: int
) -> list[WorkerLink]:
    """The links that `runtime.workers` names.

    Raises:
      ConfigError: a name is none.
    """
    links: list[WorkerLink] = []
    for name in workers:
        if name == LOCAL_WORKER:
            number = 1 + sum(link.own for link in links)
            link: WorkerLink = LocalLink(number, threads=threads, concurrent_calls=concurrent_calls)
        else:
            link = RemoteLink(worker_address(name), tls=tls)
        links.append(link)
    return links
