"""Rounds as TensorFlow functions in this process, without TFF."""

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from ecct_tf.errors import WorkerError
from ecct_tf.federated.aggregators import refusal
from ecct_tf.federated.device_result import DeviceResult
from ecct_tf.federated.kept import Keeper, Kept, KeptRound
from ecct_tf.federated.stages import Aggregate, ChangeAggregate, Round, SumAggregate

__all__ = ["LocalEngine", "joined_uplink", "local_runtime"]


class LocalEngine:
    """Implements `Engine` in this process.

    The client values of a round are computed side by side and joined in their order, so that a
    round that is repeated gives the same bits.
    """

    name = "local"

    def __init__(self, *, concurrent_calls: int) -> None:
        """An engine.

        Args:
          concurrent_calls: client values that are computed at once.
        """
        # Kept between rounds: starting threads would cost as much as the sums.
        self._pool = concurrent.futures.ThreadPoolExecutor(concurrent_calls)

    def build(self, stages: Round) -> Callable[..., Any]:
        """The stages, one after another.

        Raises:
          ConfigError: the changes are to be joined by a factory of TFF's.
        """
        if stages.aggregator is not None:
            raise refusal(stages.aggregator.what, engine=self.name)
        distribute, aggregate, finalize = stages.distribute, stages.aggregate, stages.finalize
        compute, types = stages.work.compute, stages.work.types

        def one_round(
            state: Any,
            items: Any,
            data: Sequence[Any],
            own: Sequence[Any],
            downlink: Sequence[Any],
            leaves: Sequence[Any] = (),
        ) -> Any:
            state = self.keep_at_server(state, finalize.state)
            shared = distribute.decode(distribute.encode(state.shared))

            def one_client(index: int) -> Any:
                weights = self.keep_at_server(own[index], types.private)
                sent = self.keep_at_server(downlink[index], types.downlink)
                return compute(shared, state.round_number, items, data[index], weights, sent)

            done = self._side_by_side(one_client, len(data))
            totals = (_sum(each.loss for each in done), _sum(each.samples for each in done))
            private = [each.private for each in done]
            if stages.kept is not None:
                after, uplink, *left = self._kept(stages, stages.kept, state, done, leaves)
                return (after, *uplink, private, totals, *left)
            changes = [(each.delta, each.weight) for each in done]
            new_state: Any = changes
            if not stages.collects:
                new_state = finalize.apply(state, *_sums(done))
            uplink = ()
            if aggregate is not None:
                uplink = (joined_uplink(aggregate, done, state.round_number),)
            return (new_state, *uplink, private, totals)

        if stages.kept is not None:
            return KeptRound(one_round, stages.kept)
        return one_round

    def _kept(
        self, stages: Round, kept: Kept, state: Any, done: Sequence[DeviceResult], leaves: Any
    ) -> tuple[Any, ...]:
        """State, uplink (none or one), leaves of what is kept, and what is measured."""
        given = [tf.convert_to_tensor(leaf) for leaf in leaves]
        of_changes, of_rows, of_state = kept.split(given)
        after: list[Any] = []
        measured: list[Any] = []

        def run(keeper: Keeper, *arguments: Any) -> Any:
            result, left, values = keeper.function(*arguments)
            after.extend(left)
            measured.extend(values)
            return result

        change = _sums(done)
        if stages.changes is not None and kept.changes is not None:
            joined = _joined(stages.changes, done)
            change = run(kept.changes, joined, of_changes)
        uplink: tuple[Any, ...] = ()
        if stages.aggregate is not None:
            rows = _reaching(stages.aggregate, done)
            if kept.aggregate is not None:
                uplink = (run(kept.aggregate, rows, of_rows),)
            else:
                uplink = (_report(stages.aggregate, rows, state.round_number),)
        new_state = run(kept.finalize, state, *change, of_state)
        return new_state, uplink, tuple(after), tuple(measured)

    def keep_at_clients(self, values: Sequence[Any], member: Any) -> Any:
        """One value of the type `member` for each client, as tensors."""
        return [self.keep_at_server(value, member) for value in values]

    def keep_at_server(self, value: Any, member: Any) -> Any:
        """A value of the type `member`, as tensors."""
        return _tensors(value, member)

    def _side_by_side(self, one_client: Callable[[int], Any], number: int) -> list[Any]:
        # An interruption cancels what has not begun.
        return list(self._pool.map(one_client, range(number)))


@contextmanager
def local_runtime(*, load: str = "") -> Iterator[None]:
    """Runs the body, in which memory that runs out is a `WorkerError`.

    Args:
      load: what decides how much memory a round takes, in words.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        said = str(error.message).strip().partition("\n")[0]
        advice = f" What decides how much a round takes: {load}." if load else ""
        raise WorkerError(
            f"TensorFlow ran out of memory: {said}.{advice} Make it smaller, or take a machine "
            "with more memory."
        ) from error


def _tensors(value: Any, member: Any) -> Any:
    """As `tf.nest.map_structure` would do it, which takes ten times as long."""
    if isinstance(member, tf.TensorSpec):
        return tf.convert_to_tensor(value, member.dtype)
    parts = [_tensors(own, kind) for own, kind in zip(value, member, strict=True)]
    return member._make(parts) if hasattr(member, "_make") else tuple(parts)


def _sum(tensors: Any) -> tf.Tensor:
    return tf.add_n(list(tensors))


def _sums(done: Sequence[DeviceResult]) -> tuple[tf.Tensor, tf.Tensor]:
    """The sum of changes, and the weight behind it."""
    return _sum(each.delta for each in done), _sum(each.weight for each in done)


def _reaching(aggregate: Aggregate | SumAggregate, done: Sequence[Any]) -> Any:
    """What reaches the server of the uplinks."""
    if isinstance(aggregate, SumAggregate):
        return _sum(each.uplink for each in done)
    # All at once: each step would copy the rows of those before it.
    return aggregate.accumulate(aggregate.zero(), *(each.uplink for each in done))


def _report(aggregate: Aggregate | SumAggregate, reached: Any, round_number: Any) -> Any:
    if isinstance(aggregate, SumAggregate):
        return aggregate.report(reached, round_number)
    return aggregate.report(reached)


def joined_uplink(
    aggregate: Aggregate | SumAggregate, done: Sequence[Any], round_number: Any
) -> Any:
    """What the server reports of the uplinks, joined in the order of the client values.

    Args:
      aggregate: how, without a state.
      done: what has the uplink of each client value, `uplink`.
      round_number: rounds done.
    """
    return _report(aggregate, _reaching(aggregate, done), round_number)


def _joined(changes: ChangeAggregate, done: Sequence[DeviceResult]) -> Any:
    """The changes of single devices, joined in their order."""
    joined = changes.zero()
    for each in done:
        own = tf.math.divide_no_nan(each.delta, each.weight)
        joined = changes.accumulate(joined, changes.prepare(own, each.weight))
    return joined
