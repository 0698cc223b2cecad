"""Whether a worker lives: it answers, even while it computes."""

from typing import Any

import grpc

__all__ = ["answers", "ping", "trouble"]

# No service of TFF's has it: a worker that lives says so, whatever else it does meanwhile.
_PING = "/tensorflow_federated.v0.ExecutorGroup/Ping"


def answers(channel: Any, *, within_seconds: float) -> str | None:
    """What is wrong with a worker; None where it answers in time."""
    return trouble(ping(channel, within_seconds=within_seconds))


def ping(channel: Any, *, within_seconds: float) -> Any:
    """A future of a worker's sign of life."""
    return channel.unary_unary(_PING).future(b"", timeout=within_seconds)


def trouble(call: Any) -> str | None:
    """What a `ping` met, which is waited for; None where the worker lives."""
    error = call.exception()
    if error is None or error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return None
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no sign of life"
    said = (error.details() or "").strip().partition("\n")[0]
    return f"{error.code().name.lower().replace('_', ' ')}, {said}"
