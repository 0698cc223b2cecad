"""The one place that imports TensorFlow Federated.

TFF's unreleased head renames and moves much of this. When a new release comes, this
module is what changes. Importing it takes seconds, so nothing that must answer
quickly (the command line's help, the export) may import it.
"""

import atexit
import contextlib
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ecct_tf.errors import WorkerError
from ecct_tf.installation import install_command

try:
    import tensorflow_federated as tff
except ModuleNotFoundError as error:
    raise WorkerError(
        "a simulation needs TensorFlow Federated, which this Python has not. To add it: "
        f"{install_command('simulation')}. To simulate without it: runtime.engine=local"
    ) from error
import grpc
from tensorflow_federated.python.common_libs import structure as _structure
from tensorflow_federated.python.core.backends.native import compiler as _native_compiler
from tensorflow_federated.python.core.backends.test import (
    replace_secure_intrinsics_with_bodies as _replace_secure_intrinsics_with_bodies,
)
from tensorflow_federated.python.core.environments.tensorflow_frontend import (
    tensorflow_computation as _tensorflow_computation,
)

__all__ = [
    "CLIENTS",
    "SERVER",
    "SUM_FACTORIES",
    "WORKER_BINARY",
    "CardinalityCarrying",
    "ConnectionLostError",
    "Ingestable",
    "UnweightedAggregationFactory",
    "WeightedAggregationFactory",
    "clients_type",
    "delegating_context",
    "execution_context",
    "federated_aggregate",
    "federated_broadcast",
    "federated_computation",
    "federated_map",
    "federated_secure_sum_bitwidth",
    "federated_sum",
    "federated_value",
    "federated_zip",
    "install_context",
    "invoke_here",
    "members_of",
    "one_plus_one",
    "owner_of_context",
    "parts_of",
    "remote_executor",
    "server_type",
    "shape_fits",
    "struct_type",
    "structure_of",
    "tensor_computation",
    "tensor_type",
]


class _Ended(tff.framework.SyncContext):
    """The context of a process that is about to end."""

    def invoke(self, comp: Any, arg: Any) -> Any:
        del comp, arg
        raise WorkerError("Python is shutting down; no TFF computation can run any more")


# TFF installs a local context at import whose `__del__` fails, loudly, in an interpreter
# that is being torn down; let go of it while Python is still whole.
atexit.register(tff.framework.set_default_context, _Ended())

CLIENTS = tff.CLIENTS
SERVER = tff.SERVER
WORKER_BINARY = pathlib.Path(tff.__file__).parent / "data" / "worker_binary"

CardinalityCarrying = tff.framework.CardinalityCarrying
Ingestable = tff.framework.Ingestable
UnweightedAggregationFactory = tff.aggregators.UnweightedAggregationFactory
WeightedAggregationFactory = tff.aggregators.WeightedAggregationFactory
# What yields the sum of the clients' values, by itself.
SUM_FACTORIES = (
    tff.aggregators.SumFactory,
    tff.aggregators.SecureSumFactory,
    tff.aggregators.SecureModularSumFactory,
    tff.aggregators.EncodedSumFactory,
)

federated_aggregate = tff.federated_aggregate
federated_broadcast = tff.federated_broadcast
federated_computation = tff.federated_computation
federated_map = tff.federated_map
federated_secure_sum_bitwidth = tff.federated_secure_sum_bitwidth
federated_sum = tff.federated_sum
federated_value = tff.federated_value
federated_zip = tff.federated_zip
tensor_computation = tff.tensorflow.computation


def tensor_type(dtype: Any, shape: tuple[int | None, ...]) -> Any:
    """The type of a tensor."""
    return tff.TensorType(dtype, list(shape))


def struct_type(structure: Any) -> Any:
    """The type of a (named) tuple of types."""
    return tff.types.to_type(structure)


def server_type(member: Any) -> Any:
    """The type of a value at the server."""
    return tff.FederatedType(member, SERVER)


def clients_type(member: Any) -> Any:
    """The type of one value at each client."""
    return tff.FederatedType(member, CLIENTS)


def members_of(spec: Any) -> list[tuple[str | None, Any]] | None:
    """Names and types of what a structure consists of; None for a tensor."""
    return _structure.to_elements(spec) if isinstance(spec, tff.StructType) else None


def parts_of(value: Any) -> list[Any]:
    """The parts of a structure that a computation returned, in whatever container."""
    if isinstance(value, _structure.Struct):
        return [part for _, part in _structure.to_elements(value)]
    return [part for _, part in _structure.to_elements(_structure.from_container(value))]


def structure_of(parts: list[tuple[str | None, Any]]) -> Any:
    """A structure of named values, to be given to a computation."""
    return _structure.Struct(parts)


def shape_fits(spec: Any, shape: tuple[int, ...]) -> bool:
    """Whether an array of a shape is of a tensor's type, in which sizes may be open."""
    known = spec.shape
    return known is None or (
        len(known) == len(shape)
        and all(size in (None, found) for size, found in zip(known, shape, strict=True))
    )


def remote_executor(channel: Any, cardinalities: dict[Any, int], *, once: bool = False) -> Any:
    """An executor that runs computations in the worker behind `channel`.

    Args:
      channel: to the worker.
      cardinalities: how many values there are at each placement.
      once: whether a lost connection is a `ConnectionLostError`; else TFF asks for another
        executor and begins the computation again.
    """
    executor = tff.framework.RemoteExecutor((_FailingStub if once else _Stub)(channel))
    executor.set_cardinalities({CLIENTS: 0, **cardinalities})
    return executor


class _Stub(tff.framework.RemoteExecutorGrpcStub):
    """Lets values outlive their worker: what is gone with it needs no disposal."""

    def __init__(self, channel: Any) -> None:
        super().__init__(_UnwatchedChannel(channel))

    def dispose(self, request: Any) -> Any:
        # ValueError: "Cannot invoke RPC on closed channel!"; the other: no one answers.
        with contextlib.suppress(ValueError, tff.framework.RetryableError):
            return super().dispose(request)


class ConnectionLostError(Exception):
    """A worker is gone, or the way to it; TFF itself would ask for another without end."""


class _FailingStub(_Stub):
    """Reports a lost connection at the first call that meets it."""

    def get_executor(self, request: Any) -> Any:
        return _failing(super().get_executor, request)

    def create_value(self, request: Any) -> Any:
        return _failing(super().create_value, request)

    def create_struct(self, request: Any) -> Any:
        return _failing(super().create_struct, request)

    def create_call(self, request: Any) -> Any:
        return _failing(super().create_call, request)

    def create_selection(self, request: Any) -> Any:
        return _failing(super().create_selection, request)

    def compute(self, request: Any) -> Any:
        return _failing(super().compute, request)


def _failing(call: Callable[[Any], Any], request: Any) -> Any:
    try:
        return call(request)
    except tff.framework.RetryableError as error:
        said = error.details() if isinstance(error, grpc.Call) else str(error)
        raise ConnectionLostError(said or type(error).__name__) from error
    except ValueError as error:  # "Cannot invoke RPC on closed channel!"
        raise ConnectionLostError(str(error)) from error


class _UnwatchedChannel:
    """A channel whose state nobody follows.

    TFF's stub would have gRPC poll it in a thread that ends in a traceback on standard
    error when the channel is closed.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        """Does nothing."""


class _CheckedContext(tff.framework.SyncExecutionContext):
    """Asks `check` first: TFF would go on with an executor that it has kept."""

    def __init__(
        self,
        check: Callable[[], object],
        explain: Callable[[str], str],
        watch: Callable[[], contextlib.AbstractContextManager[None]],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._check = check
        self._explain = explain
        self._watch = watch

    def invoke(self, comp: Any, arg: Any) -> Any:
        self._check()
        try:
            with self._watch():
                return super().invoke(comp, arg)
        except grpc.RpcError as error:
            # What the worker says of a computation that failed, without a hundred lines of calls.
            said = error.details() if isinstance(error, grpc.Call) else str(error)
            raise WorkerError(self._explain(said or str(error))) from error


def execution_context(
    executor_fn: Any,
    *,
    check: Callable[[], object],
    explain: Callable[[str], str],
    watch: Callable[[], contextlib.AbstractContextManager[None]],
) -> Any:
    """A synchronous context.

    Args:
      executor_fn: maps cardinalities to an executor.
      check: called before each computation; raises when none may run.
      explain: makes the message of a `WorkerError` of what the worker says when a computation
        fails in it.
      watch: makes what each computation runs within.
    """
    return _CheckedContext(
        check,
        explain,
        watch,
        executor_fn=tff.framework.ResourceManagingExecutorFactory(executor_fn),
        compiler_fn=_compiled,
        transform_args=_tensorflow_computation.transform_args,
        transform_result=_tensorflow_computation.transform_result,
    )


def _compiled(computation: Any) -> Any:
    """For the local runtime, which has no secure sum: it adds in the open, to the same bits."""
    return _native_compiler.desugar_and_transform_to_native(
        _replace_secure_intrinsics_with_bodies(computation)
    )


class _DelegatingContext(tff.framework.SyncContext):
    """Leaves it to `run` which context computes."""

    def __init__(self, run: Callable[[Any, Any], Any], owner: Any) -> None:
        self._run = run
        self.owner = owner

    def invoke(self, comp: Any, arg: Any) -> Any:
        return self._run(comp, arg)


def delegating_context(run: Callable[[Any, Any], Any], *, owner: Any) -> Any:
    """A context in which `run(computation, argument)` computes, with an owner."""
    return _DelegatingContext(run, owner)


def owner_of_context() -> Any:
    """The owner of the installed context; None of one that has none."""
    return getattr(tff.framework.get_context_stack().current, "owner", None)


def invoke_here(computation: Any, argument: Any) -> Any:
    """A computation of an argument that TFF has packed, in the installed context."""
    return tff.framework.get_context_stack().current.invoke(computation, argument)


def install_context(context: Any) -> Any:
    """A context manager under which TFF computations run in `context`."""
    return tff.framework.get_context_stack().install(context)


def one_plus_one() -> int:
    """Two, as the current context computes it: the smallest whole computation."""
    int32 = tff.TensorType(np.int32)
    add = tff.tensorflow.computation(lambda value: value + 1, int32)
    return int(add(1))
