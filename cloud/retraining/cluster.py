"""The cluster of `TF_CONFIG`: who is in it, who has not come, and how long that is waited for.

TensorFlow waits for the other processes of a cluster without end. While it starts a cluster it
even holds Python's lock, so that no thread of Python can say or stop anything. Hence `gather`
waits beforehand, in Python, until all are there: it names who is missing, gives up at a
deadline, and can be stopped; and `unguarded` leaves what remains of the start to the kernel.
Steps, which let Python run, are done in a thread that `Patience` waits for.
"""

import contextlib
import dataclasses
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from typing import Any, TypeVar

from ecct_tf.errors import WorkerError

__all__ = ["Cluster", "Patience", "unguarded"]

_log = logging.getLogger(__name__)

T = TypeVar("T")
# gRPC alone reads this variable, and reads it before `no_proxy`.
_EXCEPTIONS = "no_grpc_proxy"
_LOOK_SECONDS = 0.5
_FIRST_WORD_SECONDS = 10.0
_STARTING = "starting the cluster"
_WAITING = "%s: waiting for %.0f s, at most %g s: %s"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a job.

    Attributes:
      addresses: `host:port` of each process, by its job's name.
      job: of this process.
      index: of this process among those of its job.
    """

    addresses: Mapping[str, Sequence[str]]
    job: str
    index: int

    def others(self) -> dict[str, str]:
        """The address of each other process, by a name such as `worker 1`."""
        return {
            f"{job} {index}": address
            for job, addresses in self.addresses.items()
            for index, address in enumerate(addresses)
            if (job, index) != (self.job, self.index) and job != "evaluator"
        }

    def missing(self) -> dict[str, str]:
        """Those of them at whose address nobody accepts a connection."""
        return {name: address for name, address in self.others().items() if not _accepts(address)}

    def gather(self, *, seconds: float) -> None:
        """Waits until all others accept connections, and accepts theirs meanwhile.

        Raises:
          WorkerError: some did not come before the deadline, or another program has this
            process's port.
        """
        own = self.addresses[self.job][self.index]
        try:
            listener = socket.create_server(("", int(own.rpartition(":")[2])))
        except OSError as error:
            raise WorkerError(
                f"{self.job} {self.index}: expected to listen at {own}, the system says: {error}; "
                "end what uses the port, or give another in TF_CONFIG"
            ) from error
        with listener:
            listener.settimeout(_LOOK_SECONDS)
            began = time.monotonic()
            word = min(_FIRST_WORD_SECONDS, seconds / 2)
            while missing := self.missing():
                with contextlib.suppress(TimeoutError):
                    listener.accept()[0].close()
                waited = time.monotonic() - began
                if waited >= seconds:
                    raise WorkerError(_gave_up(_STARTING, seconds, _nobody(missing)))
                if waited >= word:
                    _log.warning(_WAITING, _STARTING, waited, seconds, _nobody(missing))
                    word = waited + max(_FIRST_WORD_SECONDS, 0.5 * waited)

    def without_proxies(self) -> None:
        """Keeps the proxies of the user away from the cluster; of downloads they stay."""
        hosts = {
            address.rpartition(":")[0]
            for addresses in self.addresses.values()
            for address in addresses
        }
        given = os.environ.get(_EXCEPTIONS) or os.environ.get("no_proxy") or ""
        names = [*filter(None, given.split(",")), *sorted(hosts)]
        os.environ[_EXCEPTIONS] = ",".join(dict.fromkeys(names))


class Patience:
    """Has what needs the whole cluster done in a thread, and waits for it so long.

    Args:
      cluster: the processes.
      seconds: for each thing that is done.
    """

    def __init__(self, cluster: Cluster, *, seconds: float) -> None:
        self._cluster = cluster
        self._seconds = seconds
        self._tasks: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        # Not of an executor: at its end Python would wait for such a thread.
        threading.Thread(target=self._work, name="ecct-cluster", daemon=True).start()

    def __call__(self, work: Callable[[], T], *, doing: str) -> T:
        """The result of `work`, whose errors are passed on.

        Args:
          work: what needs the others.
          doing: its name in what is said, such as "starting the cluster".

        Raises:
          WorkerError: it is not done after the deadline.
        """
        future: Future[T] = Future()
        self._tasks.put((work, future))
        began = time.monotonic()
        word = min(_FIRST_WORD_SECONDS, self._seconds / 2)
        while True:
            waited = time.monotonic() - began
            try:
                # In short pieces: a lock that is waited for hides signals in some systems.
                return future.result(timeout=max(min(_LOOK_SECONDS, self._seconds - waited), 0.01))
            except NotYetError:
                if future.done():  # an error of `work` itself, of that name
                    raise
            waited = time.monotonic() - began
            if waited >= self._seconds:
                raise WorkerError(_gave_up(doing, self._seconds, self._whom()))
            if waited >= word:
                _log.warning(_WAITING, doing, waited, self._seconds, self._whom())
                word = waited + max(_FIRST_WORD_SECONDS, 0.5 * waited)

    def _whom(self) -> str:
        missing = self._cluster.missing()
        if missing:
            return _nobody(missing)
        return f"all of {', '.join(self._cluster.others())} accept connections, one does not answer"

    def _work(self) -> None:
        while True:
            work, future = self._tasks.get()
            try:
                future.set_result(work())
            except BaseException as error:  # the caller's, whatever it is
                future.set_exception(error)


@contextlib.contextmanager
def unguarded(*, seconds: float) -> Iterator[None]:
    """Lets the kernel itself obey Ctrl-C and SIGTERM, and end the process at a deadline.

    For calls that hold Python's lock. Elsewhere than in the main thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _nobody(missing: Mapping[str, str]) -> str:
    names = ", ".join(f"{name} at {address}" for name, address in missing.items())
    return f"nobody accepts connections as {names}"


def _gave_up(doing: str, seconds: float, whom: str) -> str:
    return (
        f"{doing}: gave up after {seconds:g} s (cluster.wait_seconds): {whom}. Start those "
        "processes, or leave them out of TF_CONFIG, and give the same command again in all; what "
        "was finished is kept"
    )


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
    except (OSError, ValueError):
        return False
    return True
