"""Sums in a fixed order have the same bits however they are computed."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ecct_tf.fixed_order import (
    exp_of_negative,
    fixed_order,
    matmul,
    root_from_one,
    sum_halves,
    sum_last,
    tanh,
)


def by_halves(values):
    """The sum over the first axis, as NumPy adds single numbers."""
    size = 1 << (len(values) - 1).bit_length()
    values = np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), "f4")])
    while len(values) > 1:
        values = values[: len(values) // 2] + values[len(values) // 2 :]
    return values[0]


def numbers(*shape, seed=0):
    # Many orders of magnitude: any other order of the sum has other bits.
    rng = np.random.default_rng([seed, *shape])
    return (rng.normal(size=shape) * 10.0 ** rng.uniform(-4, 4, shape)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 3, 16, 60])
def test_a_sum_is_one_of_halves(size):
    values = numbers(size, 5)
    expected = by_halves(values)
    assert sum_halves(tf.constant(values), axis=-2).numpy().tobytes() == expected.tobytes()
    kept = sum_halves(tf.constant(values.T), axis=-1, keepdims=True)
    assert kept.shape == (5, 1)
    assert kept.numpy().tobytes() == expected.tobytes()
    if size == 60:
        assert expected.tobytes() != values.sum(axis=0).tobytes()


def parts(values, axis, bits):
    """What a factor is cut into, in single operations of NumPy."""
    bound = np.abs(values).max(axis=axis, keepdims=True) * np.float32(2.0 ** (24 - bits))
    high = (values + bound) - bound
    bound = bound * np.float32(2.0**-bits)
    return high, ((values - high) + bound) - bound


def exact(left, right):
    """The product of two parts: float64 holds every sum of theirs."""
    found = left.astype(np.float64) @ right.astype(np.float64)
    assert (found == found.astype(np.float32)).all()
    return found.astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 260), st.integers(1, 4), st.booleans(), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
def test_products_are_sums_without_rounding_alone_or_in_a_shard(
    rows, inner, columns, left_t, right_t, seed
):
    left, right = numbers(3, rows, inner, seed=seed), numbers(3, inner, columns, seed=seed + 1)
    bits = (24 - (inner - 1).bit_length()) // 2
    high, low = parts(left, 2, bits)
    other_high, other_low = parts(right, 1, bits)
    expected = exact(high, other_high) + exact(low, other_high)
    expected += exact(high, other_low) + exact(low, other_low)
    given_left = tf.constant(np.swapaxes(left, 1, 2) if left_t else left)
    given_right = tf.constant(np.swapaxes(right, 1, 2) if right_t else right)
    transposed = {"transpose_a": left_t, "transpose_b": right_t}
    with fixed_order():
        # A graph, whose optimiser must not put the sums into another order.
        shard = tf.function(matmul)(given_left, given_right, **transposed).numpy()
        alone = [matmul(given_left[i], given_right[i], **transposed).numpy() for i in range(3)]
    assert shard.tobytes() == expected.tobytes()
    assert np.stack(alone).tobytes() == expected.tobytes()
    largest = np.abs(left).max(2, keepdims=True) * np.abs(right).max(1, keepdims=True)
    assert (np.abs(shard - left @ right) <= inner * 2.0**-15 * largest).all()


def test_products_with_zeros_and_of_one_term():
    with fixed_order():
        assert matmul(tf.zeros([2, 5]), tf.ones([5, 1])).numpy().tolist() == [[0.0], [0.0]]
        assert matmul(tf.constant([[3.0]]), tf.constant([[-0.5]])).numpy().tolist() == [[-1.5]]


def test_exp_and_tanh_are_near_the_true_ones():
    values = np.concatenate([-np.logspace(-6, 1.93, 4000), [-0.0, -87.0]]).astype(np.float32)
    with fixed_order():
        found = exp_of_negative(tf.constant(values)).numpy()
        far = exp_of_negative(tf.constant([-88.0, -1e30, -np.inf])).numpy()
        wide = np.linspace(-12, 12, 4001).astype(np.float32)
        curved = tanh(tf.constant(wide)).numpy()
        ends = tanh(tf.constant([-np.inf, -100.0, 0.0, 100.0, np.inf])).numpy()
    np.testing.assert_allclose(found, np.exp(values.astype(np.float64)), rtol=2.5e-7)
    assert (far < 2e-38).all()
    np.testing.assert_allclose(curved, np.tanh(wide.astype(np.float64)), rtol=0, atol=1.5e-7)
    assert ends.tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]


def test_roots_are_near_the_true_ones():
    values = np.concatenate([[1.0], np.logspace(0, 9, 5000)]).astype(np.float32)
    found = root_from_one(tf.constant(values)).numpy()
    np.testing.assert_allclose(found, np.sqrt(values.astype(np.float64)), rtol=2.5e-7)
    assert found[0] == 1.0


def test_outside_nothing_changes():
    values = tf.constant(numbers(7, 60))
    assert sum_last(values).numpy().tobytes() == tf.reduce_sum(values, -1).numpy().tobytes()
    assert tanh(values).numpy().tobytes() == tf.tanh(values).numpy().tobytes()
    negative = -tf.abs(values)
    assert exp_of_negative(negative).numpy().tobytes() == tf.exp(negative).numpy().tobytes()
    with fixed_order():
        pass
    product = matmul(values, values, transpose_b=True)
    assert (
        product.numpy().tobytes() == tf.matmul(values, values, transpose_b=True).numpy().tobytes()
    )
