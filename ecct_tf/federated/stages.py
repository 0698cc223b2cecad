"""The four swappable stages of a round, as TensorFlow functions of declared types.

distribute -> device work -> aggregate -> finalize. Each stage is a frozen bundle of functions;
`build_round` checks that what one yields is what the next takes. Where a round then runs is an
engine's business: `tff_engine` makes one TFF computation of it, `local_engine` runs the functions
in this process.

A type is a `tf.TensorSpec`, or a tuple (named or not) of types.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ecct_tf.config import CodecName, ServerConfig
from ecct_tf.config.aggregator_names import late_refusal
from ecct_tf.edge import ItemTensors
from ecct_tf.errors import ConfigError
from ecct_tf.federated.aggregators import Aggregator
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.device_work import DeviceResult, DeviceWork
from ecct_tf.federated.devices import DeviceData
from ecct_tf.federated.server import server_step
from ecct_tf.knowledge import CloudRows, Downlink, ExchangeSpec, build_codec
from ecct_tf.knowledge.item_sums import ItemSumSpec

__all__ = [
    "Aggregate",
    "Distribute",
    "Finalize",
    "Round",
    "SumAggregate",
    "Work",
    "WorkTypes",
    "build_aggregate",
    "build_distribute",
    "build_finalize",
    "build_round",
    "build_sum_aggregate",
    "build_work",
]


@dataclasses.dataclass(frozen=True)
class Distribute:
    """Sends the shared weights.

    Attributes:
      encode: at the server, `shared -> encoded`.
      decode: at each client, `encoded -> shared`.
      shared: the type of the shared weights.
      encoded: the type of what crosses.
      received: the type of what `decode` yields.
    """

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    shared: Any
    encoded: Any
    received: Any


class WorkTypes(NamedTuple):
    """The types of what the work of a client value takes.

    Attributes:
      shared: the shared weights as received.
      round_number: rounds done, `[] int32`.
      items: what all clients hold alike, an item table; `()` for nothing.
      data: what the client value's devices hold.
      private: their own weights.
      downlink: what crossed to them in this round.
    """

    shared: Any
    round_number: Any
    items: Any
    data: Any
    private: Any
    downlink: Any


@dataclasses.dataclass(frozen=True)
class Work:
    """Runs the devices of one client value.

    Attributes:
      compute: the traced function, `(shared, round_number, items, data, private, downlink) ->
        DeviceResult`.
      types: the types of its arguments.
      work: the function behind it.
    """

    compute: Any
    types: WorkTypes
    work: Callable[..., DeviceResult]

    @property
    def result(self) -> DeviceResult:
        """The types of what `compute` yields."""
        return _output_type(self.compute)


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """Brings the uplinks to the server.

    Attributes:
      zero: `() -> rows`, of no client.
      accumulate: `(rows, *uplinks) -> rows`, of one uplink or several.
      merge: `(rows, rows) -> rows`.
      report: `rows -> uplink`, at the server.
      uplink: the type of an uplink, and of rows.
    """

    zero: Callable[[], Any]
    accumulate: Callable[..., Any]
    merge: Callable[[Any, Any], Any]
    report: Callable[[Any], Any]
    uplink: Any


@dataclasses.dataclass(frozen=True)
class SumAggregate:
    """Brings the sum of what clients send to the server, and nothing of a single one.

    Attributes:
      bits: of one number of the sum, none of which is negative: a secure sum needs to know.
      report: `(sum, round number) -> total`, at the server, with noise on it.
      uplink: the type of what a client sends, int64.
    """

    bits: int
    report: Callable[[Any, Any], Any]
    uplink: Any


@dataclasses.dataclass(frozen=True)
class Finalize:
    """Applies the mean change.

    Attributes:
      apply: `(state, sum of changes, weight) -> state`.
      state: the type of a `ServerState`.
      change: the type of the sum of changes.
    """

    apply: Callable[[Any, Any, Any], ServerState]
    state: Any
    change: Any


@dataclasses.dataclass(frozen=True)
class Round:
    """A round: its stages, which fit. `build_round` makes one.

    Attributes:
      distribute: how shared weights cross.
      work: what a client value's devices do.
      aggregate: how uplinks are joined, or summed; None where devices send none.
      finalize: how the mean change is applied.
      aggregator: what makes the mean change of the devices' own, each a client value; None for
        their sum over the sum of their weights.
      collects: whether the round leaves the changes of the client values as they are, instead of
        applying their mean.
    """

    distribute: Distribute
    work: Work
    aggregate: Aggregate | SumAggregate | None
    finalize: Finalize
    aggregator: Aggregator | None = None
    collects: bool = False


def build_distribute(size: int, codec: CodecName) -> Distribute:
    """The shared weights cross through `codec`, in both directions alike."""
    coder = build_codec(codec)

    def decode(encoded: Any) -> Any:
        return coder.decode(tuple(encoded))

    shared = tf.TensorSpec([size], tf.float32)
    encoded = _output_type(tf.function(coder.encode, autograph=False), shared)
    received = _output_type(tf.function(decode, autograph=False), encoded)
    return Distribute(coder.encode, decode, shared, encoded, received)


def build_work(work: DeviceWork, *, items: ItemTensors, sample: DeviceData, stacked: bool) -> Work:
    """The work of the devices of one client value.

    Args:
      work: what to do.
      items: the item table, for its shapes.
      sample: a device or a shard, for its shapes; sizes that vary may differ later.
      stacked: whether client values are shards.
    """
    lead: tuple[int | None, ...] = (None,) if stacked else ()
    exchange = work.exchange
    types = WorkTypes(
        shared=tf.TensorSpec([work.shared_size], tf.float32),
        round_number=tf.TensorSpec([], tf.int32),
        items=ItemTensors(*(tf.TensorSpec(array.shape, array.dtype) for array in items)),
        data=DeviceData(**_data_types(sample, lead)),
        private=tf.TensorSpec([*lead, work.private_size], tf.float32),
        downlink=_downlink_type(exchange, (*lead, None)),
    )

    @tf.function(input_signature=types, autograph=False)
    def compute(
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

    return Work(compute, types, work)


def _downlink_type(exchange: ExchangeSpec, lead: tuple[int | None, ...]) -> Downlink:
    def encoded(*width: int) -> Any:
        shapes = exchange.coder.shapes((*lead, *width))
        return tuple(
            tf.TensorSpec(shape, dtype)
            for dtype, shape in zip(exchange.coder.dtypes, shapes, strict=True)
        )

    queries, rows = tf.TensorSpec([*lead, exchange.num_queries], tf.int32), exchange.num_rows
    if not rows:
        return exchange.downlink(encoded(exchange.cloud_dim), queries=queries)
    items = tf.TensorSpec([*lead, rows], tf.int32)
    known = CloudRows(items, encoded(rows, exchange.cloud_dim), encoded(rows))
    return exchange.downlink(known, queries=queries)


def build_aggregate(uplink: Any) -> Aggregate:
    """Concatenates the uplink rows of all client values, in any order of arrival.

    Args:
      uplink: the type of an uplink.
    """

    def zero() -> Any:
        return tf.nest.map_structure(
            lambda spec: tf.zeros([0, *spec.shape[1:]], spec.dtype), uplink
        )

    def join(*parts: Any) -> Any:
        return tf.nest.map_structure(lambda *tensors: tf.concat(tensors, axis=0), *parts)

    def report(rows: Any) -> Any:
        return rows

    return Aggregate(zero, join, join, report, uplink)


def build_sum_aggregate(
    spec: ItemSumSpec, *, devices: int, stream: tuple[int, int], cohort: int
) -> SumAggregate:
    """Sums what devices say of items; integers, so that every engine has the same bits.

    Args:
      spec: the form of the sum.
      devices: that there may be in it.
      stream: of the noise.
      cohort: whose sum it is, by its place in the process: each has noise of its own.
    """

    def report(moved: Any, round_number: Any) -> Any:
        seed = spec.seed(stream, round_number=round_number, cohort=cohort)
        return spec.total(moved, seed)

    uplink = tf.TensorSpec([spec.size + 1], tf.int64)
    return SumAggregate(spec.sum_bits(devices), report, uplink)


def build_finalize(size: int, config: ServerConfig) -> Finalize:
    """Applies the weighted mean change with the server's optimiser."""
    vector = tf.TensorSpec([size], tf.float32)

    def apply(state: Any, change: Any, weight: Any) -> ServerState:
        return server_step(ServerState(*state), change, weight, config)

    state = ServerState(vector, vector, vector, tf.TensorSpec([], tf.int32))
    return Finalize(apply, state, vector)


def build_round(
    distribute: Distribute,
    work: Work,
    aggregate: Aggregate | SumAggregate | None,
    finalize: Finalize,
    *,
    aggregator: Aggregator | None = None,
    collects: bool = False,
) -> Round:
    """Joins the stages.

    An engine makes `(state, items, data, private, downlink) -> (state, uplink, private, (loss,
    samples))` of a round, `data`, `private` and `downlink` with one value for each client; without
    `uplink` where `aggregate` is None. The uplinks are all that reaches the server besides sums.
    With an `aggregator` there is one more argument, the leaves of its state, and one more result,
    an `Aggregated`; each client value must then be one device.

    A round that `collects` yields `(change, weight)` of each client value in place of the state,
    which is not changed: what is late is applied later (`ecct_tf.federated.changes`).

    Raises:
      ConfigError: when one stage's result is not what the next takes, or an aggregator would join
        changes that are not applied in their round.
    """
    if collects and aggregator is not None:
        raise late_refusal(aggregator.setting, aggregator.name)
    result = work.result
    _expect("distribute.decode", distribute.received, work.types.shared)
    _expect("work's uplink", result.uplink, () if aggregate is None else aggregate.uplink)
    _expect("finalize's change", result.delta, finalize.change)
    return Round(distribute, work, aggregate, finalize, aggregator, collects)


def _data_types(sample: DeviceData, lead: tuple[int | None, ...]) -> dict[str, Any]:
    """Device counts, users and samples vary between client values; the rest is fixed."""
    types = {}
    for name, array in sample._asdict().items():
        shape = np.asarray(array).shape[len(lead) :]
        varying = () if name == "samples" else (None,)
        types[name] = tf.TensorSpec([*lead, *varying, *shape[len(varying) :]], array.dtype)
    return types


def _output_type(function: Any, *types: Any) -> Any:
    """The type of what a `tf.function` yields."""
    outputs = function.get_concrete_function(*types).structured_outputs
    return tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), outputs)


def _expect(what: str, got: Any, wanted: Any) -> None:
    try:
        compatible = tf.nest.map_structure(
            lambda one, other: one.is_compatible_with(other), wanted, got
        )
        fits = all(tf.nest.flatten(compatible))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ConfigError(f"{what}: expected the type {wanted}, got {got}; the stages do not fit")
