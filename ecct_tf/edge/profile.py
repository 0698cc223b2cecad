"""From a device's profile, one row of whole numbers, to what a model reads of it."""

import tensorflow as tf

from ecct_tf.data.numbers import LARGEST_VALUE, STEPS
from ecct_tf.edge.model import EdgeInputs, EdgeSpec

__all__ = ["number_inputs", "with_profile"]


def with_profile(inputs: EdgeInputs, spec: EdgeSpec, *, reads_numbers: bool) -> EdgeInputs:
    """`inputs` with the profile taken apart: categories stay, numbers become values.

    Args:
      inputs: their `profile` is `[..., columns + numbers] int32`, as `ecct_tf.data.profile` has it.
      spec: how many columns and numbers there are.
      reads_numbers: whether the model reads the numbers; when not, they may be missing.
    """
    if not spec.profile_numbers:
        return inputs
    columns = len(spec.profile_sizes)
    rows = inputs.profile
    inputs = inputs._replace(profile=rows[..., :columns])
    if not reads_numbers:
        return inputs
    return inputs._replace(numbers=number_inputs(rows[..., columns:]))


def number_inputs(codes: tf.Tensor) -> tf.Tensor:
    """Values of private numbers, then whether each is known: `[..., 2 n] float32`.

    Multiples of a power of two: the same to the last bit wherever they are computed.

    Args:
      codes: `[..., n] int32`, as `ecct_tf.data.numbers` makes them, 0 for unknown.
    """
    steps = tf.cast(codes, tf.float32)
    known = tf.minimum(steps, 1.0)
    values = (steps * (1.0 / STEPS) - (LARGEST_VALUE + 1.0 / STEPS)) * known
    return tf.concat([values, known], axis=-1)
