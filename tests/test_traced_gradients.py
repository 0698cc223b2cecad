"""Custom gradients end with their graphs, and work until then."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.traced_gradients import loosen_gradients

FACTOR = np.float32(5)
SPEC = tf.TensorSpec([2], tf.float32)


@tf.custom_gradient
def tripled(values):
    """Whose gradient is not that of its value, so that a test sees which one is taken."""
    return 3 * values, lambda upstream: 7 * upstream


def plain(captured):
    return tf.function(lambda values: tripled(values) * captured)


def nested(captured):
    inner = tf.function(lambda values: tripled(values) * captured)
    return tf.function(lambda values: inner(values))


def repeated(captured):
    def once(step, values):
        return step + 1, tripled(values) / 3 * captured

    def loop(values):
        return tf.while_loop(lambda step, _: step < 1, once, (tf.constant(0), values))[1] * 3

    return tf.function(loop)


@pytest.mark.parametrize("make", [plain, nested, repeated])
def test_a_graph_that_nobody_uses_is_freed_with_all_that_it_captured(make):
    captured = tf.fill([2], FACTOR)
    data = weakref.ref(captured)
    traced = make(captured)
    graph = weakref.ref(traced.get_concrete_function(SPEC).graph)
    del captured
    loosen_gradients()
    gc.collect()
    assert graph() is not None
    assert data() is not None
    del traced
    gc.collect()
    assert graph() is None
    assert data() is None


@pytest.mark.parametrize("make", [plain, nested, repeated])
@pytest.mark.parametrize("before", ["traced", "differentiated"])
def test_a_graph_in_use_is_differentiated_as_before(make, before):
    values = tf.constant([1.0, 2.0])
    traced = make(tf.fill([2], FACTOR))

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(values)
            result = traced(values)
        np.testing.assert_array_equal(result, 3 * FACTOR * values)
        return tape.gradient(result, values)

    if before == "traced":
        traced.get_concrete_function(SPEC)
    else:
        gradient()
    for _ in range(2):
        loosen_gradients()
        gc.collect()
    np.testing.assert_array_equal(gradient(), np.full(2, 7 * FACTOR))


def test_graphs_that_are_freed_while_gradients_are_tied_to_theirs():
    """The collector takes gradients out of the register that is gone through just then."""
    threshold = gc.get_threshold()
    gc.disable()
    try:
        traced = [plain(tf.fill([2], FACTOR)) for _ in range(3)]
        graphs = [weakref.ref(each.get_concrete_function(SPEC).graph) for each in traced]
        loosen_gradients()
        # Without spare pairs each new one counts as an object.
        pairs = [(number, number) for number in range(5000)]
        # What is in use becomes older, so that the next collection, after 200 objects, frees it.
        gc.collect(0)
        traced.clear()
        gc.set_threshold(200, 0, 1000)
        gc.enable()
        loosen_gradients()
        gc.collect()
        assert all(graph() is None for graph in graphs)
        assert pairs
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
