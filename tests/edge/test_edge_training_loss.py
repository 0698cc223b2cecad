import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import collaborative_loss
from ecct_tf.knowledge import binary_cross_entropy, distillation

LOGITS = np.array([[0.5, -2.0, 30.0], [3.0, 0.0, -0.1]], np.float32)  # two devices
LABELS = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], np.float32)
TEACHER = np.array([[2.0, -1.0, 4.0], [-3.0, 0.3, 0.0]], np.float32)
WEIGHTS = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], np.float32)


def loss_and_gradient(logits=LOGITS, *, weights=WEIGHTS, teacher=TEACHER, weight=0.7, t=3.0):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = collaborative_loss(
            logits,
            labels=tf.constant(LABELS),
            teacher=tf.constant(teacher),
            weights=tf.constant(weights),
            distillation_weight=weight,
            temperature=t,
        )
        total = tf.reduce_sum(losses)
    return losses.numpy(), tape.gradient(total, logits).numpy()


def plain(logits, *, weight, t):
    """The same loss from TensorFlow's own cross-entropy, differentiated automatically."""
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    with tf.GradientTape() as tape:
        tape.watch(logits)
        each = entropy(labels=LABELS, logits=logits)
        each += weight * t**2 * entropy(labels=tf.sigmoid(TEACHER / t), logits=logits / t)
        losses = tf.reduce_sum(each * WEIGHTS, axis=-1) / WEIGHTS.sum(axis=-1)
        total = tf.reduce_sum(losses)
    return losses.numpy(), tape.gradient(total, logits).numpy()


@pytest.mark.parametrize("t", [1.0, 3.0])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_equals_automatic_differentiation(weight, t):
    losses, gradient = loss_and_gradient(weight=weight, t=t)
    expected_losses, expected_gradient = plain(tf.constant(LOGITS), weight=weight, t=t)
    assert losses.shape == (2,)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


def test_one_device_equals_its_row_of_a_stack():
    logits = tf.constant(LOGITS[1])
    alone = collaborative_loss(
        logits,
        labels=LABELS[1],
        teacher=TEACHER[1],
        weights=WEIGHTS[1],
        distillation_weight=0.7,
        temperature=3.0,
    )
    assert alone.shape == ()
    np.testing.assert_allclose(alone, loss_and_gradient()[0][1], rtol=1e-6)


def test_binary_cross_entropy_by_hand():
    found = binary_cross_entropy(tf.constant([0.0, 0.0, 2.0, 2.0]), tf.constant([0.0, 0.5, 1, 0]))
    tail = np.log1p(np.exp(-2.0))
    np.testing.assert_allclose(found, [np.log(2), np.log(2), tail, 2 + tail], rtol=1e-6)


def test_binary_cross_entropy_is_stable():
    found = binary_cross_entropy(tf.constant([1e4, -1e4, 1e4]), tf.constant([1.0, 0.0, 0.0]))
    assert found.numpy().tolist() == [0.0, 0.0, 1e4]


def test_temperature_one_is_cross_entropy_with_the_teacher():
    found = distillation(tf.constant(LOGITS), tf.constant(TEACHER), temperature=1.0)
    expected = binary_cross_entropy(tf.constant(LOGITS), tf.sigmoid(TEACHER))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_at_high_temperature_logits_are_matched():
    # As T grows, T * (sigmoid(z / T) - sigmoid(v / T)) tends to (z - v) / 4.
    logits, teacher = tf.constant([1.0, -2.0]), tf.constant([3.0, 0.5])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(distillation(logits, teacher, temperature=100.0))
    np.testing.assert_allclose(tape.gradient(total, logits), [-0.5, -0.625], rtol=1e-2)


def test_a_student_that_agrees_with_its_teacher_is_at_rest():
    with_teacher = loss_and_gradient(teacher=LOGITS, weight=5.0)[1]
    np.testing.assert_allclose(with_teacher, loss_and_gradient(weight=0.0)[1], atol=1e-6)


def test_padding_counts_for_nothing():
    changed = LOGITS.copy()
    changed[0, 2] = -77.0  # weight 0
    losses, gradient = loss_and_gradient(changed)
    np.testing.assert_allclose(losses, loss_and_gradient()[0], rtol=1e-6)
    assert gradient[0, 2] == 0.0
    assert gradient[0, :2].all()


def test_a_batch_of_padding_only():
    weights = WEIGHTS.copy()
    weights[0] = 0.0
    losses, gradient = loss_and_gradient(weights=weights)
    assert losses[0] == 0.0
    assert not gradient[0].any()
    np.testing.assert_allclose(losses[1], loss_and_gradient()[0][1], rtol=1e-6)


def test_only_the_student_learns():
    others = [tf.constant(part) for part in (LABELS, TEACHER, WEIGHTS)]
    with tf.GradientTape() as tape:
        tape.watch(others)
        losses = collaborative_loss(
            tf.constant(LOGITS),
            labels=others[0],
            teacher=others[1],
            weights=others[2],
            distillation_weight=1.0,
            temperature=2.0,
        )
    assert tape.gradient(losses, others) == [None, None, None]


def test_no_distillation_ignores_the_teacher():
    found = loss_and_gradient(teacher=np.full_like(TEACHER, np.nan), weight=0.0)
    for one, other in zip(found, loss_and_gradient(weight=0.0), strict=True):
        np.testing.assert_array_equal(one, other)
