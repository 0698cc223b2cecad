"""Types of what stages take and yield: `tf.TensorSpec`, or tuples (named or not) of them."""

from typing import Any

import tensorflow as tf

from ecct_tf.errors import ConfigError

__all__ = ["expect_type", "output_type"]


def output_type(function: Any, *types: Any) -> Any:
    """The type of what a `tf.function` yields."""
    outputs = function.get_concrete_function(*types).structured_outputs
    return tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), outputs)


def expect_type(what: str, got: Any, wanted: Any) -> None:
    """Refuses a result that is not what the next stage takes.

    Raises:
      ConfigError: it names `what`, and both types.
    """
    try:
        compatible = tf.nest.map_structure(
            lambda one, other: one.is_compatible_with(other), wanted, got
        )
        fits = all(tf.nest.flatten(compatible))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ConfigError(f"{what}: expected the type {wanted}, got {got}; the stages do not fit")
