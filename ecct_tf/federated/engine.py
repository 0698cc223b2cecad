"""What runs the rounds of a process: TFF, or TensorFlow in this process.

Both engines run the same stages on the same state and the same payloads, so that a run may be
resumed by either. TFF is the reference, and the default where it is installed.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ecct_tf.config import EngineName, RuntimeConfig

if TYPE_CHECKING:
    from ecct_tf.federated.runtime import FederatedRuntime
    from ecct_tf.federated.stages import Round
    from ecct_tf.federated.worker_pool import WorkerPool

__all__ = ["Engine", "build_engine", "chosen_engine", "federated_runtime"]


class Engine(Protocol):
    """Makes rounds that can be called, and keeps the values that do not change between them."""

    def build(self, stages: "Round") -> Callable[..., Any]:
        """What `build_round` says, as a callable."""
        ...

    def keep_at_clients(self, values: Sequence[Any], member: Any) -> Any:
        """An argument with one value of the type `member` for each client."""
        ...

    def keep_at_server(self, value: Any, member: Any) -> Any:
        """An argument at the server."""
        ...


def chosen_engine(engine: EngineName | None = None) -> EngineName:
    """The engine of a setting `runtime.engine`: where it is null, TFF if that is installed.

    >>> chosen_engine("local")
    'local'
    """
    if engine is not None:
        return engine
    return "local" if importlib.util.find_spec("tensorflow_federated") is None else "tff"


def build_engine(runtime: RuntimeConfig) -> Engine:
    """The engine that a run's settings name.

    Raises:
      WorkerError: when it is TFF, which is not installed.
    """
    if chosen_engine(runtime.engine) == "local":
        from ecct_tf.federated.local_engine import LocalEngine

        return LocalEngine(concurrent_calls=runtime.concurrent_calls)
    # `compat` first: where TFF is missing, it says so.
    from ecct_tf.federated import compat
    from ecct_tf.federated.tff_engine import TffEngine

    del compat
    return TffEngine(several=bool(runtime.workers))


@contextmanager
def federated_runtime(
    *,
    engine: EngineName | None = None,
    threads: int = 1,
    concurrent_calls: int = 2,
    load: str = "",
    deadline_seconds: float = 1800.0,
    workers: tuple[str, ...] = (),
    workers_tls: str | None = None,
) -> Iterator["FederatedRuntime | WorkerPool | None"]:
    """Runs the body with TFF's worker, which it then ends; the local engine needs no such thing.

    Works alike in scripts, notebooks and tests::

        with federated_runtime():
            process.next(...)

    Args:
      engine: as `runtime.engine` names it.
      threads: intra-op threads of the worker.
      concurrent_calls: shards that the worker computes at once.
      load: what decides how much memory a round takes, in words.
      deadline_seconds: longest wait for the worker's answer, of which a round has one for each
        tier.
      workers: several workers, as `runtime.workers` names them; empty for one.
      workers_tls: as `runtime.workers_tls`.

    Yields:
      The worker, or a `WorkerPool` of several; None with the local engine.
    """
    if chosen_engine(engine) == "local":
        from ecct_tf.federated.local_engine import local_runtime

        with local_runtime(load=load):
            yield None
        return
    # `compat` first: where TFF is missing, it says so.
    from ecct_tf.federated import compat
    from ecct_tf.federated.runtime import worker_runtime

    del compat
    if workers:
        from ecct_tf.federated.worker_pool import pool_runtime

        with pool_runtime(
            workers,
            tls=workers_tls,
            threads=threads,
            concurrent_calls=concurrent_calls,
            load=load,
            deadline_seconds=deadline_seconds,
        ) as pool:
            yield pool
        return
    with worker_runtime(
        threads=threads,
        concurrent_calls=concurrent_calls,
        load=load,
        deadline_seconds=deadline_seconds,
    ) as worker:
        yield worker
