"""The four swappable stages of a round, as TFF computations.

distribute -> device work -> aggregate -> finalize. Each stage is a frozen bundle of
typed computations; `build_round` checks that their types fit before it joins them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ecct_tf.config import CodecName, ServerConfig
from ecct_tf.edge import ItemTensors
from ecct_tf.errors import ConfigError
from ecct_tf.federated import compat
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.device_work import DeviceResult, DeviceWork
from ecct_tf.federated.devices import DeviceData
from ecct_tf.federated.server import server_step
from ecct_tf.knowledge import Downlink, Uplink, build_codec

__all__ = [
    "Aggregate",
    "Distribute",
    "Finalize",
    "Work",
    "build_aggregate",
    "build_distribute",
    "build_finalize",
    "build_round",
    "build_work",
]


@dataclasses.dataclass(frozen=True)
class Distribute:
    """Sends the shared weights: `encode` at the server, `decode` at each client."""

    encode: Any
    decode: Any


@dataclasses.dataclass(frozen=True)
class Work:
    """Runs the devices of one client value.

    Attributes:
      compute: `(shared, round, items, data, private, downlink) -> DeviceResult`.
      types: type of each of its arguments by name.
      work: the TensorFlow function behind it.
    """

    compute: Any
    types: dict[str, Any]
    work: DeviceWork


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """Brings the uplinks to the server: concatenation as a federated aggregation."""

    zero: Any
    accumulate: Any
    merge: Any
    report: Any


@dataclasses.dataclass(frozen=True)
class Finalize:
    """Applies the mean change: `(state, sum of changes, weight) -> state`."""

    apply: Any
    state_type: Any


def build_distribute(size: int, codec: CodecName) -> Distribute:
    """The shared weights cross through `codec`, in both directions alike."""
    coder = build_codec(codec)

    @compat.tensor_computation(compat.tensor_type(np.float32, (size,)))
    def encode(shared: Any) -> Any:
        return coder.encode(shared)

    @compat.tensor_computation(encode.type_signature.result)
    def decode(encoded: Any) -> Any:
        return coder.decode(tuple(encoded))

    return Distribute(encode, decode)


def build_work(work: DeviceWork, *, items: ItemTensors, sample: DeviceData, stacked: bool) -> Work:
    """The device work as a TFF computation.

    Args:
      work: what to do.
      items: the item table, for its shapes.
      sample: a device or a shard, for its shapes; sizes that vary may differ later.
      stacked: whether client values are shards.
    """
    lead: tuple[int | None, ...] = (None,) if stacked else ()
    float32 = np.float32
    items_type = compat.struct_type(
        ItemTensors(*(compat.tensor_type(array.dtype.type, array.shape) for array in items))
    )
    data_type = compat.struct_type(DeviceData(**_data_types(sample, lead)))
    exchange = work.exchange
    embedding_shapes = exchange.coder.shapes((*lead, None, exchange.cloud_dim))
    downlink_type = compat.struct_type(
        Downlink(
            user_embeddings=tuple(
                compat.tensor_type(dtype, shape)
                for dtype, shape in zip(exchange.coder.dtypes, embedding_shapes, strict=True)
            ),
            queries=compat.tensor_type(np.int32, (*lead, None, exchange.num_queries)),
        )
    )
    types = {
        "shared": compat.tensor_type(float32, (work.shared_size,)),
        "round_number": compat.tensor_type(np.int32, ()),
        "items": items_type,
        "data": data_type,
        "private": compat.tensor_type(float32, (*lead, work.private_size)),
        "downlink": downlink_type,
    }

    @tf.function(autograph=False)
    def body(
        shared: Any, round_number: Any, items: Any, data: Any, private: Any, downlink: Any
    ) -> DeviceResult:
        return work(
            shared=shared,
            noise_seed=round_number,
            items=items,
            data=data,
            private=private,
            downlink=downlink,
            stacked=stacked,
        )

    @compat.tensor_computation(*types.values())
    def compute(
        shared: Any, round_number: Any, items: Any, data: Any, private: Any, downlink: Any
    ) -> Any:
        return body(
            shared,
            round_number,
            ItemTensors(*items),
            DeviceData(*data),
            private,
            Downlink(tuple(downlink[0]), downlink[1]),
        )

    return Work(compute, types, work)


def build_aggregate(uplink_type: Any) -> Aggregate:
    """Concatenates the uplink rows of all client values, in any order of arrival."""

    @compat.tensor_computation
    def zero() -> Any:
        empties = [_empty(tensor) for tensor in _flat(uplink_type)]
        return _pack(uplink_type, empties)

    @compat.tensor_computation(uplink_type, uplink_type)
    def join(left: Any, right: Any) -> Any:
        pairs = zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True)
        return _pack(uplink_type, [tf.concat(pair, axis=0) for pair in pairs])

    @compat.tensor_computation(uplink_type)
    def report(rows: Any) -> Any:
        return _pack(uplink_type, tf.nest.flatten(rows))

    return Aggregate(zero, join, join, report)


def build_finalize(size: int, config: ServerConfig) -> Finalize:
    """Applies the weighted mean change with the server's optimiser."""
    vector = compat.tensor_type(np.float32, (size,))
    state_type = compat.struct_type(
        ServerState(vector, vector, vector, compat.tensor_type(np.int32, ()))
    )

    @compat.tensor_computation(state_type, vector, np.float32)
    def apply(state: Any, change: Any, weight: Any) -> Any:
        return server_step(ServerState(*state), change, weight, config)

    return Finalize(apply, state_type)


def build_round(
    distribute: Distribute, work: Work, aggregate: Aggregate, finalize: Finalize
) -> Callable[..., Any]:
    """Joins the stages into one federated computation.

    Returns:
      `(state@SERVER, items@SERVER, data@CLIENTS, private@CLIENTS, downlink@CLIENTS) ->
      (state@SERVER, uplink@SERVER, private@CLIENTS, [loss sum, weight]@SERVER)`. The
      uplink is all that reaches the server besides the sums.

    Raises:
      ConfigError: when one stage's result is not what the next takes.
    """
    types = work.types
    result = work.compute.type_signature.result
    _expect("distribute.decode", distribute.decode.type_signature.result, types["shared"])
    _expect("work's uplink", result.uplink, aggregate.accumulate.type_signature.parameter[1])
    _expect("finalize's change", result.delta, finalize.apply.type_signature.parameter[1])

    @compat.tensor_computation(finalize.state_type)
    def shared_of(state: Any) -> Any:
        return state.shared

    @compat.tensor_computation(finalize.state_type)
    def round_of(state: Any) -> Any:
        return state.round_number

    @compat.federated_computation(
        compat.server_type(finalize.state_type),
        compat.server_type(types["items"]),
        compat.clients_type(types["data"]),
        compat.clients_type(types["private"]),
        compat.clients_type(types["downlink"]),
    )
    def one_round(state: Any, items: Any, data: Any, private: Any, downlink: Any) -> Any:
        encoded = compat.federated_map(distribute.encode, compat.federated_map(shared_of, state))
        shared = compat.federated_map(distribute.decode, compat.federated_broadcast(encoded))
        number = compat.federated_broadcast(compat.federated_map(round_of, state))
        done = compat.federated_map(
            work.compute,
            (shared, number, compat.federated_broadcast(items), data, private, downlink),
        )
        uplink = compat.federated_aggregate(
            done.uplink, aggregate.zero(), aggregate.accumulate, aggregate.merge, aggregate.report
        )
        weight = compat.federated_sum(done.weight)
        new_state = compat.federated_map(
            finalize.apply, (state, compat.federated_sum(done.delta), weight)
        )
        totals = compat.federated_zip((compat.federated_sum(done.loss), weight))
        return new_state, uplink, done.private, totals

    return one_round


def _data_types(sample: DeviceData, lead: tuple[int | None, ...]) -> dict[str, Any]:
    """Device counts, users and samples vary between client values; the rest is fixed."""
    types = {}
    for name, array in sample._asdict().items():
        shape = np.asarray(array).shape[len(lead) :]
        varying = () if name == "samples" else (None,)
        types[name] = compat.tensor_type(
            array.dtype.type, (*lead, *varying, *shape[len(varying) :])
        )
    return types


def _expect(what: str, got: Any, wanted: Any) -> None:
    if not wanted.is_assignable_from(got):
        raise ConfigError(f"{what}: expected the type {wanted}, got {got}; the stages do not fit")


def _flat(uplink_type: Any) -> list[Any]:
    encoded = [*uplink_type.embeddings, *uplink_type.logits]
    return [uplink_type.users, uplink_type.items, *encoded]


def _pack(uplink_type: Any, tensors: list[Any]) -> Uplink:
    split = 2 + len(list(uplink_type.embeddings))
    return Uplink(tensors[0], tensors[1], tuple(tensors[2:split]), tuple(tensors[split:]))


def _empty(tensor_type: Any) -> tf.Tensor:
    """No rows of the type's shape, with the number of rows left open in the static shape."""
    shape = [0, *tensor_type.shape[1:]]
    nothing = tf.zeros(shape, tensor_type.dtype)
    return tf.raw_ops.PlaceholderWithDefault(input=nothing, shape=[None, *shape[1:]])
