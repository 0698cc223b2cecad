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
from tensorflow_federated.proto.v0.executor_pb2 import (
    ComputeRequest,
    CreateValueRequest,
    CreateValueResponse,
)
from tensorflow_federated.proto.v0.executor_pb2 import Value as ExecutorValue
from tensorflow_federated.python.common_libs import structure as _structure
from tensorflow_federated.python.core.backends.native import compiler as _native_compiler
from tensorflow_federated.python.core.backends.test import (
    replace_secure_intrinsics_with_bodies as _replace_secure_intrinsics_with_bodies,
)
from tensorflow_federated.python.core.environments.tensorflow_frontend import (
    tensorflow_computation as _tensorflow_computation,
)
from tensorflow_federated.python.core.impl.executors.remote_executor import RemoteValue
from tensorflow_federated.python.core.impl.executors.value_serialization import (
    deserialize_value,
    serialize_value,
)
from tensorflow_federated.python.core.impl.types.dtype_utils import to_proto as dtype_to_proto
from tensorflow_federated.python.core.impl.types.type_serialization import serialize_type

__all__ = [
    "CLIENTS",
    "SERVER",
    "SUM_FACTORIES",
    "WORKER_BINARY",
    "CardinalityCarrying",
    "Computation",
    "ComputeRequest",
    "CreateValueRequest",
    "CreateValueResponse",
    "ExecutorValue",
    "FederatedType",
    "Ingestable",
    "RemoteExecutor",
    "RemoteExecutorGrpcStub",
    "RemoteValue",
    "RetryableError",
    "TensorType",
    "UnweightedAggregationFactory",
    "WeightedAggregationFactory",
    "clients_type",
    "delegating_context",
    "deserialize_value",
    "dtype_to_proto",
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
    "serialize_type",
    "serialize_value",
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

# Compiled computations: more than the cohorts, stages and small calls of a run.
_KEPT = 32

CLIENTS = tff.CLIENTS
SERVER = tff.SERVER
WORKER_BINARY = pathlib.Path(tff.__file__).parent / "data" / "worker_binary"

Computation = tff.Computation
FederatedType = tff.FederatedType
TensorType = tff.TensorType
CardinalityCarrying = tff.framework.CardinalityCarrying
Ingestable = tff.framework.Ingestable
RemoteExecutor = tff.framework.RemoteExecutor
RemoteExecutorGrpcStub = tff.framework.RemoteExecutorGrpcStub
RetryableError = tff.framework.RetryableError
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


class _Compiler:
    """Compiles a computation once.

    TFF's own looks for what it has compiled by all bytes of a computation, in each call.
    """

    def __init__(self) -> None:
        # By identity, the oldest first; the computation is kept, so that nothing takes its place.
        self._compiled: dict[int, tuple[Any, Any]] = {}

    def compile(self, computation: Any) -> Any:
        """What runs in the worker."""
        if id(computation) not in self._compiled:
            self._compiled[id(computation)] = computation, _compiled(computation)
        if len(self._compiled) > _KEPT:
            del self._compiled[next(iter(self._compiled))]
        return self._compiled[id(computation)][1]


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
        self._async_context._compiler_pipeline = _Compiler()
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
        # Results need no such thing: a worker's are arrays.
        transform_args=_tensorflow_computation.transform_args,
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
