"""Resident values and computations: sent once to each executor."""

import asyncio
import os
import signal
from typing import Any, NamedTuple

import numpy as np
import pytest

from ecct_tf.federated import compat, federated_runtime, worker_executor
from ecct_tf.federated.resident import ResidentValue
from ecct_tf.federated.worker_messages import create_value_request, read_value


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


@pytest.fixture
def sent(monkeypatch):
    """The computations that are sent to a worker, in their order."""
    found, serialize = [], compat.serialize_value

    def counted(value, *rest):
        if isinstance(value, compat.Computation):
            found.append(value)
        return serialize(value, *rest)

    monkeypatch.setattr(compat, "serialize_value", counted)
    return found


def _adding(number):
    @compat.federated_computation(compat.clients_type(np.int32))
    def add(values):
        total = compat.federated_sum(values)
        return compat.federated_map(
            compat.tensor_computation(lambda value: value + number, np.int32), total
        )

    return add


def test_a_computation_is_sent_once_to_each_executor(sent):
    add = _adding(0)
    with federated_runtime():
        sent.clear()
        assert [add([np.int32(one), np.int32(2)]) for one in range(4)] == [2, 3, 4, 5]
        assert len(sent) == 1
        assert add([np.int32(1)]) == 1  # one client: another executor
        assert len(sent) == 2
    with federated_runtime() as runtime:
        sent.clear()
        assert add([np.int32(5), np.int32(2)]) == 7
        os.kill(runtime.worker_pid, signal.SIGKILL)
        assert add([np.int32(6), np.int32(2)]) == 8
        assert len(sent) >= 2


def test_of_many_computations_the_newest_stay_in_the_worker(sent, monkeypatch):
    monkeypatch.setattr(worker_executor, "_KEPT", 2)
    adding = [_adding(number) for number in range(25)]
    with federated_runtime():
        for turn in range(2):
            sent.clear()
            for number, add in enumerate(adding):
                assert add([np.int32(turn)]) == turn + number
            assert len(sent) == len(adding)
        sent.clear()
        assert [add([np.int32(3)]) for add in adding[-2:]] == [26, 27]
        assert not sent


class _Pair(NamedTuple):
    counts: Any
    parts: Any


def _written(value, kind):
    executor = compat.CreateValueRequest().executor
    executor.id = "one"
    request = compat.CreateValueRequest.FromString(create_value_request(executor, value, kind))
    assert request.executor == executor
    return request.value


def test_values_are_written_and_read_as_by_tff():
    member = compat.struct_type(
        _Pair(
            compat.tensor_type(np.int32, (None, 2)),
            (compat.tensor_type(np.float16, (None,)), (), compat.tensor_type(np.uint8, ())),
        )
    )

    def value(size):
        halves = np.arange(2 * size, dtype=np.float16)[::2]  # not contiguous
        return _Pair(np.ones((size, 2), np.int32), (halves, (), np.uint8(size % 256)))

    for given, kind in (
        ([value(3), value(0), value(5000)], compat.clients_type(member)),
        (value(2), compat.server_type(member)),
        (np.float32(0.5), compat.server_type(compat.tensor_type(np.float32, ()))),
        (((1, 2), [3.0]), compat.server_type(compat.struct_type(((np.int32,) * 2, (np.float32,))))),
    ):
        expected, _ = compat.serialize_value(given, kind)
        written = _written(given, kind)
        assert written == expected
        read, (wanted, _) = read_value(written, kind), compat.deserialize_value(written, kind)
        assert repr(read) == repr(wanted)
        assert type(read) is type(wanted)


@pytest.mark.parametrize("wrong", [np.zeros((2, 3), np.int32), np.zeros((2, 2), np.float32)])
def test_values_of_another_type_are_refused(wrong):
    kind = compat.clients_type(compat.tensor_type(np.int32, (None, 2)))
    with pytest.raises(TypeError, match="Failed to serialize"):
        _written([wrong], kind)
