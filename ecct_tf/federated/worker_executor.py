"""Executors behind TFF's contexts: they run computations in the worker behind a channel."""

import contextlib
from collections.abc import Callable
from typing import Any

import grpc

from ecct_tf.federated import compat
from ecct_tf.federated.worker_messages import create_value_request, read_value

__all__ = ["ConnectionLostError", "remote_executor"]

# Computations that stay in a worker: more than the cohorts, stages and small calls of a run.
_KEPT = 32
_CREATE_VALUE = "/tensorflow_federated.v0.ExecutorGroup/CreateValue"


def remote_executor(channel: Any, cardinalities: dict[Any, int], *, once: bool = False) -> Any:
    """An executor that runs computations in the worker behind `channel`.

    Args:
      channel: to the worker.
      cardinalities: how many values there are at each placement.
      once: whether a lost connection is a `ConnectionLostError`; else TFF asks for another
        executor and begins the computation again.
    """
    executor = _Executor((_FailingStub if once else _Stub)(channel))
    executor.set_cardinalities({compat.CLIENTS: 0, **cardinalities})
    return executor


class _KeptComputation(compat.RemoteValue):
    """A computation in the worker, of which its executor disposes: it has no finalizer."""

    def __init__(self, reference: Any, type_spec: Any, executor: Any) -> None:
        self._value_ref = reference
        self._type_signature = type_spec
        self._executor = executor


class _Executor(compat.RemoteExecutor):
    """Sends a computation once, and federated values with few copies.

    TFF's own sends all graphs of a computation with each call, and copies values at each level.
    """

    def __init__(self, stub: Any) -> None:
        super().__init__(stub)
        # By identity, the oldest first; the computation is kept, so that nothing takes its place.
        self._sent: dict[int, tuple[Any, _KeptComputation]] = {}

    async def create_value(self, value: Any, type_spec: Any = None) -> Any:
        self._check_has_executor_id()
        if isinstance(type_spec, compat.FederatedType):
            request = create_value_request(self._executor_id, value, type_spec)
            reference = self._stub.create_value(request).value_ref
            return compat.RemoteValue(reference, type_spec, self)
        if not isinstance(value, compat.Computation):
            return await super().create_value(value, type_spec)
        if id(value) not in self._sent:
            content, kind = compat.serialize_value(value, type_spec)
            message = compat.CreateValueRequest(executor=self._executor_id, value=content)
            reference = self._stub.create_value(message).value_ref
            self._sent[id(value)] = value, _KeptComputation(reference, kind, self)
        if len(self._sent) > _KEPT:
            _, oldest = self._sent.pop(next(iter(self._sent)))
            self._dispose(oldest.reference, self._executor_id)
        return self._sent[id(value)][1]

    async def _compute(self, value_ref: Any, type_spec: Any) -> Any:
        self._check_has_executor_id()
        request = compat.ComputeRequest(executor=self._executor_id, value_ref=value_ref)
        return read_value(self._stub.compute(request).value, type_spec)

    def _clear_executor(self) -> None:
        # What was sent ends with the executor in the worker.
        self._sent.clear()
        super()._clear_executor()


class _Stub(compat.RemoteExecutorGrpcStub):
    """Lets values outlive their worker: what is gone with it needs no disposal."""

    def __init__(self, channel: Any) -> None:
        super().__init__(_UnwatchedChannel(channel))
        self._stub.CreateValue = channel.unary_unary(
            _CREATE_VALUE,
            request_serializer=_serialized,
            response_deserializer=compat.CreateValueResponse.FromString,
        )

    def dispose(self, request: Any) -> Any:
        # ValueError: "Cannot invoke RPC on closed channel!"; the other: no one answers.
        with contextlib.suppress(ValueError, compat.RetryableError):
            return super().dispose(request)


def _serialized(request: Any) -> bytes:
    """A message, or what is one in bytes already."""
    content: bytes = request if isinstance(request, bytes) else request.SerializeToString()
    return content


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
    except compat.RetryableError as error:
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
