"""Several of TFF's workers: each part of a round is computed by one that lives.

A thread watches them: a worker whose process or connection is gone, or that gives no sign of
life, is given up within seconds, whatever waits for it. What it had to compute is computed by
another, a bounded number of times; the worker itself is started again, or reached again once
it is back.
"""

import atexit
import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ecct_tf.errors import WorkerError
from ecct_tf.federated import compat
from ecct_tf.federated.pool_member import PoolMember, WorkerLostError
from ecct_tf.federated.worker_links import WorkerLink, worker_links
from ecct_tf.phases import phase

__all__ = ["MOST_LOSSES", "WorkerPool", "given_up", "pool_runtime"]

# How often the same work may be lost with its worker before it is given up.
MOST_LOSSES = 3
_WATCH_SECONDS = 0.25
_RETURN_SECONDS = 60.0


class WorkerPool:
    """Workers, the TFF contexts that compute in them, and the watch over both."""

    def __init__(
        self,
        links: Sequence[WorkerLink],
        *,
        load: str = "",
        deadline_seconds: float = 1800.0,
        silence_seconds: float = 10.0,
        return_seconds: float = _RETURN_SECONDS,
    ) -> None:
        """Starts or reaches all workers, and has each compute a sum.

        Args:
          links: the ways to them.
          load: what decides how much memory a worker takes, in words.
          deadline_seconds: longest wait for a computation.
          silence_seconds: longest wait for a sign of life.
          return_seconds: longest wait for any worker when there is none.

        Raises:
          WorkerError: one of them does not come up.
        """
        self._return_seconds = return_seconds
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._members = [
            PoolMember(
                link,
                load=load,
                deadline_seconds=deadline_seconds,
                silence_seconds=silence_seconds,
                changed=self._changed,
            )
            for link in links
        ]
        self._threads = concurrent.futures.ThreadPoolExecutor(
            len(self._members), thread_name_prefix="ecct-worker"
        )
        self.context = compat.delegating_context(self._invoke, owner=self)
        self._watch = threading.Thread(target=self._watched, name="ecct-workers", daemon=True)
        atexit.register(self.close)
        try:
            list(self._threads.map(PoolMember.open, self._members))
        except BaseException:
            self.close()
            raise
        self._watch.start()

    @property
    def members(self) -> tuple[PoolMember, ...]:
        """All workers, in the order of the settings."""
        return tuple(self._members)

    def ready(self) -> list[PoolMember]:
        """The workers that live now; waits for one where there is none.

        Raises:
          WorkerError: none has come back in time, or none may.
        """
        end = time.monotonic() + self._return_seconds
        with self._changed:
            while True:
                self._check_open()
                found = [member for member in self._members if member.ready]
                if found:
                    return found
                left = end - time.monotonic()
                if left <= 0 or all(member.given_up for member in self._members):
                    reasons = "; ".join(f"{each.name}: {each.failure}" for each in self._members)
                    raise WorkerError(
                        f"no worker of TFF's is left that computes ({reasons}). Resume the run "
                        "when they run again, or with other runtime.workers"
                    )
                self._changed.wait(min(left, 1.0))

    def run(self, tasks: Sequence[tuple[PoolMember, Callable[[], Any]]]) -> list[Any]:
        """Runs each task in its worker, side by side.

        Returns:
          For each what it yields, or the `WorkerLostError` that it met.

        Raises:
          WorkerError: a computation failed in a worker that lives.
        """
        if len(tasks) == 1:
            return [_outcome(*tasks[0])]
        return [each.result() for each in [self._threads.submit(_outcome, *t) for t in tasks]]

    def close(self) -> None:
        """Ends the workers that are one's own. Safe to call more than once."""
        atexit.unregister(self.close)
        self._closed.set()
        for member in self._members:
            member.close()
        with self._changed:
            self._changed.notify_all()
        if self._watch.is_alive():
            self._watch.join()
        self._threads.shutdown(wait=False)

    def _invoke(self, computation: Any, argument: Any) -> Any:
        """A computation that one worker does: of the server, or whole."""

        def task() -> Any:
            return compat.invoke_here(computation, argument)

        lost: list[str] = []
        while len(lost) <= MOST_LOSSES:
            try:
                return self.ready()[0].run(task)
            except WorkerLostError as error:
                lost.append(str(error))
        raise given_up("a computation", lost)

    def _watched(self) -> None:
        while not self._closed.wait(_WATCH_SECONDS):
            for member in self._members:
                member.watch()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise WorkerError("the workers are closed; open new ones")


def given_up(what: str, lost: Sequence[str]) -> WorkerError:
    """The error for work that was lost too often."""
    return WorkerError(
        f"{what} was lost {len(lost)} times with the worker that had it, and is given up: "
        f"{'; '.join(lost)}. Resume the run when its workers work again"
    )


@contextmanager
def pool_runtime(
    workers: tuple[str, ...],
    *,
    tls: str | None = None,
    threads: int = 1,
    concurrent_calls: int = 2,
    load: str = "",
    deadline_seconds: float = 1800.0,
) -> Iterator[WorkerPool]:
    """Runs the body with TFF computations executed in several workers.

    Args:
      workers: as `runtime.workers` names them.
      tls: as `runtime.workers_tls`.
      threads: intra-op threads of a local worker.
      concurrent_calls: client values that a local worker computes at once.
      load: what decides how much memory a worker takes, in words.
      deadline_seconds: longest wait for a computation.

    Yields:
      The workers, which are ended after it where they are local.
    """
    links = worker_links(workers, tls=tls, threads=threads, concurrent_calls=concurrent_calls)
    with phase(f"connecting {len(links)} of TFF's workers"):
        pool = WorkerPool(links, load=load, deadline_seconds=deadline_seconds)
    try:
        with compat.install_context(pool.context):
            yield pool
    finally:
        pool.close()


def _outcome(member: PoolMember, task: Callable[[], Any]) -> Any:
    try:
        return member.run(task)
    except WorkerLostError as error:
        return error
