"""Rounds as TFF computations, run by TFF's worker."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ecct_tf.federated import compat
from ecct_tf.federated.kept import Kept, KeptRound
from ecct_tf.federated.resident import ResidentValue
from ecct_tf.federated.split_round import SpreadValue, split_round, summed_round
from ecct_tf.federated.stages import (
    Aggregate,
    ChangeAggregate,
    Finalize,
    Round,
    SumAggregate,
)
from ecct_tf.federated.tensor_types import output_type
from ecct_tf.federated.tff_aggregation import AggregatedRound, ChangeAggregation

__all__ = ["TffEngine", "tff_type"]


class TffEngine:
    """Implements `Engine`; rounds need a `federated_runtime()` around them."""

    name = "tff"

    def __init__(self, *, several: bool = False) -> None:
        """An engine.

        Args:
          several: whether rounds are shared out among the workers of a pool.
        """
        self._several = several

    def build(self, stages: Round) -> Any:
        """One federated computation; state and items are at the server, the rest at clients."""
        distribute, work, finalize = stages.distribute, stages.work, stages.finalize
        types = work.types
        # Each computation that the worker does for a client takes it a while, however small.
        encode = _computation(lambda state: distribute.encode(state.shared), finalize.state)
        # As it was traced for its types: in a graph of TFF's it would be traced anew.
        traced = work.compute.get_concrete_function()
        compute = _computation(
            lambda encoded, *given: traced(distribute.decode(encoded), *given),
            *(distribute.encoded, *types[1:]),
        )
        round_of = _computation(lambda state: state.round_number, finalize.state)

        arguments = (
            compat.server_type(tff_type(finalize.state)),
            compat.server_type(tff_type(types.items)),
            compat.clients_type(tff_type(types.data)),
            compat.clients_type(tff_type(types.private)),
            compat.clients_type(tff_type(types.downlink)),
        )

        def begun(state: Any, items: Any, data: Any, private: Any, downlink: Any) -> Any:
            """What the devices did."""
            encoded = compat.federated_broadcast(compat.federated_map(encode, state))
            number = compat.federated_broadcast(compat.federated_map(round_of, state))
            return compat.federated_map(
                compute,
                (encoded, number, compat.federated_broadcast(items), data, private, downlink),
            )

        ending = _ending(stages, round_of)
        end, place, kept = ending.end, ending.place, ending.kept
        if self._several and _adds_up(stages):
            weight = tf.TensorSpec([], tf.float32)
            apply = _computation(finalize.apply, finalize.state, finalize.change, weight)
            return summed_round(begun, apply, arguments, aggregate=stages.aggregate)
        if self._several:
            return ending.wrap(split_round(begun, end, arguments, kept, place=place))

        def whole(state: Any, *given: Any, own: tuple[Any, ...] = ()) -> Any:
            done = begun(state, *given)
            ended = end(state, done, *own)
            return (*ended[:place], done.private, *ended[place:])

        if not kept:

            @compat.federated_computation(*arguments)
            def one_round(state: Any, items: Any, data: Any, private: Any, downlink: Any) -> Any:
                return whole(state, items, data, private, downlink)

            return ending.wrap(one_round)

        @compat.federated_computation(*arguments, *kept)
        def kept_round(
            state: Any, items: Any, data: Any, private: Any, downlink: Any, own: Any
        ) -> Any:
            return whole(state, items, data, private, downlink, own=(own,))

        return ending.wrap(kept_round)

    def keep_at_clients(self, values: Sequence[Any], member: Any) -> Any:
        """One value of the type `member` for each client, to be sent to the worker once."""
        if self._several:
            return SpreadValue(values, tff_type(member), clients=True)
        return ResidentValue.at_clients(values, tff_type(member))

    def keep_at_server(self, value: Any, member: Any) -> Any:
        """A value at the server, to be sent to the worker once."""
        value = tf.nest.map_structure(np.asarray, value)
        if self._several:
            return SpreadValue(value, tff_type(member), clients=False)
        return ResidentValue.at_server(value, tff_type(member))


def tff_type(spec: Any) -> Any:
    """TFF's type for one of the stages."""
    return compat.struct_type(
        tf.nest.map_structure(
            lambda tensor: compat.tensor_type(tensor.dtype.as_numpy_dtype, tuple(tensor.shape)),
            spec,
        )
    )


def _computation(function: Any, *specs: Any) -> Any:
    """A stage's function as a TFF computation; of several arguments TFF makes one."""
    types = tff_type(specs if len(specs) > 1 else specs[0])

    @compat.tensor_computation(types)
    def compute(argument: Any) -> Any:
        # TFF has containers of its own for what is no named tuple.
        given = tf.nest.pack_sequence_as(specs, tf.nest.flatten(argument))
        return function(*given)

    return compute


def _apply_mean(finalize: Finalize) -> Callable[[Any, Any, Any], Any]:
    """`(state, mean change, weight behind it) -> state`."""

    def apply(state: Any, mean: Any, weight: Any) -> Any:
        # A weighted mean of nothing is 0 / 0; without samples nobody changed anything.
        nothing = tf.math.is_nan(mean) & (weight <= 0.0)
        return finalize.apply(state, tf.where(nothing, tf.zeros_like(mean), mean), 1.0)

    return apply


def _reaching(aggregate: Aggregate | SumAggregate | None) -> Callable[..., Any] | None:
    """`(uplinks, state, round_of) -> what reaches the server of them`; None where none are sent."""
    if aggregate is None:
        return None
    if isinstance(aggregate, SumAggregate):
        bits, number = aggregate.bits, tf.TensorSpec([], tf.int32)
        noised = _computation(aggregate.report, aggregate.uplink, number)

        def summed(uplinks: Any, state: Any, round_of: Any) -> Any:
            total = compat.federated_secure_sum_bitwidth(uplinks, bits)
            return compat.federated_map(noised, (total, compat.federated_map(round_of, state)))

        return summed
    joined = _joining(aggregate)

    def rows(uplinks: Any, state: Any, round_of: Any) -> Any:
        del state, round_of
        return compat.federated_aggregate(uplinks, *joined)

    return rows


def _adds_up(stages: Round) -> bool:
    """Whether all that reaches the server are sums, and rows behind one another."""
    return stages.kept is None and stages.aggregator is None and not stages.collects


@dataclasses.dataclass(frozen=True)
class _Ending:
    """What the server does when the devices are done.

    Attributes:
      end: `(state, done, *kept) -> results`, federated values.
      kept: the type of what it takes beside the state, if there is something.
      place: where in the results the devices' private weights belong.
      wrap: makes the round of the computation.
    """

    end: Callable[..., tuple[Any, ...]]
    kept: tuple[Any, ...]
    place: int
    wrap: Callable[[Any], Any]


def _ending(stages: Round, round_of: Any) -> _Ending:
    place = 1 if stages.aggregate is None else 2
    if stages.kept is not None:
        return _kept_ending(stages, stages.kept, round_of, place=place)
    finalize = stages.finalize
    scalar = tf.TensorSpec([], tf.float32)
    reaching = _reaching(stages.aggregate)

    def ended(state: Any, done: Any, new_state: Any, totals: Any) -> tuple[Any, ...]:
        uplink = () if reaching is None else (reaching(done.uplink, state, round_of),)
        return (new_state, *uplink, totals)

    if stages.aggregator is None:
        result = stages.work.result
        sums = (result.delta, result.weight, result.loss, result.samples)
        apply = _computation(
            lambda state, sums: finalize.apply(state, *sums[:2]), finalize.state, sums
        )
        totals_of = _computation(lambda *sums: sums[2:], *sums)

        def end(state: Any, done: Any) -> tuple[Any, ...]:
            if stages.collects:
                changes = compat.federated_zip((done.delta, done.weight))
                return ended(state, done, changes, _totals(done))
            # One sum of all: each addition is a computation in the worker.
            parts = compat.federated_zip((done.delta, done.weight, done.loss, done.samples))
            added = compat.federated_sum(parts)
            new_state = compat.federated_map(apply, (state, added))
            return ended(state, done, new_state, compat.federated_map(totals_of, added))

        return _Ending(end, (), place, lambda computation: computation)

    aggregation = ChangeAggregation(stages.aggregator)
    own_change = _computation(tf.math.divide_no_nan, finalize.change, scalar)
    settled = _computation(_apply_mean(finalize), finalize.state, finalize.change, scalar)

    def aggregated_end(state: Any, done: Any, kept: Any) -> tuple[Any, ...]:
        changes = compat.federated_map(own_change, (done.delta, done.weight))
        weights = (done.weight,) if aggregation.weighted else ()
        mean = aggregation.process.next(kept, changes, *weights)
        weight = compat.federated_sum(done.weight)
        new_state = compat.federated_map(settled, (state, mean.result, weight))
        return (*ended(state, done, new_state, _totals(done)), mean.state, mean.measurements)

    def wrap(computation: Any) -> Any:
        return AggregatedRound(computation, aggregation)

    return _Ending(aggregated_end, (compat.server_type(aggregation.state_type),), place, wrap)


def _kept_ending(stages: Round, kept: Kept, round_of: Any, *, place: int) -> _Ending:
    """That of a round whose stages keep a state."""
    changes, aggregate = stages.changes, stages.aggregate
    number = tf.TensorSpec([], tf.float32)
    functions = {
        stage: _computation(keeper.function, *keeper.arguments, keeper.leaves)
        for stage, keeper in kept._asdict().items()
        if keeper is not None
    }
    summed = _reaching(aggregate) if isinstance(aggregate, SumAggregate) else None
    if isinstance(aggregate, Aggregate):
        rows = _joining(dataclasses.replace(aggregate, report=lambda joined: joined))
    if changes is not None:
        own_change = _computation(tf.math.divide_no_nan, stages.finalize.change, number)
        prepare = _computation(changes.prepare, stages.finalize.change, number)
        part = output_type(
            tf.function(changes.prepare, autograph=False), stages.finalize.change, number
        )
        joining = _joining_changes(changes, part)

    def end(state: Any, done: Any, leaves: Any) -> tuple[Any, ...]:
        of_changes, of_rows, of_state = kept.split([leaves[at] for at in range(len(kept.leaves))])
        after: list[Any] = []
        measured: list[Any] = []

        def run(stage: str, *values: Any) -> Any:
            *given, own = values
            result = compat.federated_map(functions[stage], (*given, _zipped(own)))
            keeper = getattr(kept, stage)
            after.extend(result[1][at] for at in range(len(keeper.beginning)))
            measured.extend(result[2][at] for at in range(len(keeper.names)))
            return result[0]

        change = compat.federated_sum(done.delta), compat.federated_sum(done.weight)
        if changes is not None:
            single = compat.federated_map(own_change, (done.delta, done.weight))
            parts = compat.federated_map(prepare, (single, done.weight))
            joined = compat.federated_aggregate(parts, *joining)
            found = run("changes", joined, of_changes)
            change = found[0], found[1]
        uplink: tuple[Any, ...] = ()
        if kept.aggregate is not None:
            reached = compat.federated_aggregate(done.uplink, *rows)
            uplink = (run("aggregate", reached, of_rows),)
        elif summed is not None:
            uplink = (summed(done.uplink, state, round_of),)
        new_state = run("finalize", state, *change, of_state)
        return (new_state, *uplink, _totals(done), _zipped(after), _zipped(measured))

    def wrap(computation: Any) -> Any:
        return KeptRound(computation, kept, parts=compat.parts_of)

    return _Ending(end, (compat.server_type(tff_type(kept.leaves)),), place, wrap)


def _totals(done: Any) -> Any:
    """Loss and samples of all devices."""
    return compat.federated_sum(compat.federated_zip((done.loss, done.samples)))


def _zipped(values: Any) -> Any:
    """Values at the server as one value; of none as well."""
    if values:
        return compat.federated_zip(tuple(values))
    return compat.federated_value((), compat.SERVER)


def _joining_changes(changes: ChangeAggregate, part: Any) -> tuple[Any, ...]:
    """Zero, accumulate, merge and report of the changes of single devices."""

    @compat.tensor_computation
    def zero() -> Any:
        return tf.nest.map_structure(_open, changes.zero(), changes.joined)

    accumulate = _computation(changes.accumulate, changes.joined, part)
    merge = _computation(changes.merge, changes.joined, changes.joined)
    return zero(), accumulate, merge, _computation(lambda whole: whole, changes.joined)


def _joining(aggregate: Aggregate) -> tuple[Any, ...]:
    """Zero, accumulate, merge and report of the uplinks."""

    @compat.tensor_computation
    def zero() -> Any:
        return tf.nest.map_structure(_open, aggregate.zero(), aggregate.uplink)

    accumulate = _computation(aggregate.accumulate, aggregate.uplink, aggregate.uplink)
    merge = _computation(aggregate.merge, aggregate.uplink, aggregate.uplink)
    report = _computation(aggregate.report, aggregate.uplink)
    return zero(), accumulate, merge, report


def _open(tensor: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """The tensor with the static shape of `spec`, where the number of rows is left open."""
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=spec.shape)
