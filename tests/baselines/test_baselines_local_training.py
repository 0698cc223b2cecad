"""Local SGD against hand-computed steps."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.baselines.averaging import AveragingWork
from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_models import score_function_model
from ecct_tf.baselines.local_training import LocalTraining
from ecct_tf.edge.losses import sampled_softmax

# Three items with embeddings of one number; then the score function's kernel and bias.
START = np.array([[0.0, 0.5, -1.0, 2.0, 3.0, 0.25]], np.float32)


@pytest.fixture(scope="module")
def training():
    model = score_function_model(num_items=3, embedding_dim=1, initial_scale=0.1)
    return LocalTraining(
        model, epochs=1, batch_size=1, learning_rate=0.1, embedding_learning_rate=0.5
    )


def shard(positives, samples=None):
    positives = np.array(positives, np.int32)
    devices, rows = positives.shape
    return LocalData(
        samples=np.array(samples or [rows] * devices, np.int32),
        histories=np.zeros((devices, rows, 0), np.int32),
        positives=positives,
        profile=np.zeros((devices, rows, 0), np.int32),
        clock=np.zeros((devices, rows, 0), np.float32),
    )


def run(training, data, negatives, start=START):
    computation = tf.function(lambda *parts: training(parts[0], LocalData(*parts[1]), parts[2]))
    final, loss = computation(tf.constant(start), data, tf.constant(negatives, tf.int32))
    return final.numpy(), loss.numpy()


def sigmoid(value):
    return 1.0 / (1.0 + np.exp(-value))


def test_one_step_by_hand(training):
    final, loss = run(training, shard([[1]]), [[[2]]])
    positive, negative = sigmoid(3.0 * 0.5 + 0.25), sigmoid(3.0 * -1.0 + 0.25)
    # Mean over the two candidates: half of (p - 1) and of p.
    first, second = (positive - 1.0) / 2.0, negative / 2.0
    expected = [
        0.0,
        0.5 - 0.5 * first * 3.0,
        -1.0 - 0.5 * second * 3.0,
        2.0,
        3.0 - 0.1 * (first * 0.5 + second * -1.0),
        0.25 - 0.1 * (first + second),
    ]
    np.testing.assert_allclose(final[0], expected, rtol=1e-6)
    np.testing.assert_allclose(loss, [-(np.log(positive) + np.log(1 - negative)) / 2], rtol=1e-6)


def test_one_step_of_a_loss_by_position_by_hand(training):
    ranking = dataclasses.replace(training, loss=sampled_softmax())
    final, loss = run(ranking, shard([[1]]), [[[2]]])
    # Of two candidates, the softmax's loss is the logistic loss of their difference.
    behind = sigmoid((3.0 * -1.0 + 0.25) - (3.0 * 0.5 + 0.25))
    expected = [
        0.0,
        0.5 + 0.5 * behind * 3.0,
        -1.0 - 0.5 * behind * 3.0,
        2.0,
        3.0 + 0.1 * behind * (0.5 + 1.0),
        0.25,
    ]
    np.testing.assert_allclose(final[0], expected, rtol=1e-5)
    np.testing.assert_allclose(loss, [-np.log(1.0 - behind)], rtol=1e-5)


def test_an_item_that_a_batch_meets_twice_gets_both_gradients(training):
    final, _ = run(training, shard([[1]]), [[[2, 2]]])
    step = 0.5 * 3.0 * 2.0 * sigmoid(-2.75) / 3.0
    np.testing.assert_allclose(final[0, 2], -1.0 - step, rtol=1e-6)


def test_alternating_uses_the_new_score_function_for_the_items(training):
    together, _ = run(training, shard([[1]]), [[[2]]])
    turns, _ = run(dataclasses.replace(training, alternating=True), shard([[1]]), [[[2]]])
    np.testing.assert_array_equal(turns[0, 4:], together[0, 4:])
    kernel, bias = turns[0, 4], turns[0, 5]
    first = (sigmoid(kernel * 0.5 + bias) - 1.0) / 2.0
    np.testing.assert_allclose(turns[0, 1], 0.5 - 0.5 * first * kernel, rtol=1e-6)


def test_padding_and_a_larger_neighbour_change_nothing(training):
    alone, loss = run(training, shard([[1, 3]]), [[[2], [2]]])
    data = shard([[1, 3, 0], [2, 2, 1]], samples=[2, 3])
    both, losses = run(
        dataclasses.replace(training, epochs=1, proximal=0.0),
        data,
        [[[2], [2], [0]], [[1], [3], [3]]],
        start=np.repeat(START, 2, axis=0),
    )
    np.testing.assert_allclose(both[0], alone[0], rtol=1e-6)
    np.testing.assert_allclose(losses[0], loss[0], rtol=1e-6)


def test_a_device_that_is_done_is_not_pulled_either(training):
    pulled = dataclasses.replace(training, epochs=2, proximal=0.7)
    alone, _ = run(pulled, shard([[1, 3]]), [[[2], [2]]])
    both, _ = run(
        pulled,
        shard([[1, 3, 0], [2, 2, 1]], samples=[2, 3]),
        [[[2], [2], [0]], [[1], [3], [3]]],
        start=np.repeat(START, 2, axis=0),
    )
    np.testing.assert_allclose(both[0], alone[0], rtol=1e-6)


def test_fedprox_minimises_the_proximal_step_exactly(training):
    plain, _ = run(training, shard([[1]]), [[[2]]])
    pulled, _ = run(dataclasses.replace(training, proximal=2.0), shard([[1]]), [[[2]]])
    # w = argmin (w - plain)^2 / (2 rate) + mu / 2 (w - start)^2
    rates = np.array([0.5] * 4 + [0.1] * 2)
    expected = (plain[0] / rates + 2.0 * START[0]) / (1.0 / rates + 2.0)
    np.testing.assert_allclose(pulled[0], expected, rtol=1e-6)


def test_a_large_proximal_weight_keeps_the_received_weights(training):
    data, negatives = shard([[1, 3, 2, 1]]), [[[2], [2], [3], [3]]]
    distances = []
    for proximal in (0.0, 1.0, 100.0, 1e6):
        eager = dataclasses.replace(training, epochs=3, proximal=proximal)
        final, _ = run(eager, data, negatives)
        distances.append(np.abs(final - START).max())
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.1
    assert distances[-1] < 1e-4


def test_a_batch_that_no_device_fills_is_as_long_as_the_longest(training):
    data = shard([[1, 3, 2], [2, 2, 0]], samples=[3, 2])
    negatives = [[[2], [2], [1]], [[1], [3], [1]]]
    start = np.tile(START, (2, 1))
    huge, loss = run(dataclasses.replace(training, batch_size=10**6), data, negatives, start)
    exact, expected = run(dataclasses.replace(training, batch_size=3), data, negatives, start)
    np.testing.assert_array_equal(huge, exact)
    np.testing.assert_array_equal(loss, expected)
    assert np.abs(huge - START).max() > 1e-3


def test_weights_that_left_the_finite_numbers_are_in_the_loss(training):
    work = AveragingWork(
        dataclasses.replace(training, learning_rate=np.inf), 4, weights_codec="float32"
    )
    result = work(
        tf.constant(START[0, :4]),
        LocalData(*map(tf.constant, shard([[1, 3]]))),
        tf.constant([[[2], [2]]]),
        tf.constant(START[:, 4:]),
        steps=tf.constant(0),
    )
    assert np.isnan(result.loss)
