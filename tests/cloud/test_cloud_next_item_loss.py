"""The loss of naming the next item, beside TensorFlow's own."""

import math

import numpy as np
import pytest
import tensorflow as tf

from cloud.next_item_loss import next_item_loss


def plain(users, items, bias, targets):
    logits = tf.matmul(users, items, transpose_b=True) + bias
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))


def derived(loss, users, items, bias, targets, *, factor=1.0):
    """Value and gradients, in a graph as the training has it."""

    @tf.function(autograph=False)
    def compute():
        inputs = [tf.constant(array, tf.float32) for array in (users, items, bias)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = factor * loss(*inputs, tf.constant(targets, tf.int32))
        return value, tape.gradient(value, inputs)

    value, gradients = compute()
    return [found.numpy() for found in (value, *gradients)]


def drawn(rows=7, items=11, width=3, *, scale=1.0):
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((rows, width)),
        scale * rng.standard_normal((items, width)),
        rng.standard_normal(items),
        # Two rows have one target.
        np.append(rng.integers(0, items, rows - 1), 0) * (np.arange(rows) > 0),
    )


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_value_and_gradients_are_those_of_tensorflow(scale):
    ours, theirs = (derived(loss, *drawn(scale=scale)) for loss in (next_item_loss, plain))
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", [0, 1])
def test_logits_that_lie_400_apart(target):
    """Neither overflow nor a logarithm of zero."""
    given = [[1.0]], [[200.0], [-200.0]], [0.0, 0.0], [target]
    value, of_users, of_items, of_bias = derived(next_item_loss, *given)
    assert value == pytest.approx(400.0 * target)
    # All probability lies on item 0; the row's own item is subtracted.
    difference = np.array([1.0, 0.0]) - np.eye(2)[target]
    np.testing.assert_allclose(of_bias, difference, atol=1e-6)
    np.testing.assert_allclose(of_items[:, 0], difference, atol=1e-6)
    np.testing.assert_allclose(of_users, [[400.0 * target]], atol=1e-4)


def test_by_hand():
    """Items at logits 0 and log 3: probabilities 1/4 and 3/4, in each of two rows."""
    given = [[1.0], [1.0]], [[0.0], [math.log(3)]], [0.0, 0.0], [0, 1]
    value, of_users, of_items, of_bias = derived(next_item_loss, *given)
    assert value == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    np.testing.assert_allclose(of_bias, [-0.25, 0.25], atol=1e-6)
    np.testing.assert_allclose(of_items, [[-0.25], [0.25]], atol=1e-6)
    expected = [[0.375 * math.log(3)], [-0.125 * math.log(3)]]
    np.testing.assert_allclose(of_users, expected, atol=1e-6)


def test_what_comes_after_the_loss_scales_the_gradients():
    once, thrice = (derived(next_item_loss, *drawn(), factor=factor) for factor in (1.0, 3.0))
    for one, three in zip(once, thrice, strict=True):
        np.testing.assert_allclose(3.0 * one, three, rtol=1e-5)
