"""What a file is checked against: real device rows, the source model, and its training."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import DeviceTask, EdgeModel
from ecct_tf.knowledge import ItemTable
from mobile_export.checking.source import SourceModel
from mobile_export.making.examples import DeviceExample
from mobile_export.making.items import ItemStore
from mobile_export.making.parameters import Parameters, all_weights, low_rank
from mobile_export.making.variants import Variant

__all__ = ["Reference", "SimulatedTraining"]

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class SimulatedTraining:
    """What the simulation's device work made of a device's samples.

    Attributes:
      batches: inputs of `train`, one for each step.
      start: `[P] float32`.
      final: `[P] float32`, the simulation's weights after all batches.
      first_pass: how many of the batches are one pass over the samples, and `[P] float32`, the
        simulation's weights after them; None where there is one pass only.
      held: inputs of `score`, one for each position that the device judges its training by, its
        own item as the first candidate; none without a guard.
    """

    batches: Sequence[dict[str, npt.NDArray[Any]]]
    start: Array
    final: Array
    held: Sequence[dict[str, npt.NDArray[Any]]] = ()
    first_pass: tuple[int, Array] | None = None


@dataclasses.dataclass(frozen=True)
class Reference:
    """Everything that a file came from, or should have come from.

    Attributes:
      model: the architecture.
      weights: `[P] float32` that were exported.
      table: the item table as devices received it.
      task: what the device does.
      examples: data of real devices.
      simulate: what the simulation's device work makes of a variant, with the item table and
        the trained values that its file has; None where nothing trains.
    """

    model: EdgeModel
    weights: Array
    table: ItemTable
    task: DeviceTask
    examples: Sequence[DeviceExample]
    simulate: Callable[[Variant], SimulatedTraining | None] | None = None

    def float_source(self) -> SourceModel:
        """The model as the simulation runs it."""
        return self._source(ItemStore(self.table, "float32"), self.weights)

    def quantised_source(self, variant: Variant) -> SourceModel:
        """The model with the item table, and for adapters the base, as `variant` keeps them."""
        weights = self.weights
        if variant.adapters:
            found = self.parameters(variant)
            start = tf.constant(found.start)
            weights = found.expand(start, tf.constant(0)).numpy()
        return self._source(ItemStore(self.table, variant.table), weights)

    def trained_source(self, variant: Variant, values: Array) -> SourceModel:
        """The model with the item table as `variant` keeps it, and with trained values.

        Args:
          variant: of the file.
          values: `[P] float32`, as `parameters` has them.
        """
        weights = self.parameters(variant).expand(tf.constant(values), tf.constant(0)).numpy()
        return self._source(ItemStore(self.table, variant.table), weights)

    def parameters(self, variant: Variant) -> Parameters:
        """What a file of `variant` trains."""
        if variant.adapters:
            return low_rank(self.model, self.weights, sharing=self.task.sharing)
        return all_weights(self.model, self.weights, sharing=self.task.sharing)

    def _source(self, items: ItemStore, weights: Array) -> SourceModel:
        return SourceModel(self.model, weights, items.decoded(), items.block_sizes, self.task)
