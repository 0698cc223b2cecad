"""One worker of a pool: its connection, whether it lives, and what happens when it does not."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ecct_tf.errors import WorkerError
from ecct_tf.federated import compat
from ecct_tf.federated.runtime import explained
from ecct_tf.federated.worker_executor import ConnectionLostError, remote_executor
from ecct_tf.federated.worker_links import WorkerLink
from ecct_tf.workers import ping, trouble

__all__ = ["PoolMember", "WorkerLostError"]

_log = logging.getLogger(__name__)

_FIRST_SECONDS = 60.0
# Deaths of a local worker between two computations that it finishes.
_MOST_DEATHS = 3
_LONGEST_PAUSE_SECONDS = 30.0
# A process whose connection breaks has mostly ended, and is about to tell how.
_DEATH_SECONDS = 0.5


class WorkerLostError(WorkerError):
    """A worker is gone, or not to be reached, while it had something to compute."""


class _Connection:
    """A channel with a context of its own: executors of an earlier channel must not be met again.

    Attributes:
      failure: why it is given up; None while it is good.
      busy_since: when the computation under way began; None between computations.
    """

    def __init__(self, channel: Any, *, explain: Callable[[str], str]) -> None:
        self.channel = channel
        self.failure: str | None = None
        self.busy_since: float | None = None
        self.ping: Any = None
        self.context = compat.execution_context(
            self._executor, check=self._check, explain=explain, watch=self._busy
        )

    def _check(self) -> None:
        if self.failure is not None:
            raise WorkerLostError(self.failure)

    def _executor(self, cardinalities: Any) -> Any:
        self._check()
        return remote_executor(self.channel, dict(cardinalities), once=True)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self.busy_since = time.monotonic()
        try:
            yield
        finally:
            self.busy_since = None


class PoolMember:
    """A worker of a pool."""

    def __init__(
        self,
        link: WorkerLink,
        *,
        load: str,
        deadline_seconds: float,
        silence_seconds: float,
        changed: threading.Condition,
    ) -> None:
        """A worker that is not connected yet.

        Args:
          link: the way to it.
          load: what decides how much memory it takes, in words.
          deadline_seconds: longest wait for a computation.
          silence_seconds: longest wait for a sign of life.
          changed: notified when the worker is lost, or is back.
        """
        self.link = link
        self._load = load
        self._deadline_seconds = deadline_seconds
        self._silence_seconds = silence_seconds
        self._changed = changed
        self._connection: _Connection | None = None
        self._opening: threading.Thread | None = None
        self._deaths = 0
        self._misses = 0
        self._retry_at = 0.0
        self._closed = False
        self.failure: str | None = "not connected yet"
        self.losses = 0

    @property
    def name(self) -> str:
        """Names the worker in messages."""
        return self.link.name

    @property
    def ready(self) -> bool:
        """Whether it lives, as far as is known."""
        return self.failure is None

    @property
    def given_up(self) -> bool:
        """Whether it is not started again: a local one that dies again and again."""
        return self.link.own and self._deaths > _MOST_DEATHS

    def open(self) -> None:
        """Connects it, and has it compute one plus one.

        Raises:
          WorkerError: it does not come up, or does not compute.
        """
        channel = self.link.connect()
        connection = _Connection(channel, explain=self._explain)
        watch = threading.Timer(_FIRST_SECONDS, self._fail, [connection, "1 + 1 takes too long"])
        watch.daemon = True
        watch.start()
        try:
            with compat.install_context(connection.context):
                compat.one_plus_one()
        except Exception as error:
            self._end(connection)
            raise WorkerError(
                f"{self.name} accepts connections, but has not computed 1 + 1: "
                f"{connection.failure or error}. Run `ecct doctor` on its machine"
            ) from error
        finally:
            watch.cancel()
        with self._changed:
            if self._closed:
                self._end(connection)
                return
            self._connection, self.failure, self._misses = connection, None, 0
            self._changed.notify_all()

    def run(self, task: Callable[[], Any]) -> Any:
        """Runs what calls TFF computations, in this worker.

        Args:
          task: called with the worker's context installed.

        Raises:
          WorkerLostError: the worker is gone.
          WorkerError: a computation failed in it.
        """
        connection = self._connection
        if connection is None or connection.failure is not None:
            raise WorkerLostError(f"{self.name}: {self.failure}")
        try:
            with compat.install_context(connection.context):
                result = task()
        except Exception as error:
            if isinstance(error, ConnectionLostError):
                death = self.link.death(within_seconds=_DEATH_SECONDS)
                self._fail(connection, death or f"connection lost ({error})")
            if connection.failure is None:
                raise
            raise WorkerLostError(f"{self.name}: {connection.failure}") from error
        self._deaths = 0
        return result

    def watch(self) -> None:
        """Looks after the worker; called often, by one thread, and never waits."""
        connection = self._connection
        if self._closed:
            return
        if connection is None or connection.failure is not None:
            self._come_back()
            return
        death = self.link.death()
        since = connection.busy_since
        if death is not None:
            self._fail(connection, death)
        elif since is not None and time.monotonic() - since > self._deadline_seconds:
            self._fail(
                connection,
                f"it has not answered for {self._deadline_seconds:g} s. Where a round may take "
                "longer, raise runtime.round_deadline_seconds",
            )
        elif connection.ping is None:
            connection.ping = ping(connection.channel, within_seconds=self._silence_seconds)
        elif connection.ping.done():
            said = trouble(connection.ping)
            connection.ping = None
            if said is not None:
                self._fail(connection, f"{said} ({self._silence_seconds:g} s)")

    def close(self) -> None:
        """Leaves the worker, and ends it where it is one's own."""
        with self._changed:
            self._closed = True
            connection, self._connection = self._connection, None
            self.failure = "closed"
        if connection is not None:
            self._end(connection)
        opening = self._opening
        if opening is not None and opening is not threading.current_thread():
            opening.join()
        self.link.end()

    def _fail(self, connection: _Connection, reason: str) -> None:
        """Gives a connection up, from any thread; the first reason counts."""
        with self._changed:
            if connection.failure is not None:
                return
            connection.failure = reason
            current = connection is self._connection
            if current and not self._closed:
                self.failure = reason
                self.losses += 1
                self._deaths += 1
                self._retry_at = time.monotonic()
                again = "; it is not started again" if self.given_up else ""
                _log.warning("%s is lost: %s%s", self.name, reason, again)
                self._changed.notify_all()
        # Whatever waits for an answer ends with the channel.
        connection.channel.close()
        if current:
            self.link.end()

    def _end(self, connection: _Connection) -> None:
        if connection.failure is None:
            connection.failure = "closed"
        connection.channel.close()

    def _come_back(self) -> None:
        busy = self._opening is not None and self._opening.is_alive()
        if busy or self.given_up or time.monotonic() < self._retry_at:
            return
        self._opening = threading.Thread(
            target=self._open_again, name=f"ecct-{self.name}", daemon=True
        )
        self._opening.start()

    def _open_again(self) -> None:
        try:
            self.open()
        except WorkerError as error:
            self._misses += 1
            self._deaths += 1
            pause = min(2.0**self._misses, _LONGEST_PAUSE_SECONDS)
            self._retry_at = time.monotonic() + pause
            with self._changed:
                if not self._closed:
                    self.failure = str(error)
                self._changed.notify_all()
        else:
            if not self._closed:
                _log.warning("%s is back", self.name)

    def _explain(self, said: str) -> str:
        return f"{self.name}: {explained(said, load=self._load)}"
