"""A round that several of TFF's workers share.

Each computes the devices of some client values; what left these devices is then brought
together in the order of the client values, as a single worker does it. So the result has the
same bits, whoever computed what, and as often as a worker died meanwhile.

What only adds up is added up in this process, which costs less than to send it to a worker
again. All else (factories of aggregators, stages that keep a state, changes that arrive later)
is the second half of TFF's own computation, in one of the workers.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ecct_tf.errors import WorkerError
from ecct_tf.federated import compat
from ecct_tf.federated.local_engine import joined_uplink
from ecct_tf.federated.pool_member import PoolMember, WorkerLostError
from ecct_tf.federated.resident import ResidentValue
from ecct_tf.federated.stages import Aggregate, SumAggregate
from ecct_tf.federated.worker_pool import MOST_LOSSES, WorkerPool, given_up

__all__ = ["SplitRound", "SpreadValue", "split_round", "summed_round"]


class _Sent(NamedTuple):
    """What leaves a client value; the fields of a `DeviceResult` without the private weights."""

    delta: Any
    weight: Any
    loss: Any
    samples: Any
    uplink: Any


class SpreadValue:
    """A value that stays in each worker that computes with it, as far as it is needed there."""

    def __init__(self, value: Any, member_type: Any, *, clients: bool) -> None:
        """Wraps a value.

        Args:
          value: one value for each client, or the value at the server.
          member_type: its type.
          clients: which of the two.
        """
        self._value = list(value) if clients else value
        self._type = member_type
        self._clients = clients
        # The newest part of each worker.
        self._parts: dict[PoolMember, tuple[tuple[int, ...], ResidentValue]] = {}

    def __len__(self) -> int:
        return len(self._value)

    def part(self, member: PoolMember, chosen: tuple[int, ...]) -> ResidentValue:
        """The value for a worker, of the client values `chosen` where it is one for each."""
        key = chosen if self._clients else ()
        if member not in self._parts or self._parts[member][0] != key:
            if self._clients:
                values = [self._value[at] for at in chosen]
                resident = ResidentValue.at_clients(values, self._type)
            else:
                resident = ResidentValue.at_server(self._value, self._type)
            self._parts[member] = key, resident
        return self._parts[member][1]


def _chosen(values: Any, member: PoolMember, chosen: tuple[int, ...]) -> Any:
    """Some client values of an argument, which may stay in the worker."""
    if isinstance(values, SpreadValue):
        return values.part(member, chosen)
    return [values[at] for at in chosen]


class SplitRound:
    """A round of a `WorkerPool`, which must be around it; called like TFF's computation of one."""

    def __init__(self, work: Any, join: Callable[..., Sequence[Any]], *, place: int) -> None:
        """Of two halves.

        Args:
          work: `(state, items, data, private, downlink) -> results of the devices`, at clients.
          join: `(state, what they sent, *kept) -> results`.
          place: where in the results the private weights belong.
        """
        self._work = work
        self._join = join
        self._place = place

    def __call__(
        self,
        state: Any,
        items: Any,
        data: SpreadValue | Sequence[Any],
        private: Sequence[Any],
        downlink: Sequence[Any],
        *kept: Any,
    ) -> tuple[Any, ...]:
        """Runs the round.

        Raises:
          WorkerError: no worker is left, or the same devices were lost too often.
        """
        pool = compat.owner_of_context()
        if not isinstance(pool, WorkerPool):
            raise WorkerError(
                "a round of several workers needs federated_runtime(workers=...) around it, with "
                "the runtime.workers of its settings"
            )
        done: list[Any] = [None] * len(data)

        def work_of(member: PoolMember, chosen: tuple[int, ...]) -> Callable[[], Any]:
            def work() -> Any:
                return self._work(
                    state,
                    items.part(member, ()) if isinstance(items, SpreadValue) else items,
                    _chosen(data, member, chosen),
                    _chosen(private, member, chosen),
                    _chosen(downlink, member, chosen),
                )

            return work

        lost: list[str] = []
        left = list(range(len(data)))
        while left:
            members = pool.ready()[: len(left)]
            # Neighbours are of like size: dealt out in turn, they make parts of like size.
            parts = [tuple(left[at :: len(members)]) for at in range(len(members))]
            pairs = list(zip(members, parts, strict=True))
            results = pool.run([(member, work_of(member, part)) for member, part in pairs])
            for part, result in zip(parts, results, strict=True):
                if isinstance(result, WorkerLostError):
                    lost.append(str(result))
                    continue
                for at, each in zip(part, result, strict=True):
                    done[at] = each
            left = [at for at in left if done[at] is None]
            if left and len(lost) > MOST_LOSSES:
                raise given_up(f"the work of {len(left)} client values", lost)
        sent = [_Sent(*(getattr(each, name) for name in _Sent._fields)) for each in done]
        joined = self._join(state, sent, *kept)
        own = [each.private for each in done]
        return (*joined[: self._place], own, *joined[self._place :])


def split_round(
    begun: Callable[..., Any],
    end: Callable[..., tuple[Any, ...]],
    arguments: tuple[Any, ...],
    kept: tuple[Any, ...],
    *,
    place: int,
) -> SplitRound:
    """Composes the two computations.

    Args:
      begun: `(state, items, data, private, downlink) -> what the devices did`, federated values.
      end: `(state, what they did, *kept) -> results`, which reads no private weights.
      arguments: the types of the arguments of `begun`.
      kept: the type of what `end` takes beside the state, if there is something.
      place: where in the results the private weights belong.
    """

    @compat.federated_computation(*arguments)
    def work(state: Any, items: Any, data: Any, private: Any, downlink: Any) -> Any:
        return begun(state, items, data, private, downlink)

    result = work.type_signature.result.member
    members = dict(compat.members_of(result) or [])
    sent = compat.struct_type(_Sent(*(members[name] for name in _Sent._fields)))

    types = (arguments[0], compat.clients_type(sent), *kept)
    if kept:

        @compat.federated_computation(*types)
        def join(state: Any, did: Any, own: Any) -> Any:
            return end(state, did, own)

    else:

        @compat.federated_computation(*types)
        def join(state: Any, did: Any) -> Any:
            return end(state, did)

    def joined(*given: Any) -> Sequence[Any]:
        return compat.parts_of(join(*given))

    return SplitRound(work, joined, place=place)


def summed_round(
    begun: Callable[..., Any],
    apply: Any,
    arguments: tuple[Any, ...],
    *,
    aggregate: Aggregate | SumAggregate | None,
) -> SplitRound:
    """A round whose server adds up, and keeps nothing beside its state.

    Args:
      begun: `(state, items, data, private, downlink) -> what the devices did`, federated values.
      apply: `(state, sum of changes, weight) -> state`, a computation without placements.
      arguments: the types of the arguments of `begun`.
      aggregate: how uplinks are joined; None where there are none.
    """

    @compat.federated_computation(*arguments)
    def work(state: Any, items: Any, data: Any, private: Any, downlink: Any) -> Any:
        return begun(state, items, data, private, downlink)

    def join(state: Any, sent: Sequence[_Sent]) -> Sequence[Any]:
        change, weight, loss, samples = (
            _added([getattr(each, name) for each in sent]) for name in _Sent._fields[:-1]
        )
        uplink = () if aggregate is None else (joined_uplink(aggregate, sent, state.round_number),)
        return (apply(state, change, weight), *uplink, (loss, samples))

    return SplitRound(work, join, place=1 if aggregate is None else 2)


def _added(parts: Sequence[Any]) -> Any:
    """The sum in order, from zero on, as TFF's worker adds: sums of floats depend on the order."""
    total = np.zeros_like(parts[0])
    for part in parts:
        total = total + part
    return total
