"""Resident values: sent once to each executor."""

import asyncio

import numpy as np

from ecct_tf.federated import compat, federated_runtime
from ecct_tf.federated.resident import ResidentValue


class FakeExecutor:
    def __init__(self):
        self.received = []

    async def create_value(self, value, kind):
        self.received.append((value, kind))
        return object()


def test_a_value_is_sent_once_to_each_executor():
    member = compat.tensor_type(np.int32, (None,))
    value = ResidentValue.at_clients([np.arange(3, dtype=np.int32)], member)
    first, second = FakeExecutor(), FakeExecutor()
    handle = asyncio.run(value.ingest(first))
    assert asyncio.run(value.ingest(first)) is handle
    assert asyncio.run(value.ingest(second)) is not handle
    # Back at the first one, it is sent anew: only the newest executor is remembered.
    asyncio.run(value.ingest(first))
    assert (len(first.received), len(second.received)) == (2, 1)
    assert str(first.received[0][1]) == "{int32[?]}@CLIENTS"


def test_cardinality_counts_clients_only():
    member = compat.tensor_type(np.int32, ())
    assert ResidentValue.at_clients([1, 2, 3], member).cardinality == {compat.CLIENTS: 3}
    server = ResidentValue.at_server(np.int32(4), member)
    assert server.cardinality == {}
    assert str(server.type_signature) == "int32@SERVER"


def test_a_value_follows_into_another_runtime(runtime):
    @compat.federated_computation(compat.clients_type(np.int32), compat.server_type(np.int32))
    def total(values, _):
        return compat.federated_sum(values)

    values = ResidentValue.at_clients([np.int32(1), np.int32(2)], compat.tensor_type(np.int32, ()))
    server = ResidentValue.at_server(np.int32(9), compat.tensor_type(np.int32, ()))
    assert [total(values, server) for _ in range(2)] == [3, 3]
    with federated_runtime() as other:
        assert other.worker_pid != runtime.worker_pid
        assert total(values, server) == 3
    assert total(values, server) == 3
