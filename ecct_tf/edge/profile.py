"""From a device's profile, one row of whole numbers, to what a model reads of it."""

from collections.abc import Collection, Sequence

import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.data.numbers import LARGEST_VALUE, STEPS
from ecct_tf.edge.model import EdgeInputs, EdgeSpec

__all__ = ["number_inputs", "set_inputs", "with_profile"]


def with_profile(inputs: EdgeInputs, spec: EdgeSpec, *, reads: Collection[str]) -> EdgeInputs:
    """`inputs` with the profile taken apart: categories stay, numbers and sets become values.

    Args:
      inputs: their `profile` is `[..., columns + numbers + V] int32`, as `ecct_tf.data.profile` has
        it.
      spec: how many columns, numbers and values of sets there are.
      reads: what the model reads, `numbers` and `sets` among it; what it does not may be missing.
    """
    numbers, width = spec.profile_numbers, sum(spec.profile_sets)
    if not (numbers or width):
        return inputs
    columns, rows = len(spec.profile_sizes), inputs.profile
    inputs = inputs._replace(profile=rows[..., :columns])
    if numbers and "numbers" in reads:
        codes = rows[..., columns : columns + numbers] if width else rows[..., columns:]
        inputs = inputs._replace(numbers=number_inputs(codes))
    if width and "sets" in reads:
        inputs = inputs._replace(sets=set_inputs(rows[..., -width:], spec.profile_sets))
    return inputs


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


def set_inputs(codes: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """Of each set, 1/k for each of its k values that a user has, else 0: `[..., V] float32`.

    A product with a table of embeddings is then their mean, and zero where nothing is known.

    Args:
      codes: `[..., V] int32`, 1 for each value that the user has; all sets in a row.
      sizes: how many values each set has.
    """
    held = tf.split(tf.cast(codes, tf.float32), list(sizes), axis=-1)
    # Sums of ones are exact in any order, but a runtime's own sum may not be the fixed one.
    counts = [fixed_order.sum_last(part, keepdims=True) for part in held]
    return tf.concat(
        [part / tf.maximum(count, 1.0) for part, count in zip(held, counts, strict=True)], axis=-1
    )
