"""What an edge model's builder returns: the contract between the library and an architecture.

A builder is a function of sizes alone, `(EdgeSpec) -> Architecture`. The three tiers of the
library, the models of installed packages and those named as `module:name` are all built so.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import tensorflow as tf

from ecct_tf.edge.layout import Weight, WeightLayout
from ecct_tf.edge.model import EdgeInputs, EdgeOutputs

__all__ = [
    "READABLE",
    "Architecture",
    "Layer",
    "Readable",
    "Weights",
    "architecture",
]

Weights = Mapping[str, tf.Tensor]
Readable = Literal["slots", "items", "dropout", "numbers", "sets"]

READABLE: tuple[Readable, ...] = ("slots", "items", "dropout", "numbers", "sets")
"""What an architecture may read beside what every one may; computed only where it is declared."""


class Layer(Protocol):
    """A part of a model that has weights."""

    @property
    def weights(self) -> tuple[Weight, ...]:
        """Its trainable tensors."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """An edge architecture for given sizes.

    Attributes:
      layout: its trainable tensors, those of the backbone before those of the head.
      forward: `(weights by name, EdgeInputs) -> EdgeOutputs`, pure, of operators that TFLite has
        built in, forward and in its gradient: `ecct_tf.edge.layers` has such ones. Every tensor
        may have a leading device axis.
      reads: what it reads beside interaction features, profile and the cloud's knowledge: `slots`
        for the dot products of each history slot, `items` for the item vectors themselves,
        `dropout` for keys of the rows in training, `numbers` for the private numeric columns,
        `sets` for the private columns of several values.
    """

    layout: WeightLayout
    forward: Callable[[Weights, EdgeInputs], EdgeOutputs]
    reads: frozenset[Readable] = frozenset()


def architecture(
    layers: Sequence[Layer],
    forward: Callable[[Weights, EdgeInputs], EdgeOutputs],
    *,
    reads: Sequence[Readable] = (),
) -> Architecture:
    """An architecture of `layers`, whose weights are laid out in their order, heads last.

    Args:
      layers: all that have weights, and each `Dropout`.
      forward: as in `Architecture`.
      reads: likewise; what layers read is added.
    """
    read = {*reads, *(name for layer in layers for name in getattr(layer, "reads", ()))}
    weights = [weight for layer in layers for weight in layer.weights]
    ordered = sorted(weights, key=lambda weight: weight.part)
    return Architecture(WeightLayout(tuple(ordered)), forward, frozenset(read))
