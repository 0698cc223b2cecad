"""Values that are sent to TFF's worker once and referred to from then on."""

from collections.abc import Sequence
from typing import Any

from ecct_tf.federated import compat

__all__ = ["ResidentValue"]


class ResidentValue(compat.Ingestable, compat.CardinalityCarrying):
    """A federated argument that stays in the worker between invocations.

    A round's static data would otherwise be serialised again each time, which costs more
    than the training. The handle belongs to one executor; when TFF makes another (a new
    runtime, a replaced worker, another number of clients), the value is sent anew.
    """

    def __init__(self, value: Any, value_type: Any, *, clients: int | None) -> None:
        """Wraps a value.

        Args:
          value: one value for each client, or the value at the server.
          value_type: its federated type.
          clients: number of client values; None for a value at the server.
        """
        self._value = value
        self._type = value_type
        self._clients = clients
        self._executor: Any = None
        self._handle: Any = None

    @classmethod
    def at_clients(cls, values: Sequence[Any], member_type: Any) -> "ResidentValue":
        """One value for each client."""
        return cls(list(values), compat.clients_type(member_type), clients=len(values))

    @classmethod
    def at_server(cls, value: Any, member_type: Any) -> "ResidentValue":
        """A value at the server."""
        return cls(value, compat.server_type(member_type), clients=None)

    @property
    def type_signature(self) -> Any:
        """The federated type."""
        return self._type

    @property
    def cardinality(self) -> dict[Any, int]:
        """How many clients the value speaks for."""
        return {} if self._clients is None else {compat.CLIENTS: self._clients}

    async def ingest(self, executor: Any) -> Any:
        """Called by TFF: the handle in `executor`, sending the value if it is not there."""
        # Holding the executor itself, not its id(), rules out a stale match after reuse.
        if self._executor is not executor:
            self._handle = await executor.create_value(self._value, self._type)
            self._executor = executor
        return self._handle
