"""Arithmetic that gives the same bits in every runtime.

A matrix product adds in whatever order its kernel finds fast, and fuses multiplications
with additions or does not; `exp`, `tanh` and even `sqrt` are approximations that differ by
runtime. So two runtimes agree in all but the last bits, and a value next to the middle
between two steps of a codec can fall to either side. Single multiplications, additions,
divisions and roundings, however, are exact up to one rounding that IEEE 754 prescribes.

Within `fixed_order()` the functions of this module are traced so that every rounding is
such a one: sums as a tree of halves, functions as polynomials, and products of matrices cut
into parts of so few bits that their sums are exact in any order (K. Ozaki et al., Numerical
Algorithms 59, 2012). That is slower, and the same on a phone, in an interpreter and in the
simulation, for one device as for a shard of many. What a device sends is computed so.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

__all__ = [
    "exp_of_negative",
    "fixed_order",
    "is_fixed",
    "matmul",
    "root",
    "root_from_one",
    "sum_halves",
    "sum_last",
    "tanh",
]

_FIXED: contextvars.ContextVar[bool] = contextvars.ContextVar("fixed_order", default=False)

_MANTISSA_BITS = 24
# Below it the exponential is nearly the smallest normal float32.
_LOWEST = -87.0
# ln 2 as a number of few bits, whose multiples are exact, and the rest of it.
_LN_2 = (0.693359375, -2.12194440e-4)


@contextlib.contextmanager
def fixed_order(fixed: bool = True) -> Iterator[None]:
    """What is traced within adds in a fixed order, or in a fast one.

    A `tf.function` that was traced before keeps the order that it was traced in: to the forward
    function of an edge model the order is given as an argument, which such a function heeds.
    """
    token = _FIXED.set(fixed)
    try:
        yield
    finally:
        _FIXED.reset(token)


def is_fixed() -> bool:
    """Whether what is traced now adds in a fixed order."""
    return _FIXED.get()


def matmul(
    left: tf.Tensor, right: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """`tf.matmul`.

    Within `fixed_order()` the inner dimension must be static, and each factor is read to 16
    bits below the largest of its row or column, 14 where over 256 products are added.
    """
    if not _FIXED.get():
        return tf.matmul(left, right, transpose_a=transpose_a, transpose_b=transpose_b)
    inner_left, inner_right = (-2 if transpose_a else -1), (-1 if transpose_b else -2)
    # Sums of so many products of so many bits fit into the 24 bits of a float32.
    bits = (_MANTISSA_BITS - _levels(int(left.shape[inner_left]))) // 2
    lefts = tf.concat(_parts(left, axis=inner_left, bits=bits), axis=-3 - inner_left)
    rights = tf.concat(_parts(right, axis=inner_right, bits=bits), axis=-3 - inner_right)
    # All four products of parts as blocks of one. They are cut out before they are added: an
    # addition right behind a product may be fused with it, one behind another be reordered.
    products = tf.matmul(lefts, rights, transpose_a=transpose_a, transpose_b=transpose_b)
    high, low = tf.split(products, 2, axis=-2)
    high, low = tf.split(high + low, 2, axis=-1)
    return high + low


def _parts(values: tf.Tensor, *, axis: int, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """`values` as a sum of two parts, up to what is smaller than both.

    Along `axis` the values of a part are multiples of one number, at most 2 to the `bits` of
    them: adding a much larger number and taking it away again rounds to its last place.
    """
    largest = tf.reduce_max(tf.abs(values), axis=axis, keepdims=True)
    bound = largest * 2.0 ** (_MANTISSA_BITS - bits)
    high = (values + bound) - bound
    bound *= 2.0**-bits
    return high, ((values - high) + bound) - bound


def _levels(size: int) -> int:
    """How often `size` is halved until 1 is left, rounded up."""
    return (size - 1).bit_length()


def sum_last(values: tf.Tensor, *, axis: int = -1, keepdims: bool = False) -> tf.Tensor:
    """`tf.reduce_sum` over one of the last axes, given as a negative number."""
    if not _FIXED.get():
        return tf.reduce_sum(values, axis=axis, keepdims=keepdims)
    return sum_halves(values, axis=axis, keepdims=keepdims)


def sum_halves(values: tf.Tensor, *, axis: int, keepdims: bool = False) -> tf.Tensor:
    """The sum over a static axis, as sums of halves of halves.

    Args:
      values: `[...] float32`.
      axis: a negative number.
      keepdims: whether the axis stays, with size 1.
    """
    size, rank = int(values.shape[axis]), values.shape.rank
    levels = _levels(size)
    if size < 2**levels:
        paddings = np.zeros((rank, 2), np.int32)
        paddings[axis, 1] = 2**levels - size
        values = tf.pad(values, paddings)
    for _ in range(levels):
        first, second = tf.split(values, 2, axis=axis)
        values = first + second
    return values if keepdims else tf.squeeze(values, axis)


def tanh(values: tf.Tensor) -> tf.Tensor:
    """`tf.tanh`; within `fixed_order()` to about 1e-7, absolutely."""
    if not _FIXED.get():
        return tf.tanh(values)
    shrunk = exp_of_negative(-2.0 * tf.abs(values))
    size = (1.0 - shrunk) / (1.0 + shrunk)
    return tf.where(values < 0.0, -size, size)


def exp_of_negative(values: tf.Tensor) -> tf.Tensor:
    """`tf.exp` of values of at most 0; within `fixed_order()` to about 1e-7, relatively.

    There as 2ⁿ times a polynomial of what remains, at most half of ln 2; values below -87
    count as -87.
    """
    if not _FIXED.get():
        return tf.exp(values)
    values = tf.maximum(values, _LOWEST)
    halvings = tf.floor(values * (1.0 / math.log(2.0)) + 0.5)
    rest = (values - halvings * _LN_2[0]) - halvings * _LN_2[1]
    power = tf.ones_like(rest) * (1.0 / math.factorial(7))
    for degree in range(6, -1, -1):
        power = power * rest + 1.0 / math.factorial(degree)
    powers_of_2 = tf.constant(2.0 ** -np.arange(127), tf.float32)
    return power * tf.gather(powers_of_2, tf.cast(-halvings, tf.int32))


def root(values: tf.Tensor) -> tf.Tensor:
    """`tf.sqrt` of values from 1 to 4¹⁵; within `fixed_order()` as `root_from_one` does it."""
    return root_from_one(values) if _FIXED.get() else tf.sqrt(values)


def root_from_one(values: tf.Tensor) -> tf.Tensor:
    """The square root of values from 1 to 4¹⁵, to about 1e-7, relatively; 1 for 1.

    By Heron's method, always with the same bits. LiteRT's `sqrt` rounds a third of all
    numbers otherwise than IEEE 754 prescribes.
    """
    scale = tf.ones_like(values)
    for exponent in (8, 4, 2, 1):
        large = values >= 4.0**exponent
        values = tf.where(large, values * 4.0**-exponent, values)
        scale = tf.where(large, scale * 2.0**exponent, scale)
    root = 0.5 * (1.0 + values)
    for _ in range(4):
        root = 0.5 * (root + values / root)
    return scale * root
