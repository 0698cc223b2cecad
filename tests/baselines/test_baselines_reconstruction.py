"""FedRecon's local step: half of the positions find the user, the other half trains items."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_models import factorization_model
from ecct_tf.baselines.reconstruction import ReconstructionTraining

# The padding row and three items, an embedding of one number and a bias each; then the user.
START = np.array([[0.0, 0.0, 0.5, 0.1, -1.0, 0.0, 2.0, 0.0, 0.0]], np.float32)


@pytest.fixture(scope="module")
def training():
    model = factorization_model(num_items=3, embedding_dim=1, initial_scale=0.1)
    return ReconstructionTraining(
        model,
        epochs=1,
        batch_size=1,
        learning_rate=0.8,
        embedding_learning_rate=0.5,
        reconstruction_epochs=1,
    )


def run(training, positives, negatives, *, samples=None, start=START):
    positives = np.array(positives, np.int32)
    devices, rows = positives.shape
    data = LocalData(
        samples=np.array(samples or [rows] * devices, np.int32),
        histories=np.zeros((devices, rows, 0), np.int32),
        positives=positives,
        profile=np.zeros((devices, rows, 0), np.int32),
        clock=np.zeros((devices, rows, 0), np.float32),
    )
    computation = tf.function(lambda *parts: training(parts[0], LocalData(*parts[1]), parts[2]))
    final, loss = computation(tf.constant(start), data, tf.constant(negatives, tf.int32))
    return final.numpy(), loss.numpy()


def sigmoid(value):
    return 1.0 / (1.0 + np.exp(-value))


def test_one_step_of_each_half_by_hand(training):
    final, loss = run(training, [[1, 3]], [[[2], [2]]])
    # The user begins at zero, so that biases alone rank; mean over the two candidates.
    user = -0.8 * ((sigmoid(0.1) - 1.0) * 0.5 + sigmoid(0.0) * -1.0) / 2.0
    positive, negative = sigmoid(2.0 * user), sigmoid(-1.0 * user)
    first, second = (positive - 1.0) / 2.0, negative / 2.0
    expected = [
        *(0.0, 0.0, 0.5, 0.1),
        *(-1.0 - 0.5 * second * user, -0.5 * second),
        *(2.0 - 0.5 * first * user, -0.5 * first),
        0.0,
    ]
    np.testing.assert_allclose(final[0], expected, rtol=1e-6)
    np.testing.assert_allclose(loss, [-(np.log(positive) + np.log(1 - negative)) / 2], rtol=1e-6)


def test_one_position_finds_a_user_and_trains_nothing(training):
    final, loss = run(training, [[1]], [[[2]]])
    np.testing.assert_array_equal(final, START)
    assert loss == [0.0]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 50])
def test_a_larger_neighbour_changes_nothing_whatever_the_batch(training, batch_size):
    several = dataclasses.replace(training, batch_size=batch_size, reconstruction_epochs=3)
    alone, loss = run(several, [[1, 3, 1]], [[[2], [2], [3]]])
    both, losses = run(
        several,
        [[1, 3, 1, 0, 0], [2, 2, 1, 3, 2]],
        [[[2], [2], [3], [0], [0]], [[1], [3], [3], [1], [1]]],
        samples=[3, 5],
        start=np.repeat(START, 2, axis=0),
    )
    np.testing.assert_allclose(both[0], alone[0], rtol=1e-6)
    np.testing.assert_allclose(losses[0], loss[0], rtol=1e-6)


def test_what_reaches_the_server_has_no_room_for_users(build_baseline):
    baseline = build_baseline("fedrecon")
    signature = baseline.round.type_signature
    state, _ = (part.member for part in signature.result if part.placement.uri == "server")
    size = (120 + 1) * (3 + 1)
    assert [list(field.shape) for field in state] == [[size], [size], [size], []]


def test_users_are_found_from_zeros_before_each_scoring(
    build_baseline, run_baseline, small_validation
):
    baseline = build_baseline("fedrecon")
    state, _ = run_baseline(baseline, 1)
    assert not state.private.any()
    scores = baseline.scores(state, small_validation)["edge"]
    np.testing.assert_array_equal(scores, baseline.scores(state, small_validation)["edge"])
    table = state.server.shared.reshape(121, 4)
    assert np.abs(scores - table[small_validation.items, 3]).max() > 1e-3
