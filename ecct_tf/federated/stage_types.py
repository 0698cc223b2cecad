"""The stages of a round as values: what each does, and the types of what it takes and yields.

A type is a `tf.TensorSpec`, or a tuple (named or not) of types.

Three stages run at the server and may keep a state from round to round: the joining of changes,
that of uplinks, and finalize. One that has `begin` gets what it kept as a last argument, and yields
`(result, kept, measured)` in place of its result: the state after the round, of the same structure
and types, and a dictionary of single numbers that go to `metrics.csv`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from ecct_tf.federated.aggregators import Aggregator
from ecct_tf.federated.device_result import DeviceResult
from ecct_tf.federated.kept import Kept
from ecct_tf.federated.tensor_types import output_type

__all__ = [
    "Aggregate",
    "ChangeAggregate",
    "Distribute",
    "Finalize",
    "Round",
    "SumAggregate",
    "Work",
    "WorkTypes",
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
        return output_type(self.compute)

    def doing(self, function: Callable[..., DeviceResult]) -> "Work":
        """The work of the same types that `function` does instead.

        Args:
          function: takes the six arguments of `compute`, and yields a `DeviceResult`. It may call
            this work's `compute`.
        """
        compute = tf.function(function, input_signature=self.types, autograph=False)
        return Work(compute, self.types, function)


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """Brings the uplinks to the server.

    Attributes:
      zero: `() -> rows`, of no client.
      accumulate: `(rows, *uplinks) -> rows`, of one uplink or several.
      merge: `(rows, rows) -> rows`.
      report: `rows -> uplink`, at the server; with `begin`, `(rows, kept) -> (uplink, kept,
        measured)`.
      uplink: the type of an uplink, and of rows.
      begin: `() -> kept`, what `report` keeps before the first round; None for nothing.
    """

    zero: Callable[[], Any]
    accumulate: Callable[..., Any]
    merge: Callable[[Any, Any], Any]
    report: Callable[..., Any]
    uplink: Any
    begin: Callable[[], Any] | None = None


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
class ChangeAggregate:
    """Joins the devices' changes of the shared weights in place of their weighted sum.

    Each client value must be one device: of a shard there is only the sum of its devices.

    Attributes:
      prepare: at each client, `(change, weight) -> part`: its own change of the shared weights,
        `[P_shared] float32`, and the samples behind it, `[] float32`.
      zero: `() -> joined`, of no client.
      accumulate: `(joined, part) -> joined`.
      merge: `(joined, joined) -> joined`.
      report: at the server, `joined -> (change, weight)`, of which finalize takes `change / weight`
        as the mean change, and none where the weight is 0; with `begin`, `(joined, kept) ->
        ((change, weight), kept, measured)`.
      joined: the type of what is joined; sizes that grow with the clients are None.
      begin: `() -> kept`, what `report` keeps before the first round; None for nothing.
    """

    prepare: Callable[[Any, Any], Any]
    zero: Callable[[], Any]
    accumulate: Callable[[Any, Any], Any]
    merge: Callable[[Any, Any], Any]
    report: Callable[..., Any]
    joined: Any
    begin: Callable[[], Any] | None = None


@dataclasses.dataclass(frozen=True)
class Finalize:
    """Applies the mean change.

    Attributes:
      apply: `(state, sum of changes, weight) -> state`; with `begin`, `(state, sum of changes,
        weight, kept) -> (state, kept, measured)`.
      state: the type of a `ServerState`.
      change: the type of the sum of changes.
      begin: `() -> kept`, what it keeps beside the `ServerState` before the first round; None for
        nothing.
    """

    apply: Callable[..., Any]
    state: Any
    change: Any
    begin: Callable[[], Any] | None = None


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
      changes: what joins the changes; None for their sum and that of their weights.
      kept: the server's functions of stages that keep a state or join changes; None where none
        does.
    """

    distribute: Distribute
    work: Work
    aggregate: Aggregate | SumAggregate | None
    finalize: Finalize
    aggregator: Aggregator | None = None
    collects: bool = False
    changes: ChangeAggregate | None = None
    kept: Kept | None = None
