"""Rounds as TensorFlow functions in this process, without TFF."""

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from ecct_tf.errors import WorkerError
from ecct_tf.federated.aggregators import refusal
from ecct_tf.federated.stages import Round, SumAggregate

__all__ = ["LocalEngine", "local_runtime"]


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
            private: Sequence[Any],
            downlink: Sequence[Any],
        ) -> Any:
            state = self.keep_at_server(state, finalize.state)
            shared = distribute.decode(distribute.encode(state.shared))

            def one_client(index: int) -> Any:
                own = self.keep_at_server(private[index], types.private)
                sent = self.keep_at_server(downlink[index], types.downlink)
                return compute(shared, state.round_number, items, data[index], own, sent)

            done = self._side_by_side(one_client, len(data))
            changes = [(each.delta, each.weight) for each in done]
            new_state: Any = changes
            if not stages.collects:
                new_state = finalize.apply(
                    state, _sum(each.delta for each in done), _sum(each.weight for each in done)
                )
            totals = (_sum(each.loss for each in done), _sum(each.samples for each in done))
            uplink: tuple[Any, ...] = ()
            if isinstance(aggregate, SumAggregate):
                summed = _sum(each.uplink for each in done)
                uplink = (aggregate.report(summed, state.round_number),)
            elif aggregate is not None:
                # All at once: each step would copy the rows of those before it.
                rows = aggregate.accumulate(aggregate.zero(), *(each.uplink for each in done))
                uplink = (aggregate.report(rows),)
            return (new_state, *uplink, [each.private for each in done], totals)

        return one_round

    def keep_at_clients(self, values: Sequence[Any], member: Any) -> Any:
        """One value of the type `member` for each client, as tensors."""
        return [self.keep_at_server(value, member) for value in values]

    def keep_at_server(self, value: Any, member: Any) -> Any:
        """A value of the type `member`, as tensors."""
        return tf.nest.map_structure(
            lambda spec, array: tf.convert_to_tensor(array, spec.dtype), member, value
        )

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


def _sum(tensors: Any) -> tf.Tensor:
    return tf.add_n(list(tensors))
