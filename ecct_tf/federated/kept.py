"""What custom stages keep from round to round and measure, as an engine carries it: flat."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.federated.aggregators import Aggregated, AggregatorState
from ecct_tf.federated.tensor_types import expect_type, output_type
from ecct_tf.plugins import guarded

__all__ = ["Keeper", "Kept", "KeptRound", "build_keeper"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclasses.dataclass(frozen=True)
class Keeper:
    """A function of the server that may keep a state.

    Attributes:
      function: `(*arguments, leaves) -> (result, leaves, measured)`, the state and what is measured
        as tuples of tensors.
      beginning: the leaves before the first round; empty for a function that keeps nothing.
      names: of what is measured.
      arguments: the types of the arguments.
      result: the type of the result.
    """

    function: Callable[..., Any]
    beginning: AggregatorState
    names: tuple[str, ...]
    arguments: tuple[Any, ...]
    result: Any

    @property
    def leaves(self) -> tuple[tf.TensorSpec, ...]:
        """The types of the leaves."""
        return tuple(tf.TensorSpec(leaf.shape, leaf.dtype) for leaf in self.beginning)


class Kept(NamedTuple):
    """The server's functions of a round in which stages keep a state or join changes.

    Attributes:
      changes: `(joined,) -> (change, weight)`; None where changes are summed.
      aggregate: `(rows,) -> uplink`; None where only sums over devices cross, or nothing.
      finalize: `(state, change, weight) -> state`.
    """

    changes: Keeper | None
    aggregate: Keeper | None
    finalize: Keeper

    @property
    def beginning(self) -> AggregatorState:
        """The leaves of all before the first round."""
        return tuple(leaf for each in self if each is not None for leaf in each.beginning)

    @property
    def leaves(self) -> tuple[tf.TensorSpec, ...]:
        """Their types."""
        return tuple(leaf for each in self if each is not None for leaf in each.leaves)

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured, with the stage before it."""
        return tuple(
            f"{stage}_{name}"
            for stage, each in zip(self._fields, self, strict=True)
            if each is not None
            for name in each.names
        )

    def split(self, leaves: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The leaves of each stage; none of a stage that is None."""
        found, start = [], 0
        for each in self:
            end = start + (0 if each is None else len(each.beginning))
            found.append(tuple(leaves[start:end]))
            start = end
        return found


class KeptRound:
    """A round whose stages keep a state, which comes last: `(..., leaves) -> (..., Aggregated)`."""

    def __init__(self, computation: Callable[..., Any], kept: Kept, *, parts: Any = tuple) -> None:
        """Wraps what an engine made.

        Args:
          computation: `(..., leaves) -> (..., leaves, measured)`.
          kept: the functions behind it.
          parts: makes a sequence of an engine's tuple.
        """
        self._computation = computation
        self._kept = kept
        self._parts = parts

    @property
    def type_signature(self) -> Any:
        """That of the computation, where the engine has such."""
        # A computation of TFF has it, a function of the local engine has not.
        return self._computation.type_signature  # type: ignore[attr-defined]

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured in each round."""
        return self._kept.names

    def __call__(self, *arguments: Any) -> Any:
        """Runs the round; the last argument has the leaves of the state, empty before the first.

        Raises:
          CheckpointError: the leaves are not of these stages.
        """
        *others, leaves = arguments
        expected = self._kept.beginning
        given = leaves or expected
        if [(leaf.shape, leaf.dtype) for leaf in given] != [
            (leaf.shape, leaf.dtype) for leaf in expected
        ]:
            raise CheckpointError(
                f"the state of a run's own stages: expected {_told(expected)}, got {_told(given)}; "
                "it was written with other stages, or in a stage of the exchange in which they "
                "keep something else"
            )
        *done, after, measured = self._computation(*others, given)
        values = map(float, self._parts(measured))
        left = Aggregated(
            tuple(np.asarray(leaf) for leaf in self._parts(after)),
            dict(zip(self.names, values, strict=True)),
        )
        return (*done, left)


def build_keeper(
    stage: str,
    function: Callable[..., Any],
    *arguments: Any,
    begin: Callable[[], Any] | None,
    result: Any,
) -> Keeper:
    """The function of a stage in the form that engines run, traced once to check it.

    Args:
      stage: names it in messages.
      function: as `stage_types` says it.
      arguments: the types of what it takes.
      begin: `() -> kept`; None where it keeps nothing.
      result: the type that its result must have; None for any.

    Raises:
      ConfigError: it fails, or yields something else.
    """
    first: Any = ()
    if begin is not None:
        with guarded(f"{stage}: begin", module=begin.__module__):
            first = tf.nest.map_structure(np.asarray, begin())
    beginning = tuple(tf.nest.flatten(first))
    names: list[str] = []

    def flat(*given: Any) -> Any:
        *values, leaves = given
        if begin is None:
            return function(*values), (), ()
        kept = tf.nest.pack_sequence_as(first, list(leaves))
        found = function(*values, kept)
        if not isinstance(found, tuple) or len(found) != 3 or not isinstance(found[2], dict):
            raise ConfigError(
                f"{stage}: a stage with `begin` yields (result, kept, measured), measured a "
                f"dictionary of single numbers; got {found}"
            )
        done, after, measured = found
        names[:] = sorted(measured)
        # Names stand in the columns of a file.
        values = [tf.cast(measured[name], tf.float32) for name in names]
        expect_type(f"{stage}: what it keeps", _types(after), _types(kept))
        return done, tuple(tf.nest.flatten(after)), tuple(values)

    leaves = tuple(tf.TensorSpec(leaf.shape, leaf.dtype) for leaf in beginning)
    with guarded(stage, module=function.__module__):
        found, _, values = output_type(tf.function(flat, autograph=False), *arguments, leaves)
    if result is not None:
        expect_type(f"{stage}'s result", found, result)
    for name, value in zip(names, values, strict=True):
        if value.shape != ():
            raise ConfigError(
                f"{stage}: expected single numbers as measurements, got {name!r} of the shape "
                f"{tuple(value.shape)}"
            )
    return Keeper(flat, beginning, tuple(names), arguments, found)


def _types(structure: Any) -> Any:
    return tf.nest.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype),
        tf.nest.map_structure(tf.convert_to_tensor, structure),
    )


def _told(leaves: AggregatorState) -> list[str]:
    return [f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves]
