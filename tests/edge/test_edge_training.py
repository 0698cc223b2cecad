"""A step of Adam on a batch: which loss it descends, and at which level logits settle."""

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import EdgeInputs, EdgeSpec, build_edge_model, build_loss
from ecct_tf.edge.training import pooled_step

SPEC = EdgeSpec(
    interaction_dim=1, history_length=1, num_blocks=1, profile_sizes=(), cloud_dim=1,
    embedding_dim=1, hidden_dim=1,
)  # fmt: skip
GROUP = 5


def batch(positions, *, rng):
    """Own items have larger features than their negatives, on a level that each position draws."""
    level = rng.standard_normal((positions, 1)) * 3.0
    values = level + rng.standard_normal((positions, GROUP)) * 0.5
    values[:, 0] += 1.0
    labels = np.zeros((positions, GROUP), np.float32)
    labels[:, 0] = 1.0
    rows = positions * GROUP
    inputs = EdgeInputs(
        interactions=tf.constant(values.reshape(rows, 1), tf.float32),
        slots=tf.zeros([rows, 0, 1]),
        slot_mask=tf.zeros([rows, 0, 1]),
        profile=tf.zeros([rows, 0], tf.int32),
        cloud_embedding=tf.zeros([rows, 1]),
        cloud_logit=tf.zeros([rows]),
    )
    return inputs, tf.constant(labels.ravel())


def trained_logits(name, *, group_size):
    model = build_edge_model("linear", SPEC)
    step = tf.function(
        pooled_step(
            model,
            learning_rate=0.02,
            weight_decay=0.0,
            loss=build_loss(name),
            group_size=group_size,
        )
    )
    rng = np.random.default_rng(0)
    weights, slots = tf.constant(model.layout.initial(0)), tf.zeros([2, model.layout.size])
    for number in range(1, 401):
        inputs, labels = batch(32, rng=rng)
        weights, slots, loss = step(weights, slots, tf.constant(float(number)), inputs, labels)
    assert np.isfinite(loss)
    inputs, _ = batch(200, rng=rng)
    return model.forward(weights, inputs).logit.numpy().reshape(-1, GROUP)


@pytest.mark.parametrize("name", ["bpr", "sampled_softmax"])
def test_a_loss_by_position_orders_what_the_level_of_positions_hides(name):
    """The level says nothing of the label, so that cross-entropy makes little of the feature."""
    by_sample, by_position = (trained_logits(each, group_size=size) for each, size in
                              (("bce", 1), (name, GROUP)))  # fmt: skip
    steep, flat = (np.mean(each[:, 0] - each[:, 1:].mean(axis=1)) for each in
                   (by_position, by_sample))  # fmt: skip
    assert steep > 3 * flat > 0
    # One in five is an own item: without the share of cross-entropy the mean would stay near 0.
    assert by_position.mean() < -0.5


def test_a_loss_of_single_samples_is_their_mean():
    model = build_edge_model("linear", SPEC)
    inputs, labels = batch(2, rng=np.random.default_rng(1))
    weights = tf.constant(model.layout.initial(3))
    step = pooled_step(model, learning_rate=0.1, weight_decay=0.0, loss=build_loss("huber"))
    _, _, loss = step(weights, tf.zeros([2, len(weights)]), tf.constant(1.0), inputs, labels)
    apart = np.abs(model.forward(weights, inputs).logit.numpy() - labels.numpy())
    expected = np.where(apart > 1.0, apart - 0.5, apart**2 / 2)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-6)
