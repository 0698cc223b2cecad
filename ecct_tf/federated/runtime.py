"""Starting, tuning and reliably ending TFF's worker.

TFF runs computations in a C++ process of its own that, left alone, outlives Python and
keeps its standard output open: a pipe behind the script never ends. `FederatedRuntime`
starts that process itself, detached from the terminal and with its streams closed, and
asks the kernel to end it when this process dies, by whatever cause.
"""

import atexit
import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import portpicker

from ecct_tf.errors import ConfigError, WorkerError
from ecct_tf.federated import compat
from ecct_tf.federated.worker_executor import remote_executor
from ecct_tf.memory import memory_kills
from ecct_tf.phases import phase
from ecct_tf.workers import CHANNEL_OPTIONS, HOST, await_worker, start_worker

__all__ = ["FederatedRuntime", "explained", "worker_runtime"]

_log = logging.getLogger(__name__)

_START_SECONDS = 60
_FIRST_SECONDS = 60
_MAX_RESTARTS = 3
# How a process ends that the system refuses memory: killed, or by its own `abort`.
_STARVED = {-9: "killed, often for want of memory", -6: "aborted, often for want of memory"}
_OUT_OF_MEMORY = ("OOM when allocating", "failed to allocate memory", "std::bad_alloc")
_SETTINGS = (
    "participation.devices_per_round, runtime.shard_size, runtime.concurrent_calls, "
    "training.batch_size, samples.max_positions and samples.negatives"
)


class FederatedRuntime:
    """One worker process and the TFF context that runs computations in it.

    A worker that dies is replaced, and the computation under way is run again by TFF;
    after a few replacements the runtime gives up with a `WorkerError`.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        concurrent_calls: int = 2,
        load: str = "",
        deadline_seconds: float = 1800.0,
    ) -> None:
        """Starts the worker.

        Args:
          threads: intra-op threads of TensorFlow in the worker. One is best: shards already
            run side by side.
          concurrent_calls: shards that the worker computes at once.
          load: what decides how much memory the worker takes, in words, for the error when
            there is not enough.
          deadline_seconds: longest wait for a computation; then the worker is ended, and the
            computation with a `WorkerError`.

        Raises:
          ConfigError: when a number is below 1, or the deadline is not above 0.
          WorkerError: when the worker does not come up, or does not compute.
        """
        if threads < 1 or concurrent_calls < 1:
            raise ConfigError(
                "the runtime needs at least one thread and one concurrent call, "
                f"got threads={threads}, concurrent_calls={concurrent_calls}"
            )
        if not deadline_seconds > 0:
            raise ConfigError(
                f"the runtime's deadline: expected seconds above 0, got {deadline_seconds}"
            )
        self._deadline_seconds = deadline_seconds
        self._threads = threads
        self._concurrent_calls = concurrent_calls
        self._load = load or _SETTINGS
        self._killed_before = memory_kills()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Any = None
        self._restarts = 0
        self._closed = False
        self._failure: str | None = None
        atexit.register(self.close)
        self._start()
        self.context = compat.execution_context(
            self._executor,
            check=self._open_process,
            explain=self._explain,
            watch=self._within_deadline,
        )
        self._try_out()

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, None once closed."""
        return None if self._process is None else self._process.pid

    @property
    def generation(self) -> int:
        """How often the worker died and was replaced."""
        return self._restarts

    def close(self) -> None:
        """Ends the worker. Safe to call more than once."""
        self._closed = True
        atexit.unregister(self.close)
        self._stop()

    def _start(self) -> None:
        port = portpicker.pick_unused_port()
        self._process = start_worker(
            compat.WORKER_BINARY,
            port=port,
            threads=self._threads,
            concurrent_calls=self._concurrent_calls,
        )
        try:
            await_worker(self._process, port, patience_seconds=_START_SECONDS)
        except WorkerError:
            self._stop()
            raise
        self._channel = grpc.insecure_channel(f"{HOST}:{port}", CHANNEL_OPTIONS)
        _log.debug("TFF worker %d listens on port %d", self._process.pid, port)

    def _try_out(self) -> None:
        """Computes one plus one: TFF itself would wait for a worker's answer without end."""
        failure = (
            f"TFF's worker accepts connections, but has not computed 1 + 1 within "
            f"{_FIRST_SECONDS} s. Run `ecct doctor`; on a loaded machine, try again"
        )
        try:
            with self._watched(_FIRST_SECONDS, failure), compat.install_context(self.context):
                compat.one_plus_one()
        except BaseException:
            self.close()
            raise

    def _within_deadline(self) -> AbstractContextManager[None]:
        """Gives the worker up when the body, a computation, is not done at the deadline."""
        return self._watched(
            self._deadline_seconds,
            f"TFF's worker has not answered for {self._deadline_seconds:g} s and was ended: it "
            "hung, or was stopped from outside. Where a round may take longer, raise "
            "runtime.round_deadline_seconds.",
        )

    @contextmanager
    def _watched(self, seconds: float, failure: str) -> Iterator[None]:
        watch = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._give_up, [failure])
        watch.daemon = True
        watch.start()
        try:
            yield
        except Exception as error:
            if self._failure is None:
                raise
            raise WorkerError(self._failure) from error
        finally:
            watch.cancel()

    def _give_up(self, failure: str) -> None:
        self._failure = failure
        # A call that waits for an answer ends with the channel, one that TFF repeats with
        # the next executor that it asks for.
        channel, process = self._channel, self._process
        if process is not None:
            process.kill()
        if channel is not None:
            channel.close()

    def _stop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._process = None

    def _open_process(self) -> subprocess.Popen[bytes]:
        if self._closed or self._process is None:
            raise WorkerError("the federated runtime is closed; open a new one")
        return self._process

    def _executor(self, cardinalities: Any) -> Any:
        # TFF calls this once for each set of cardinalities, and after a lost connection.
        if self._failure is not None:
            raise WorkerError(self._failure)
        code = self._open_process().poll()
        if code is not None:
            starved = code in _STARVED and memory_kills() > self._killed_before
            if starved or self._restarts >= _MAX_RESTARTS:
                raise WorkerError(self._obituary(code, starved=starved))
            self._restarts += 1
            _log.warning("TFF's worker died (code %d); starting another", code)
            self._stop()
            self._start()
        return remote_executor(self._channel, dict(cardinalities))

    def _obituary(self, code: int, *, starved: bool) -> str:
        """Why the worker died, as far as it can be known, and what may help."""
        if starved:
            # Another would take as much; to begin again would only take long.
            return f"TFF's worker was killed by the system because memory ran out. {self._advice}"
        told = f"TFF's worker died {self._restarts + 1} times, last with code {code}"
        return f"{told} ({_STARVED[code]}). {self._advice}" if code in _STARVED else f"{told}."

    def _explain(self, said: str) -> str:
        """What to say of a computation that failed in the worker."""
        return explained(said, load=self._load)

    @property
    def _advice(self) -> str:
        return _advice(self._load)


def explained(said: str, *, load: str = "") -> str:
    """What to say of a computation that failed in a worker.

    Args:
      said: what the worker says of it.
      load: what decides how much memory the worker takes, in words.
    """
    first = said.strip().partition("\n")[0]
    if any(sign in said for sign in _OUT_OF_MEMORY):
        return f"TFF's worker ran out of memory: {first}. {_advice(load or _SETTINGS)}"
    return f"TFF's worker could not run a computation: {first}"


def _advice(load: str) -> str:
    return (
        f"What decides how much it takes: {load}. Make them smaller, or take a machine "
        "with more memory."
    )


@contextmanager
def worker_runtime(
    *,
    threads: int = 1,
    concurrent_calls: int = 2,
    load: str = "",
    deadline_seconds: float = 1800.0,
) -> Iterator[FederatedRuntime]:
    """Runs the body with TFF computations executed in an own worker, which it then ends.

    Works alike in scripts, notebooks and tests::

        with worker_runtime():
            process.next(...)

    Args:
      threads: intra-op threads of the worker.
      concurrent_calls: shards computed at once.
      load: what decides how much memory the worker takes, in words.
      deadline_seconds: longest wait for a computation, of which a round has one for each tier.

    Yields:
      The runtime.
    """
    with phase("starting TFF's worker"):
        runtime = FederatedRuntime(
            threads=threads,
            concurrent_calls=concurrent_calls,
            load=load,
            deadline_seconds=deadline_seconds,
        )
    try:
        with compat.install_context(runtime.context):
            yield runtime
    finally:
        runtime.close()
