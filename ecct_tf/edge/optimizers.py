"""Optimisers of the local training, as pure functions of flat tensors.

They act on `[..., P]` vectors elementwise, so the same code updates one phone, a
stacked cohort and the exported file's single variable.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from ecct_tf.config import OPTIMIZERS, OptimizerName
from ecct_tf.errors import ConfigError

__all__ = ["LocalOptimizer", "build_optimizer"]

Slots = tuple[tf.Tensor, ...]

_ADAM_BETA_1 = 0.9
_ADAM_BETA_2 = 0.999
_EPSILON = 1e-7
_ADAGRAD_START = 0.1


@dataclasses.dataclass(frozen=True)
class LocalOptimizer:
    """A local optimiser.

    Attributes:
      name: its name.
      slot_starts: initial value of each slot; its length is the number of slots.
      apply: `(weights, gradient, slots, step, learning_rate) -> (weights, slots)`, where
        weights, gradient and each slot are `[..., P] float32`, step is a `[] float32`
        that counts from 1, and learning_rate broadcasts against the weights.
    """

    name: OptimizerName
    slot_starts: tuple[float, ...]
    apply: Callable[[tf.Tensor, tf.Tensor, Slots, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Slots]]

    def initial_slots(self, weights: tf.Tensor) -> Slots:
        """Fresh slots for `weights` `[..., P] float32`."""
        return tuple(tf.zeros_like(weights) + start for start in self.slot_starts)


def build_optimizer(name: OptimizerName) -> LocalOptimizer:
    """Returns the optimiser `name`.

    Raises:
      ConfigError: when the name is unknown.
    """
    if name == "sgd":
        return LocalOptimizer("sgd", (), _sgd)
    if name == "adagrad":
        return LocalOptimizer("adagrad", (_ADAGRAD_START,), _adagrad)
    if name == "adam":
        return LocalOptimizer("adam", (0.0, 0.0), _adam)
    raise ConfigError(f"expected a local optimiser out of {OPTIMIZERS}, got {name!r}")


def _sgd(
    weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, step: tf.Tensor, rate: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    del step
    return weights - rate * gradient, slots


def _adagrad(
    weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, step: tf.Tensor, rate: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    del step
    accumulator = slots[0] + gradient * gradient
    return weights - rate * gradient / tf.sqrt(accumulator + _EPSILON), (accumulator,)


def _adam(
    weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, step: tf.Tensor, rate: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    first = slots[0] + (gradient - slots[0]) * (1.0 - _ADAM_BETA_1)
    second = slots[1] + (gradient * gradient - slots[1]) * (1.0 - _ADAM_BETA_2)
    correction = tf.sqrt(1.0 - tf.pow(_ADAM_BETA_2, step)) / (1.0 - tf.pow(_ADAM_BETA_1, step))
    return weights - rate * correction * first / (tf.sqrt(second) + _EPSILON), (first, second)
