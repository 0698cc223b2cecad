"""Each primitive against plain TensorFlow operators: its values and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import arithmetic
from ecct_tf.edge.primitives import (
    add_row,
    attend,
    concat,
    dense,
    embed,
    relu,
    row_dot,
    spread,
    tanh,
    unpack,
)
from ecct_tf.errors import ConfigError
from ecct_tf.fixed_order import fixed_order


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def values_and_gradients(function, arguments):
    """Outputs, and the gradient of a fixed random functional of them for each argument."""
    tensors = [tf.constant(argument) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = tf.nest.flatten(function(*tensors))
        total = tf.add_n([tf.reduce_sum(out * normal(*out.shape, seed=7)) for out in outputs])
    return outputs, [tf.convert_to_tensor(part) for part in tape.gradient(total, tensors)]


def check(ours, plain, arguments, *, trainable=None):
    """Asserts that `ours` equals `plain` in its values and in its first gradients."""
    got, got_gradients = values_and_gradients(ours, arguments)
    expected, expected_gradients = values_and_gradients(plain, arguments)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for one, other in list(zip(got_gradients, expected_gradients, strict=True))[:trainable]:
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def plain_attend(scores, values, mask):
    weights = tf.nn.softmax(tf.where(mask > 0, scores, -1e9), axis=-2)
    return tf.einsum("...lk,...lv->...kv", weights, values)


def plain_norm(values):
    mean, variance = tf.nn.moments(values, axes=[-1], keepdims=True)
    return (values - mean) / tf.sqrt(variance + 1e-3)


MASK = np.array([1.0, 0.0, 1.0, 1.0], np.float32)[:, None]
# Name -> (ours, plain, shapes of one device's arguments, how many of them are trainable).
CASES = {
    "dense": (
        dense,
        lambda x, w, b: tf.einsum("...bi,...io->...bo", x, w) + tf.expand_dims(b, -2),
        [(3, 4), (4, 2), (2,)],
        None,
    ),
    "relu": (relu, tf.nn.relu, [(3, 4)], None),
    "tanh": (tanh, tf.math.tanh, [(3, 4)], None),
    "row_dot": (
        row_dot,
        lambda x, w, b: tf.reduce_sum(x * tf.expand_dims(w, -2), axis=-1) + b,
        [(3, 4), (4,), (1,)],
        None,
    ),
    "spread": (
        lambda row: spread(row, tf.zeros([*row.shape[:-2], 3, 2])),
        lambda row: tf.repeat(row, 3, axis=-2),
        [(1, 4)],
        None,
    ),
    "concat": (
        lambda *parts: concat(parts),
        lambda *parts: tf.concat(parts, -1),
        [(3, 4), (3, 1), (3, 2)],
        None,
    ),
    "unpack": (
        lambda flat: unpack(flat, [(2, 2), (3,)]),
        lambda flat: [tf.reshape(flat[..., :4], [*flat.shape[:-1], 2, 2]), flat[..., 4:]],
        [(7,)],
        None,
    ),
    "attend": (
        lambda scores, values: attend(scores, values, tf.zeros_like(values[..., :1]) + MASK),
        lambda scores, values: plain_attend(scores, values, tf.zeros_like(values[..., :1]) + MASK),
        [(4, 2), (4, 3)],
        None,
    ),
    "add_row": (add_row, lambda x, r: x + tf.expand_dims(r, -2), [(3, 4), (4,)], None),
    "add": (arithmetic.add, tf.add, [(3, 4), (3, 4)], None),
    "subtract": (arithmetic.subtract, tf.subtract, [(3, 4), (3, 4)], None),
    "multiply": (arithmetic.multiply, tf.multiply, [(3, 4), (3, 4)], None),
    "blend": (
        arithmetic.blend,
        lambda gate, new, old: gate * new + (1.0 - gate) * old,
        [(3, 4)] * 3,
        None,
    ),
    "blend by a mask": (
        lambda new, old: arithmetic.blend(tf.ones_like(new[..., :1]) * MASK, new, old),
        lambda new, old: tf.where(MASK > 0, new, old),
        [(4, 3)] * 2,
        None,
    ),
    "sigmoid": (arithmetic.sigmoid, tf.sigmoid, [(3, 4)], None),
    "softmax": (arithmetic.softmax, tf.nn.softmax, [(3, 4)], None),
    "product_sum": (
        arithmetic.product_sum,
        lambda x, y: tf.reduce_sum(x * y, axis=-1, keepdims=True),
        [(3, 4), (3, 4)],
        None,
    ),
    "layer_norm": (
        arithmetic.layer_norm,
        lambda x, scale, offset: plain_norm(x) * scale[..., None, :] + offset[..., None, :],
        [(3, 4), (4,), (4,)],
        None,
    ),
    "masked_sum": (
        lambda values: arithmetic.masked_sum(values, tf.zeros_like(values[..., :1]) + MASK),
        lambda values: tf.reduce_sum(values * MASK, axis=-2),
        [(4, 3)],
        None,
    ),
    "masked_mean": (
        lambda values: arithmetic.masked_mean(values, tf.zeros_like(values[..., :1]) + MASK),
        lambda values: tf.reduce_sum(values * MASK, axis=-2) / 3.0,
        [(4, 3)],
        None,
    ),
    "newest_slots": (
        lambda values: arithmetic.newest_slots(values, 2),
        lambda values: values[..., -2:, :],
        [(4, 3)],
        None,
    ),
    "split": (
        lambda values: arithmetic.split(values, [1, 3]),
        lambda values: tf.split(values, [1, 3], axis=-1),
        [(2, 4)],
        None,
    ),
    "unstack_slots": (
        arithmetic.unstack_slots,
        lambda values: tf.unstack(values, axis=-2),
        [(4, 3)],
        None,
    ),
}


@pytest.mark.parametrize("devices", [(), (3,)], ids=["one", "stacked"])
@pytest.mark.parametrize("name", CASES)
def test_equals_plain_operators(name, devices):
    ours, plain, shapes, trainable = CASES[name]
    arguments = [normal(*devices, *shape, seed=index) for index, shape in enumerate(shapes)]
    check(ours, plain, arguments, trainable=trainable)


@pytest.mark.parametrize("name", CASES)
def test_stacked_equals_each_device(name):
    ours, _, shapes, trainable = CASES[name]
    arguments = [normal(3, *shape, seed=index) for index, shape in enumerate(shapes)]
    stacked, stacked_gradients = values_and_gradients(ours, arguments)
    upstream = [normal(*out.shape, seed=7) for out in stacked]
    for device in range(3):
        own = [tf.constant(argument[device]) for argument in arguments]
        with tf.GradientTape() as tape:
            tape.watch(own)
            outputs = tf.nest.flatten(ours(*own))
        gradients = tape.gradient(outputs, own, [part[device] for part in upstream])
        for one, other in zip(stacked, outputs, strict=True):
            np.testing.assert_allclose(one[device], other, rtol=1e-6, atol=1e-6)
        for one, other in list(zip(stacked_gradients, gradients, strict=True))[:trainable]:
            np.testing.assert_allclose(one[device], other, rtol=1e-6, atol=1e-6)


def test_dense_by_hand():
    arguments = [tf.constant([[1.0, 2.0]]), tf.constant([[3.0], [4.0]]), tf.constant([1.0])]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        outputs = dense(*arguments)
    assert outputs.numpy().tolist() == [[12.0]]
    gradients = [part.numpy().tolist() for part in tape.gradient(outputs, arguments)]
    assert gradients == [[[3.0, 4.0]], [[1.0], [2.0]], [1.0]]


@pytest.mark.parametrize("devices", [(), (3,)], ids=["one", "stacked"])
def test_embed_equals_gather(devices):
    ids = np.array([2, 0, 2, 1], np.int32)
    ids = np.stack([(ids + shift) % 3 for shift in range(3)]) if devices else ids
    check(
        lambda table: embed(table, tf.constant(ids), rows=3),
        lambda table: tf.gather(table, ids, batch_dims=len(devices)),
        [normal(*devices, 3, 2)],
    )


def test_relu_at_zero_has_no_gradient():
    inputs = tf.constant([-1.0, 0.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = relu(inputs)
    assert outputs.numpy().tolist() == [0.0, 0.0, 2.0]
    assert tape.gradient(outputs, inputs).numpy().tolist() == [0.0, 0.0, 1.0]


def test_attend_without_history_gives_zeros_and_finite_gradients():
    mask = np.ones((2, 4, 1), np.float32)
    mask[0] = 0.0
    scores = np.full((2, 4, 2), 50.0, np.float32)  # arbitrary where padded
    outputs, gradients = values_and_gradients(
        lambda s, v: attend(s, v, tf.constant(mask)), [scores, normal(2, 4, 3)]
    )
    assert (outputs[0][0].numpy() == 0.0).all()
    assert (gradients[0][0].numpy() == 0.0).all()
    np.testing.assert_allclose(
        outputs[0][1], np.tile(normal(2, 4, 3)[1].mean(axis=0), (2, 1)), rtol=1e-5, atol=1e-6
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_attend_ignores_the_scores_of_padding():
    mask = tf.constant([[0.0], [1.0], [1.0]])
    values = normal(3, 2) * mask.numpy()
    scores = normal(3, 1)
    loud = scores.copy()
    loud[0] = 1e8
    quiet = attend(tf.constant(scores), tf.constant(values), mask)
    np.testing.assert_allclose(attend(tf.constant(loud), tf.constant(values), mask), quiet)


def test_attend_where_padding_would_outweigh_all_real_scores():
    mask = tf.constant([[0.0], [1.0], [1.0]])
    scores = tf.constant([[0.0], [-300.0], [-300.0]])
    values = tf.constant([[0.0], [1.0], [3.0]])
    assert attend(scores, values, mask).numpy().tolist() == [[2.0]]


def test_attend_does_not_teach_the_mask():
    _, gradients = values_and_gradients(attend, [normal(4, 2), normal(4, 3), MASK])
    assert np.abs(gradients[0]).max() > 0
    assert not gradients[2].numpy().any()


@pytest.mark.parametrize("devices", [(), (3,)], ids=["one", "stacked"])
def test_unpack_round_trip(devices):
    shapes = [(2, 3), (4,), (1,)]
    flat = normal(*devices, 11)
    parts = unpack(tf.constant(flat), shapes)
    assert [tuple(part.shape) for part in parts] == [(*devices, *shape) for shape in shapes]
    joined = np.concatenate([part.numpy().reshape(*devices, -1) for part in parts], axis=-1)
    np.testing.assert_array_equal(joined, flat)


def test_two_shapes_do_not_meet_unnoticed():
    """TensorFlow would broadcast, with a gradient that phones lack."""
    for function in (arithmetic.add, arithmetic.subtract, arithmetic.multiply):
        with pytest.raises(ConfigError, match=r"one shape, got \(3, 4\) and \(3, 1\)"):
            function(tf.zeros([3, 4]), tf.zeros([3, 1]))
    with pytest.raises(ConfigError, match="one shape"):
        arithmetic.multiply(tf.zeros([2, 3, 4]), tf.zeros([3, 4]))


@pytest.mark.parametrize("name", ["sigmoid", "softmax", "layer_norm"])
def test_in_a_fixed_order_they_are_the_same_functions(name):
    ours, _, shapes, _ = CASES[name]
    arguments = [
        tf.constant(30.0 * normal(*shape, seed=index)) for index, shape in enumerate(shapes)
    ]
    with fixed_order():
        fixed = ours(*arguments)
    np.testing.assert_allclose(fixed, ours(*arguments), rtol=2e-6, atol=2e-7)
