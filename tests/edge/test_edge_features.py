"""Interaction features and inputs of a table of three items, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.edge import (
    cloud_knowledge,
    input_logit,
    interaction_features,
    item_tensors,
    no_slots,
    pad_history,
    pair_inputs,
)
from ecct_tf.knowledge import Block, ItemTable

CONFIG = FeatureConfig(history_length=3, decays=(1.0, 0.5), last_items=2, clock=False)
# Row 0 is padding. It is not zero here, to show that nothing of it comes through.
FIRST = np.array([[9, 9], [1, 0], [0, 2], [3, 1]], np.float32)
SOURCE = np.array([[9], [1], [2], [3]], np.float32)
TARGET = np.array([[9], [10], [20], [30]], np.float32)
ATTRIBUTES = np.array([[99.0], [1.0], [2.0], [4.0]], np.float32)
WIDTH = CONFIG.width(num_blocks=2, num_attributes=1)


@pytest.fixture
def items():
    return item_tensors(
        ItemTable(
            blocks=(Block("alike", FIRST, FIRST), Block("next", SOURCE, TARGET)),
            attributes=ATTRIBUTES,
            cloud=np.array([[0, 0], [1, 2], [3, 4], [5, 6]], np.float32),
            bias=np.array([0, 0.5, -0.5, 1], np.float32),
            feature_mean=np.zeros(WIDTH, np.float32),
            feature_scale=np.ones(WIDTH, np.float32),
            logit_mean=2.0,
            logit_scale=0.5,
        )
    )


def features(items, history, candidates, **changes):
    return interaction_features(
        items,
        block_sizes=(2, 1),
        config=CONFIG,
        history=tf.constant(history),
        candidates=tf.constant(candidates),
        **{"clip": False, **changes},
    )


def test_width():
    assert WIDTH == 2 * (2 + 2) + 2 * 1


def test_a_history_that_is_pooled_first_says_the_same(items):
    history, candidates = [[0, 1, 3], [2, 3, 1]], [[2, 1, 3], [0, 1, 2]]
    expected = features(items, history, candidates)
    found = features(items, history, candidates, pool_first=True)
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-6)
    assert found.slots.shape == (2, 3, 0, 2) == no_slots(expected).shape
    np.testing.assert_array_equal(found.slot_mask, expected.slot_mask)


def test_by_hand(items):
    found = features(items, [1, 2, 3], [2, 1])
    # Candidate 2 = (0, 2) with items 1, 2, 3: 0, 4, 2. Sum 6; 0/4 + 4/2 + 2 = 4; last 2, then 4.
    # Block "next", target 20 with 1, 2, 3: 20, 40, 60. Sum 120; 5 + 20 + 60 = 85; 60, 40.
    # Attributes of the history, decay 0.9: (0.81*1 + 0.9*2 + 4) / 2.71.
    mean = (0.81 + 1.8 + 4.0) / 2.71
    np.testing.assert_allclose(
        found.features[0], [6, 4, 2, 4, 120, 85, 60, 40, 2, mean - 2], rtol=1e-6
    )
    # Candidate 1 = (1, 0): 1, 0, 3. Target 10: 10, 20, 30.
    np.testing.assert_allclose(
        found.features[1], [4, 3.25, 3, 0, 60, 42.5, 30, 20, 1, mean - 1], rtol=1e-6
    )
    assert found.slots.shape == (2, 3, 2)
    assert found.slots[0].numpy().tolist() == [[0, 20], [4, 40], [2, 60]]
    assert found.slot_mask[..., 0].numpy().tolist() == [[1, 1, 1], [1, 1, 1]]


def test_padding_contributes_nothing(items):
    found = features(items, [0, 0, 3], [2])
    np.testing.assert_allclose(found.features[0], [2, 2, 2, 0, 60, 60, 60, 0, 2, 2], rtol=1e-6)
    assert found.slots[0].numpy().tolist() == [[0, 0], [0, 0], [2, 60]]
    assert found.slot_mask[0, :, 0].numpy().tolist() == [0, 0, 1]


def test_no_history_at_all(items):
    found = features(items, [0, 0, 0], [3])
    # Its mean attribute is zero, so the distance is the candidate's own.
    np.testing.assert_allclose(found.features[0], [0] * 8 + [4, 4])
    assert not found.slot_mask.numpy().any()


def test_standardised_and_clipped(items):
    scaled = items._replace(
        feature_mean=np.full(WIDTH, 2.0, np.float32), feature_scale=np.full(WIDTH, 0.5, np.float32)
    )
    raw = features(items, [1, 2, 3], [2]).features
    expected = (raw - 2.0) * 0.5
    np.testing.assert_allclose(features(scaled, [1, 2, 3], [2]).features, expected)
    clipped = features(scaled, [1, 2, 3], [2], clip=True).features
    np.testing.assert_allclose(clipped, np.clip(expected, -10, 10))
    assert np.max(clipped) == 10


def test_leading_axes_do_not_mix(items):
    histories = np.array([[1, 2, 3], [0, 0, 2]], np.int32)
    candidates = np.array([[2, 1], [3, 3]], np.int32)
    together = features(items, histories, candidates)
    for row in range(2):
        alone = features(items, histories[row], candidates[row])
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[row], other)


def test_cloud_knowledge_by_hand(items):
    embedding, logit = cloud_knowledge(items, tf.constant([[2.0, 10.0]]), tf.constant([3]))
    assert embedding.numpy().tolist() == [[10.0, 60.0]]
    assert logit.numpy().tolist() == [71.0]  # 10 + 60 + the bias 1


def test_input_logit(items):
    logit = tf.constant([4.0, 71.0])
    assert input_logit(items, logit, use_logit=True).numpy().tolist() == [1.0, 10.0]
    assert input_logit(items, logit, use_logit=False).numpy().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("use_logit", [True, False])
def test_pair_inputs(items, use_logit):
    history, candidates = tf.constant([[1, 2, 3]]), tf.constant([[2, 1]])
    inputs = pair_inputs(
        items,
        block_sizes=(2, 1),
        config=CONFIG,
        history=history,
        candidates=candidates,
        profile=tf.constant([[5, 7]]),
        user_embeddings=tf.constant([[2.0, -1.0]]),
        use_logit=use_logit,
    )
    assert inputs.profile.numpy().tolist() == [[[5, 7], [5, 7]]]
    assert inputs.cloud_embedding.numpy().tolist() == [[[6.0, -4.0], [2.0, -2.0]]]
    # z_c = 2 - 0.5 and 0 + 0.5; minus 2, times 0.5.
    expected = [[-0.25, -0.75]] if use_logit else [[0.0, 0.0]]
    assert inputs.cloud_logit.numpy().tolist() == expected
    own = features(items, [[1, 2, 3]], [[2, 1]], clip=True)
    np.testing.assert_array_equal(inputs.interactions, own.features)
    np.testing.assert_array_equal(inputs.slots, own.slots)
    np.testing.assert_array_equal(inputs.slot_mask, own.slot_mask)


def test_pad_history():
    history = np.array([4, 5, 6], np.int32)
    assert pad_history(history, 5).tolist() == [0, 0, 4, 5, 6]
    assert pad_history(history, 2).tolist() == [5, 6]
    assert pad_history(history[:0], 2).tolist() == [0, 0]
