"""Rounds as TFF computations, run by TFF's worker."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ecct_tf.federated import compat
from ecct_tf.federated.resident import ResidentValue
from ecct_tf.federated.stages import Aggregate, Finalize, Round, SumAggregate
from ecct_tf.federated.tff_aggregation import AggregatedRound, ChangeAggregation

__all__ = ["TffEngine", "tff_type"]


class TffEngine:
    """Implements `Engine`; rounds need a `federated_runtime()` around them."""

    name = "tff"

    def build(self, stages: Round) -> Any:
        """One federated computation; state and items are at the server, the rest at clients."""
        distribute, work, finalize = stages.distribute, stages.work, stages.finalize
        types = work.types
        encode = _computation(distribute.encode, distribute.shared)
        decode = _computation(distribute.decode, distribute.encoded)
        # As it was traced for its types: in a graph of TFF's it would be traced anew.
        compute = _computation(work.compute.get_concrete_function(), *types)
        apply = _computation(
            finalize.apply, finalize.state, finalize.change, tf.TensorSpec([], tf.float32)
        )
        shared_of = _computation(lambda state: state.shared, finalize.state)
        round_of = _computation(lambda state: state.round_number, finalize.state)
        reaching = _reaching(stages.aggregate)

        arguments = (
            compat.server_type(tff_type(finalize.state)),
            compat.server_type(tff_type(types.items)),
            compat.clients_type(tff_type(types.data)),
            compat.clients_type(tff_type(types.private)),
            compat.clients_type(tff_type(types.downlink)),
        )

        def begun(state: Any, items: Any, data: Any, private: Any, downlink: Any) -> Any:
            """What the devices did."""
            encoded = compat.federated_map(encode, compat.federated_map(shared_of, state))
            shared = compat.federated_map(decode, compat.federated_broadcast(encoded))
            number = compat.federated_broadcast(compat.federated_map(round_of, state))
            return compat.federated_map(
                compute,
                (shared, number, compat.federated_broadcast(items), data, private, downlink),
            )

        def ended(done: Any, new_state: Any, state: Any) -> tuple[Any, ...]:
            """All that a round yields."""
            totals = compat.federated_zip(
                (compat.federated_sum(done.loss), compat.federated_sum(done.samples))
            )
            uplink = () if reaching is None else (reaching(done.uplink, state, round_of),)
            return (new_state, *uplink, done.private, totals)

        if stages.aggregator is None:

            @compat.federated_computation(*arguments)
            def one_round(state: Any, items: Any, data: Any, private: Any, downlink: Any) -> Any:
                done = begun(state, items, data, private, downlink)
                if stages.collects:
                    return ended(done, compat.federated_zip((done.delta, done.weight)), state)
                sums = compat.federated_sum(done.delta), compat.federated_sum(done.weight)
                return ended(done, compat.federated_map(apply, (state, *sums)), state)

            return one_round

        aggregation = ChangeAggregation(stages.aggregator)
        scalar = tf.TensorSpec([], tf.float32)
        own_change = _computation(tf.math.divide_no_nan, finalize.change, scalar)
        settled = _computation(_apply_mean(finalize), finalize.state, finalize.change, scalar)

        @compat.federated_computation(*arguments, compat.server_type(aggregation.state_type))
        def aggregated_round(
            state: Any, items: Any, data: Any, private: Any, downlink: Any, kept: Any
        ) -> Any:
            done = begun(state, items, data, private, downlink)
            changes = compat.federated_map(own_change, (done.delta, done.weight))
            weights = (done.weight,) if aggregation.weighted else ()
            mean = aggregation.process.next(kept, changes, *weights)
            new_state = compat.federated_map(
                settled, (state, mean.result, compat.federated_sum(done.weight))
            )
            return (*ended(done, new_state, state), mean.state, mean.measurements)

        return AggregatedRound(aggregated_round, aggregation)

    def keep_at_clients(self, values: Sequence[Any], member: Any) -> Any:
        """One value of the type `member` for each client, to be sent to the worker once."""
        return ResidentValue.at_clients(values, tff_type(member))

    def keep_at_server(self, value: Any, member: Any) -> Any:
        """A value at the server, to be sent to the worker once."""
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
