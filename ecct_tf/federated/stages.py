"""The four swappable stages of a round, as TensorFlow functions of declared types.

distribute -> device work -> aggregate -> finalize. Each stage is a frozen bundle of functions;
`build_round` checks that what one yields is what the next takes. Where a round then runs is an
engine's business: `tff_engine` makes one TFF computation of it, `local_engine` runs the functions
in this process.

A type is a `tf.TensorSpec`, or a tuple (named or not) of types.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ecct_tf.config import CodecName, ServerConfig
from ecct_tf.config.aggregator_names import late_refusal
from ecct_tf.edge import ItemTensors
from ecct_tf.errors import ConfigError
from ecct_tf.federated.aggregators import Aggregator
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.device_result import DeviceResult
from ecct_tf.federated.device_work import DeviceWork
from ecct_tf.federated.devices import DeviceData
from ecct_tf.federated.kept import Kept, build_keeper
from ecct_tf.federated.server import server_step
from ecct_tf.federated.stage_types import (
    Aggregate,
    ChangeAggregate,
    Distribute,
    Finalize,
    Round,
    SumAggregate,
    Work,
    WorkTypes,
)
from ecct_tf.federated.tensor_types import expect_type, output_type
from ecct_tf.knowledge import CloudRows, Downlink, ExchangeSpec, build_codec
from ecct_tf.knowledge.item_sums import ItemSumSpec
from ecct_tf.plugins import guarded

__all__ = [
    "Aggregate",
    "ChangeAggregate",
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
    "distribute_by",
]


def build_distribute(size: int, codec: CodecName) -> Distribute:
    """The shared weights cross through `codec`, in both directions alike."""
    coder = build_codec(codec)

    def decode(encoded: Any) -> Any:
        return coder.decode(tuple(encoded), size)

    return distribute_by(coder.encode, decode, size=size)


def distribute_by(
    encode: Callable[[Any], Any], decode: Callable[[Any], Any], *, size: int
) -> Distribute:
    """A way for the shared weights, with the types that its functions yield.

    Args:
      encode: at the server, `[P_shared] float32 -> encoded`.
      decode: at each client, `encoded -> [P_shared] float32`.
      size: P_shared.
    """
    shared = tf.TensorSpec([size], tf.float32)
    encoded = output_type(tf.function(encode, autograph=False), shared)
    received = output_type(tf.function(decode, autograph=False), encoded)
    return Distribute(encode, decode, shared, encoded, received)


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
        private=tf.TensorSpec([*lead, work.kept_size], tf.float32),
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
    embeddings = encoded(rows, exchange.cloud_dim) if exchange.with_embeddings else ()
    known = CloudRows(items, embeddings, encoded(rows))
    return exchange.downlink(known, queries=queries)


def build_aggregate(uplink: Any) -> Aggregate:
    """Concatenates the uplink rows of all client values, in any order of arrival.

    Args:
      uplink: the type of an uplink.
    """
    kinds = tf.nest.flatten(uplink)

    def zero() -> Any:
        nothing = [
            tf.constant(np.zeros([0, *kind.shape[1:]], kind.dtype.as_numpy_dtype)) for kind in kinds
        ]
        return tf.nest.pack_sequence_as(uplink, nothing)

    def join(*parts: Any) -> Any:
        columns = zip(*map(tf.nest.flatten, parts), strict=True)
        return tf.nest.pack_sequence_as(uplink, [tf.concat(each, axis=0) for each in columns])

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


def build_finalize(size: int, config: ServerConfig, *, steps: bool = True) -> Finalize:
    """Applies the weighted mean change with the server's optimiser.

    Args:
      size: P_shared.
      config: the optimiser.
      steps: whether there is a change in this round; without one the round is only counted.
    """
    vector = tf.TensorSpec([size], tf.float32)

    def apply(state: Any, change: Any, weight: Any) -> ServerState:
        if not steps:
            before = ServerState(*state)
            return before._replace(round_number=before.round_number + 1)
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
    changes: ChangeAggregate | None = None,
) -> Round:
    """Joins the stages.

    An engine makes `(state, items, data, private, downlink) -> (state, uplink, private, (loss,
    samples))` of a round, `data`, `private` and `downlink` with one value for each client; without
    `uplink` where `aggregate` is None. The uplinks are all that reaches the server besides sums.
    With an `aggregator`, with `changes`, or with a stage that keeps a state there is one more
    argument, the leaves of the state, and one more result, an `Aggregated`; with the first two each
    client value must be one device.

    A round that `collects` yields `(change, weight)` of each client value in place of the state,
    which is not changed: what is late is applied later (`ecct_tf.federated.changes`).

    Raises:
      ConfigError: when one stage's result is not what the next takes, or changes that are not
        applied in their round would be joined by something else than a sum.
    """
    keeps = _keeps(aggregate) or _keeps(finalize) or changes is not None
    if collects and aggregator is not None:
        raise late_refusal(aggregator.setting, aggregator.name)
    if keeps and (collects or aggregator is not None):
        other = "changes that arrive in later rounds" if aggregator is None else aggregator.what
        raise ConfigError(
            f"stages that keep a state or join changes do not go with {other}: leave one of the "
            "two out"
        )
    result, state = work.result, finalize.state
    expect_type("distribute.decode", distribute.received, work.types.shared)
    expect_type("work's private weights", result.private, work.types.private)
    expect_type("work's uplink", result.uplink, () if aggregate is None else aggregate.uplink)
    expect_type("finalize's change", result.delta, finalize.change)
    expect_type("finalize's weights", state.shared, distribute.shared)
    kept = _kept(work, aggregate, finalize, changes) if keeps else None
    return Round(distribute, work, aggregate, finalize, aggregator, collects, changes, kept)


def _keeps(stage: Aggregate | SumAggregate | Finalize | None) -> bool:
    return getattr(stage, "begin", None) is not None


def _kept(
    work: Work,
    aggregate: Aggregate | SumAggregate | None,
    finalize: Finalize,
    changes: ChangeAggregate | None,
) -> Kept:
    """The server's functions, checked."""
    number = tf.TensorSpec([], tf.float32)
    joined = rows = None
    if changes is not None:
        _check_joining(changes, finalize.change)
        joined = build_keeper(
            "changes.report",
            changes.report,
            changes.joined,
            begin=changes.begin,
            result=(finalize.change, number),
        )
    if isinstance(aggregate, Aggregate):
        rows = build_keeper(
            "aggregate.report",
            aggregate.report,
            aggregate.uplink,
            begin=aggregate.begin,
            result=work.result.uplink,
        )
    applied = build_keeper(
        "finalize.apply",
        finalize.apply,
        *(finalize.state, finalize.change, number),
        begin=finalize.begin,
        result=finalize.state,
    )
    return Kept(joined, rows, applied)


def _check_joining(changes: ChangeAggregate, change: Any) -> None:
    """Refuses functions of `changes` that do not fit."""
    number = tf.TensorSpec([], tf.float32)
    with guarded("changes.prepare", module=changes.prepare.__module__):
        part = output_type(tf.function(changes.prepare, autograph=False), change, number)
    pair = (changes.joined, changes.joined)
    for name, function, types in (
        ("zero", changes.zero, ()),
        ("accumulate", changes.accumulate, (changes.joined, part)),
        ("merge", changes.merge, pair),
    ):
        with guarded(f"changes.{name}", module=function.__module__):
            found = output_type(tf.function(function, autograph=False), *types)
        expect_type(f"changes.{name}", found, changes.joined)


def _data_types(sample: DeviceData, lead: tuple[int | None, ...]) -> dict[str, Any]:
    """Device counts, users and samples vary between client values; the rest is fixed."""
    types = {}
    for name, array in sample._asdict().items():
        shape = np.asarray(array).shape[len(lead) :]
        varying = () if name == "samples" else (None,)
        types[name] = tf.TensorSpec([*lead, *varying, *shape[len(varying) :]], array.dtype)
    return types
