import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import OPTIMIZERS
from ecct_tf.edge import build_optimizer
from ecct_tf.edge.optimizers import one_minus_power
from ecct_tf.errors import ConfigError

LEGACY = tf.keras.optimizers.legacy
KERAS = {"sgd": LEGACY.SGD, "adagrad": LEGACY.Adagrad, "adam": LEGACY.Adam}
START = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], np.float32)  # two devices
GRADIENTS = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
GRADIENTS[2, 0] = 0.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_keras(name):
    ours = build_optimizer(name, adam_epsilon=1e-3)
    reference = KERAS[name](0.1, epsilon=1e-3) if name == "adam" else KERAS[name](0.1)
    variable = tf.Variable(START)
    weights = tf.constant(START)
    slots = ours.initial_slots(weights)
    for index, gradient in enumerate(GRADIENTS):
        reference.apply_gradients([(tf.constant(gradient), variable)])
        weights, slots = ours.apply(
            weights, tf.constant(gradient), slots, tf.constant(index + 1.0), tf.constant(0.1)
        )
        np.testing.assert_allclose(weights, variable, rtol=1e-5, atol=1e-6)
    assert len(slots) == len(ours.slot_starts) == {"sgd": 0, "adagrad": 1, "adam": 2}[name]
    assert not np.allclose(weights, START)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_weight_has_its_own_rate_and_each_device_its_own_step(name):
    optimizer = build_optimizer(name)
    weights, gradient = tf.constant(START), tf.constant(GRADIENTS[0])
    slots = tuple(slot + 0.2 for slot in optimizer.initial_slots(weights))
    rates, steps = np.array([0.1, 0.0, 0.2], np.float32), np.array([[1.0], [4.0]], np.float32)
    together, _ = optimizer.apply(weights, gradient, slots, steps, rates)
    for device in range(2):
        for index in range(3):
            alone, _ = optimizer.apply(
                weights[device, index],
                gradient[device, index],
                tuple(slot[device, index] for slot in slots),
                steps[device, 0],
                rates[index],
            )
            assert together[device, index].numpy() == pytest.approx(alone.numpy(), abs=1e-6)
    np.testing.assert_array_equal(together[:, 1], START[:, 1])  # a rate of zero


def test_adams_correction_loses_no_digits_in_early_steps():
    steps = np.array([1, 2, 30, 1000, 1e6], np.float32)
    for beta in (0.9, 0.999):
        exact = -np.expm1(steps.astype(np.float64) * np.log(beta))
        np.testing.assert_allclose(one_minus_power(beta, tf.constant(steps)), exact, rtol=5e-7)


def test_a_gradient_below_what_rounding_moves_makes_no_step():
    adam = build_optimizer("adam")
    start, rate = tf.zeros([1]), tf.constant(0.1)
    moved, _ = adam.apply(start, tf.constant([1e-9]), adam.initial_slots(start), 1.0, rate)
    assert abs(moved.numpy()[0]) < 1e-6
    moved, _ = adam.apply(start, tf.constant([1.0]), adam.initial_slots(start), 1.0, rate)
    assert moved.numpy()[0] == pytest.approx(-0.1, rel=0.05)


def test_unknown_optimizer():
    with pytest.raises(ConfigError, match=r"'sgd', 'adagrad', 'adam'.*'newton'"):
        build_optimizer("newton")
