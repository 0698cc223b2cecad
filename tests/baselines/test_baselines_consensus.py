"""FedMD: the server averages logits of public items, and a device's model stays on it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.baselines.consensus import ConsensusWork, draw_public_items
from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_models import factorization_model
from ecct_tf.baselines.local_training import LocalTraining

# The padding row and three items, an embedding of one number and a bias each; then the user.
START = np.array([[0.0, 0.0, 0.5, 0.1, -1.0, 0.0, 2.0, 0.0, 3.0]], np.float32)
# Of the items 1 and 3: 0.5 * 3 + 0.1 and 2 * 3.
LOGITS = [1.6, 6.0]


@pytest.fixture(scope="module")
def work():
    model = factorization_model(num_items=3, embedding_dim=1, initial_scale=0.1)
    training = LocalTraining(
        model, epochs=1, batch_size=1, learning_rate=0.5, embedding_learning_rate=0.5
    )
    return ConsensusWork(
        training,
        2,
        "float32",
        weighting="devices",
        public_items=(1, 3),
        digest_rate=0.5,
    )


def data(positives, samples):
    positives = np.array(positives, np.int32)
    devices, rows = positives.shape
    nothing = (devices, rows, 0)
    return LocalData(
        samples=tf.constant(samples),
        histories=tf.zeros(nothing, tf.int32),
        positives=tf.constant(positives),
        profile=tf.zeros(nothing, tf.int32),
        clock=tf.zeros(nothing),
    )


def test_one_step_towards_the_consensus_by_hand(work):
    digested = work.digest(tf.constant(START), tf.constant([0.6, 8.0]), data([[1]], [1])).numpy()
    away = [1.6 - 0.6, 6.0 - 8.0]
    expected = [0.0, 0.0, 0.5, 0.1 - 0.5 * away[0], -1.0, 0.0, 2.0, -0.5 * away[1], 3.0]
    np.testing.assert_allclose(digested[0], expected, rtol=1e-6)


def test_a_rate_of_one_goes_all_the_way(work):
    whole = dataclasses.replace(work, digest_rate=1.0)
    own = data([[1]], [1])
    digested = whole.digest(tf.constant(START), tf.constant([0.6, 8.0]), own)
    np.testing.assert_allclose(work.answers(tf.constant(START), own)[0], LOGITS, rtol=1e-6)
    np.testing.assert_allclose(whole.answers(digested, own)[0], [0.6, 8.0], rtol=1e-6)


def test_what_crosses_is_the_mean_of_the_devices_logits_each_counted_once(work):
    still = dataclasses.replace(
        work,
        training=dataclasses.replace(work.training, learning_rate=0.0, embedding_learning_rate=0.0),
        digest_rate=0.0,
    )
    other = START.copy()
    other[0, -1] = 1.0
    idle = START.copy()
    idle[0, -1] = 100.0
    consensus = np.array([0.25, -0.5], np.float32)
    result = still(
        tf.constant(consensus),
        data([[1, 1], [2, 0], [0, 0]], [2, 1, 0]),
        tf.ones([3, 2, 1], tf.int32),
        tf.constant(np.concatenate([START, other, idle])),
        steps=tf.constant(1),
    )
    assert float(result.weight) == 2.0
    # The device without a position says nothing.
    mean = consensus + result.delta / result.weight
    np.testing.assert_allclose(mean, [(1.6 + 0.6) / 2, (6.0 + 2.0) / 2], rtol=1e-6)
    assert result.private.shape == (3, 9)


def test_nobody_digests_before_there_is_a_consensus(work):
    arguments = (tf.zeros([2]), data([[1]], [1]), tf.constant([[[2]]]), tf.constant(START))
    first = work(*arguments, steps=tf.constant(0))
    plain, _ = work.training(*(arguments[place] for place in (3, 1, 2)))
    np.testing.assert_array_equal(first.private, plain)
    later = work(*arguments, steps=tf.constant(1))
    assert np.abs(later.private - first.private).max() > 0.1


def test_public_items_are_drawn_by_the_seed_alone():
    assert draw_public_items(5, count=9, seed=0) == (1, 2, 3, 4, 5)
    drawn = draw_public_items(100, count=7, seed=1)
    assert (
        drawn == draw_public_items(100, count=7, seed=1) != draw_public_items(100, count=7, seed=2)
    )
    assert len(set(drawn)) == 7
    assert min(drawn) >= 1
    assert max(drawn) <= 100


def test_what_reaches_the_server_has_room_for_logits_alone(build_baseline):
    baseline = build_baseline("fedmd")
    signature = baseline.round.type_signature
    state, _ = (part.member for part in signature.result if part.placement.uri == "server")
    assert [list(field.shape) for field in state] == [[120], [120], [120], []]


def test_rounds_count_logits_and_end_with_their_mean(build_baseline, run_baseline):
    baseline = build_baseline("fedmd", engine="local")
    state, report = run_baseline(baseline, 2)
    # Down and up, a float16 of each item.
    assert report.weights_bytes == baseline.num_devices * 2 * 2 * 120
    assert report.weights_up_bytes == report.weights_bytes // 2
    model = baseline.initialize().private
    assert state.private.shape == model.shape == (len(model), model.shape[1])
    assert (np.abs(state.private - model).max(axis=1) > 1e-3).all()
    assert np.abs(state.server.shared).max() > 0.05


def test_a_device_scores_with_its_own_model(build_baseline, run_baseline, small_validation):
    baseline = build_baseline("fedmd", engine="local")
    state, _ = run_baseline(baseline, 1)
    scores = baseline.scores(state, small_validation)["edge"]
    moved = state._replace(
        server=state.server._replace(shared=state.server.shared + 5.0),
        private=np.concatenate([state.private[:1] * 0.0, state.private[1:]]),
    )
    others = baseline.scores(moved, small_validation)["edge"]
    assert not others[0].any()
    assert scores[0].any()
    np.testing.assert_array_equal(others[1:], scores[1:])
