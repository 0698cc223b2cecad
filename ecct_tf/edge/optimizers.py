"""Optimisers of the local training, as pure functions of flat tensors.

They act on `[..., P]` vectors elementwise, so the same code updates one phone, a
stacked cohort and the exported file's single variable.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import tensorflow as tf

from ecct_tf.config import OPTIMIZERS, OptimizerName
from ecct_tf.errors import ConfigError

__all__ = ["LocalOptimizer", "build_optimizer", "one_minus_power"]

Slots = tuple[tf.Tensor, ...]

_ADAM_BETA_1 = 0.9
_ADAM_BETA_2 = 0.999
_EPSILON = 1e-7
# Added to the root of Adam's mean square. Below it a gradient counts as small rather than as a
# direction: with 1e-7 the last bit of a sum, in which runtimes differ, becomes a step of nearly
# the whole learning rate for weights whose gradient is all but zero. The value is the τ that
# Reddi et al. (arXiv 2003.00295) recommend for adaptive optimisers in federated learning.
_ADAM_EPSILON = 1e-3
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


def build_optimizer(name: OptimizerName, *, adam_epsilon: float = _ADAM_EPSILON) -> LocalOptimizer:
    """Returns the optimiser `name`.

    Args:
      name: which.
      adam_epsilon: what Adam adds to the root of the mean square.

    Raises:
      ConfigError: when the name is unknown.
    """
    if name == "sgd":
        return LocalOptimizer("sgd", (), _sgd)
    if name == "adagrad":
        return LocalOptimizer("adagrad", (_ADAGRAD_START,), _adagrad)
    if name == "adam":
        return LocalOptimizer("adam", (0.0, 0.0), functools.partial(_adam, epsilon=adam_epsilon))
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
    weights: tf.Tensor,
    gradient: tf.Tensor,
    slots: Slots,
    step: tf.Tensor,
    rate: tf.Tensor,
    *,
    epsilon: float,
) -> tuple[tf.Tensor, Slots]:
    first = slots[0] + (gradient - slots[0]) * (1.0 - _ADAM_BETA_1)
    second = slots[1] + (gradient * gradient - slots[1]) * (1.0 - _ADAM_BETA_2)
    correction = tf.sqrt(one_minus_power(_ADAM_BETA_2, step)) / one_minus_power(_ADAM_BETA_1, step)
    return weights - rate * correction * first / (tf.sqrt(second) + epsilon), (first, second)


def one_minus_power(base: float, step: tf.Tensor) -> tf.Tensor:
    """`1 - base ** step`, `[...] float32`, by a form in which nothing cancels.

    Subtracting a power near 1 would turn the last bit of `pow`, in which runtimes differ,
    into a relative error of 6e-5 in the first steps of Adam.
    """
    half = tf.tanh(tf.multiply(step, -0.5 * math.log(base)))
    return 2.0 * half / (1.0 + half)
