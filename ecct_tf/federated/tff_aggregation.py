"""A factory of `tff.aggregators` over the changes of single devices, in a round of TFF's."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.federated import compat
from ecct_tf.federated.aggregators import Aggregated, Aggregator, AggregatorState

__all__ = ["AggregatedRound", "ChangeAggregation"]

# Measurements without a name of their own.
_UNNAMED = "measurement"


class ChangeAggregation:
    """The aggregation of one tier's changes, `[P_shared] float32` of each device.

    Attributes:
      process: TFF's `AggregationProcess`.
      weighted: whether it takes the devices' weights.
      names: its scalar measurements.
    """

    def __init__(self, aggregator: Aggregator) -> None:
        """Calls the user's function and TFF's factory.

        Raises:
          ConfigError: it raises, or yields no factory of means of such changes.
        """
        self._what = aggregator.what
        factory = aggregator.factory()
        self.weighted = isinstance(factory, compat.WeightedAggregationFactory)
        if not self.weighted and not isinstance(factory, compat.UnweightedAggregationFactory):
            raise ConfigError(
                f"{self._what}: expected a function that returns a factory of tff.aggregators, "
                f"weighted or unweighted, got {type(factory).__name__}"
            )
        if isinstance(factory, compat.SUM_FACTORIES):
            kind = type(factory).__name__
            raise ConfigError(
                f"{self._what}: expected a factory that yields the mean of the devices' changes, "
                f"got {kind}, which yields their sum; return "
                f"tff.aggregators.UnweightedMeanFactory(value_sum_factory=...) around the {kind}"
            )
        change = compat.tensor_type(np.float32, (aggregator.spec.size,))
        types = (change, compat.tensor_type(np.float32, ())) if self.weighted else (change,)
        try:
            self.process = factory.create(*types)
        # Factories check types in many ways, the user's own too.
        except Exception as error:
            raise ConfigError(
                f"{self._what}: {type(factory).__name__}.create({', '.join(map(str, types))}) "
                f"failed: {type(error).__name__}: {error}"
            ) from error
        result = self.process.next.type_signature.result
        found = result.result.member
        if not change.is_assignable_from(found):
            raise ConfigError(
                f"{self._what}: expected an aggregate of the type {change}, got {found}"
            )
        self.state_type = self.process.next.type_signature.parameter[0].member
        self._measured_type = result.measurements.member
        self.names = tuple(name for name, leaf in _named(self._measured_type) if _is_scalar(leaf))

    @functools.cached_property
    def _beginning(self) -> AggregatorState:
        return _leaves(self.state_type, self.process.initialize())

    def packed(self, state: AggregatorState) -> Any:
        """TFF's structure of the leaves of a state, or the one that it begins with.

        Raises:
          CheckpointError: the leaves are not of this aggregator.
        """
        leaves = state or self._beginning
        expected = [leaf for _, leaf in _named(self.state_type)]
        fits = len(leaves) == len(expected) and all(
            _is_of(leaf.dtype, spec.dtype) and compat.shape_fits(spec, leaf.shape)
            for leaf, spec in zip(leaves, expected, strict=True)
        )
        if not fits:
            raise CheckpointError(
                f"{self._what}: expected a state of the type {self.state_type}, got "
                f"{[f'{leaf.dtype}{list(leaf.shape)}' for leaf in leaves]}; it was written with "
                "another aggregator or another version of TFF"
            )
        return _pack(self.state_type, iter(leaves))

    def left(self, state: Any, measured: Any) -> Aggregated:
        """What a round leaves, from TFF's structures."""
        values = zip(
            _named(self._measured_type), _leaves(self._measured_type, measured), strict=True
        )
        scalars = {name: float(leaf) for (name, spec), leaf in values if _is_scalar(spec)}
        return Aggregated(_leaves(self.state_type, state), scalars)


class AggregatedRound:
    """A round with an aggregator, whose state comes last: `(..., state) -> (..., Aggregated)`."""

    def __init__(self, computation: Any, aggregation: ChangeAggregation) -> None:
        self._computation = computation
        self._aggregation = aggregation

    @property
    def type_signature(self) -> Any:
        """That of the computation."""
        return self._computation.type_signature

    @property
    def names(self) -> tuple[str, ...]:
        """The aggregator's scalar measurements."""
        return self._aggregation.names

    def __call__(self, *arguments: Any) -> Any:
        """Runs the round; the last argument has the leaves of the aggregator's state."""
        *others, state = arguments
        *done, new, measured = self._computation(*others, self._aggregation.packed(state))
        return (*done, self._aggregation.left(new, measured))


def _named(spec: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The tensors of a type, each with its path in it, in TFF's order."""
    members = compat.members_of(spec)
    if members is None:
        yield "_".join(path) or _UNNAMED, spec
        return
    for place, (name, member) in enumerate(members):
        yield from _named(member, (*path, name or str(place)))


def _leaves(spec: Any, value: Any) -> AggregatorState:
    members = compat.members_of(spec)
    if members is None:
        return (np.asarray(value),)
    parts = compat.parts_of(value)
    return tuple(
        leaf
        for (_, member), part in zip(members, parts, strict=True)
        for leaf in _leaves(member, part)
    )


def _pack(spec: Any, leaves: Iterator[Any]) -> Any:
    members = compat.members_of(spec)
    if members is None:
        leaf = next(leaves)
        return leaf.item() if leaf.dtype.kind == "S" and not leaf.ndim else leaf
    return compat.structure_of([(name, _pack(member, leaves)) for name, member in members])


def _is_of(found: Any, expected: Any) -> bool:
    """Whether dtypes agree; NumPy's of texts have a length."""
    return bool(found == expected or (found.kind == "S" and np.issubdtype(expected, np.str_)))


def _is_scalar(spec: Any) -> bool:
    return not spec.shape and bool(np.issubdtype(spec.dtype, np.number))
