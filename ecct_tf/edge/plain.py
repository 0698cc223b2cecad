"""Plain arithmetic in custom models and losses: `a * b`, with a gradient for phones.

TensorFlow's gradient of a product asks at run time which axes were broadcast, with an operator that
phones lack. Here the shapes decide while the graph is built: an axis of size 1 beside another was
broadcast; two open axes are the same one, the rows or the devices.

Products, sums, differences and quotients of single numbers are exact up to one rounding in every
runtime, so that what a device sends stays equal to the last bit with them.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import tensorflow as tf

from ecct_tf.edge.places import of_the_library
from ecct_tf.errors import ConfigError

__all__ = ["PLAIN", "broadcast_fault", "phone_gradient"]

P = ParamSpec("P")
R = TypeVar("R")

_PREFIX = "EcctPhone"

PLAIN = {
    "Add": "a + b",
    "AddV2": "a + b",
    "Sub": "a - b",
    "Mul": "a * b",
    "RealDiv": "a / b",
    "SquaredDifference": "tf.math.squared_difference",
}
"""Operators of two tensors whose plain form is allowed, as they are written."""


def phone_gradient(function: Callable[P, R]) -> Callable[P, R]:
    """`function` with gradients of plain arithmetic that phones can compute.

    Args:
      function: of a tensor, whose gradient counts, and of whatever else; it returns a tensor, or a
        named tuple of tensors. Anything else is passed through, for its caller to refuse.

    Returns:
      A function of the same arguments. Its gradient is that of the first alone. Executed eagerly,
      nothing is different: no phone does so.
    """
    plain: Callable[..., Any] = function

    @functools.wraps(function)
    def call(trained: tf.Tensor, *given: Any) -> Any:
        if tf.executing_eagerly():
            return plain(trained, *given)
        graph, own = tf.compat.v1.get_default_graph(), tf.identity(trained)
        before = len(graph.get_operations())
        with graph.gradient_override_map({kind: f"{_PREFIX}{kind}" for kind in PLAIN}):
            found = plain(own, *given)
        made = graph.get_operations()[before:]
        if not any(each.type in PLAIN and not of_the_library(each) for each in made):
            return found
        if tf.is_tensor(found):
            return _bridge(trained, own, found)
        if isinstance(found, tuple) and hasattr(found, "_fields"):
            # One by one: no gradient flows through an answer that nobody asks.
            return type(found)(
                *(_bridge(trained, own, each) if tf.is_tensor(each) else each for each in found)
            )
        return found

    return cast("Callable[P, R]", call)


def _bridge(trained: tf.Tensor, own: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """`found`, a function of `own`, as one of `trained`, by the gradients that were overridden.

    A tape looks gradients up by the operators' names alone; `tf.gradients` heeds what was
    overridden.
    """

    @tf.custom_gradient
    def joined(_: tf.Tensor) -> Any:
        return found, lambda upstream: tf.gradients([found], [own], [upstream])[0]

    return joined(trained)


def broadcast_fault(operation: tf.Operation) -> str | None:
    """What keeps the shapes of a plain operator from meaning the same alone and in a stack.

    Args:
      operation: traced with open rows; in a stack with open devices too.

    Returns:
      In words with the way out; None where nothing does.
    """
    if operation.type not in PLAIN or operation.outputs[0].dtype != tf.float32:
        return None
    left, right = (tensor.shape for tensor in operation.inputs)
    if left.rank is None or right.rank is None:
        return None
    told = f"{PLAIN[operation.type]} of the shapes {left} and {right}"
    small, large = sorted((left, right), key=lambda shape: int(shape.rank))
    if small.rank < large.rank and None in small.as_list():
        return (
            f"{told}: the axis of devices or rows would meet another one; give both the same "
            "number of axes first, with tf.expand_dims(row, -2), or use add_row"
        )
    for one, other in zip(reversed(small.as_list()), reversed(large.as_list()), strict=False):
        if (one is None) != (other is None) and 1 not in (one, other):
            return (
                f"{told}: any number of rows meets a fixed number of them; build no tensor of a "
                "fixed number of rows"
            )
    return None


def _fitted(gradient: tf.Tensor, like: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """`gradient`, of what `like` and `other` were broadcast to, summed to the shape of `like`."""
    if like.shape.rank is None or other.shape.rank is None:
        raise ConfigError(
            "plain arithmetic of tensors: expected a known number of axes, got "
            f"{like.shape} and {other.shape}; tf.ensure_shape tells it"
        )
    missing = max(other.shape.rank - like.shape.rank, 0)
    if missing:
        gradient = tf.reduce_sum(gradient, axis=list(range(missing)))
    own = like.shape.as_list()
    beside = other.shape.as_list()[missing:]
    beside = [1] * (len(own) - len(beside)) + beside
    repeated = [k for k, one in enumerate(own) if one == 1 and beside[k] != 1]
    return tf.reduce_sum(gradient, axis=repeated, keepdims=True) if repeated else gradient


def _register(kind: str, slopes: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any]) -> None:
    def gradient(operation: tf.Operation | None, upstream: tf.Tensor, *operands: tf.Tensor) -> Any:
        if operation is None:
            # A SavedModel traces all gradients for themselves, of which nothing here asks for one.
            return upstream, *operands
        left, right = operation.inputs
        of_left, of_right = slopes(upstream, left, right)
        return _fitted(of_left, left, right), _fitted(of_right, right, left)

    tf.RegisterGradient(f"{_PREFIX}{kind}")(gradient)


def _of_difference(upstream: tf.Tensor, left: tf.Tensor, right: tf.Tensor) -> Any:
    slope = 2.0 * upstream * (left - right)
    return slope, -slope


for _name in ("Add", "AddV2"):
    _register(_name, lambda up, *_: (up, up))
_register("Sub", lambda up, *_: (up, -up))
_register("Mul", lambda up, left, right: (up * right, up * left))
_register("RealDiv", lambda up, left, right: (up / right, -up * left / right / right))
_register("SquaredDifference", _of_difference)
