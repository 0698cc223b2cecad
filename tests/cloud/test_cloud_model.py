"""The two towers: how `h_c` and `z_c` hang together, fusion, and gradients."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cloud.exchange_model import EdgeAnswers, EdgeKnowledge
from ecct_tf.errors import DataError


@pytest.fixture(scope="module")
def states(cloud):
    return tf.constant(cloud.states[:4])


def _edge(trust, *, users=4, queries=2, width=3):
    rng = np.random.default_rng(3)
    return EdgeKnowledge(
        items=tf.constant(rng.integers(1, 41, size=(users, queries)).astype(np.int32)),
        embeddings=tf.constant(rng.normal(size=(users, queries, width)).astype(np.float32)),
        trust=tf.constant(np.full(users, trust, np.float32)),
    )


@pytest.fixture(scope="module")
def opened(make_cloud):
    """A model whose fusion weights are not zero, as they are at the start, nor its units dead."""
    model = make_cloud().model
    rng = np.random.default_rng(4)
    for layer in (model.fusion_gate, model.fusion_mean):
        kernel = layer.kernel
        kernel.assign(rng.normal(size=kernel.shape).astype(np.float32))
    model.user_hidden.bias.assign_add(5.0 * tf.ones_like(model.user_hidden.bias))
    return model


def test_the_logit_is_the_sum_of_the_embedding_and_a_bias(cloud, states):
    model = cloud.model
    items = tf.constant([[1, 7], [2, 40], [5, 5], [0, 3]])
    users = model.user_vectors(states, None)
    vectors = model.item_vectors(items)
    assert vectors.shape == (4, 2, cloud.embedding_dim)
    embedding = users[:, None, :] * vectors
    expected = tf.reduce_sum(embedding, axis=-1) + model.item_logits(items)
    np.testing.assert_allclose(model.logits(users, items), expected, atol=1e-5)


def test_untrained_towers_are_the_linear_item_item_model(cloud, view):
    """u·v starts as a multiple of the history's summed preference scores."""
    users = np.arange(4, dtype=np.int32)
    items = np.tile(np.arange(1, 41, dtype=np.int32), (4, 1))
    logits = cloud.scores(users, items, knowledge=None, round_number=0)
    block = cloud.publish().blocks[0]
    for row, user in enumerate(users):
        pooled = block.source[view.older.of(int(user))].sum(axis=0)
        np.testing.assert_allclose(logits[row], 6.0 * block.target[1:] @ pooled - 2.0, atol=1e-3)


def test_fusion_counts_by_trust(opened, states):
    alone = opened.user_vectors(states, None)
    np.testing.assert_array_equal(opened.user_vectors(states, _edge(0.0)), alone)
    full = opened.user_vectors(states, _edge(1.0)) - alone
    half = opened.user_vectors(states, _edge(0.5)) - alone
    assert np.abs(full).max(axis=1).min() > 0.01
    np.testing.assert_allclose(half, full / 2, atol=1e-5)


def test_fusion_changes_nothing_before_it_has_learned(cloud, states):
    fused = cloud.model.user_vectors(states, _edge(1.0))
    np.testing.assert_array_equal(fused, cloud.model.user_vectors(states, None))


def test_the_gradient_reaches_every_weight(opened, states):
    items = tf.constant(np.arange(8).reshape(4, 2) + 1)
    inputs = {
        "states": states,
        "items": items,
        "labels": tf.constant([[1.0, 0.0]] * 4),
        "edge_items": _edge(1.0).items,
        "edge_embeddings": _edge(1.0).embeddings,
        "trust": _edge(1.0).trust,
        "teacher_states": states,
        "teacher_items": items,
        "teacher": tf.constant([[2.0, -2.0]] * 4),
        "teacher_trust": tf.ones([4]),
    }
    opened.user_residual.kernel.assign_add(0.1 * tf.ones_like(opened.user_residual.kernel))
    with tf.GradientTape() as tape:
        loss = opened.compute_loss(inputs)
    assert np.isfinite(float(loss))
    variables = opened.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None, variable.name
        assert np.isfinite(tf.convert_to_tensor(gradient)).all(), variable.name
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.name


def test_a_student_that_equals_its_teacher_has_no_gap(cloud, states):
    model = cloud.model
    items = tf.constant(np.arange(8).reshape(4, 2) + 1)
    teacher = model.logits(model.user_vectors(states, None), items)
    inputs = {
        "teacher_states": states,
        "teacher_items": items,
        "teacher": teacher,
        "teacher_trust": tf.ones([4]),
    }
    assert float(model.compute_loss(inputs)) == pytest.approx(0.0, abs=1e-5)
    inputs["teacher"] = teacher + tf.constant([1.0, -1.0])
    far = float(model.compute_loss(inputs))
    assert far > 0.01
    inputs["teacher_trust"] = tf.zeros([4])
    assert float(model.compute_loss(inputs)) == 0.0


def test_the_published_table_is_whole(cloud, view):
    table = cloud.publish()
    names = [block.name for block in table.blocks]
    assert names == ["preference", "sequence", "next item", "category"]
    shapes = [block.source.shape for block in table.blocks]
    assert shapes == [(41, 3), (41, 3), (41, 32), (41, 4)]
    assert [block.is_symmetric for block in table.blocks] == [True, False, False, True]
    assert table.attributes.shape == (41, 2)
    assert table.cloud.shape == (41, cloud.embedding_dim) == (41, 8)
    assert table.bias.shape == (41,)
    width = 4 * (2 + 2) + 2 * 2
    assert table.feature_mean.shape == table.feature_scale.shape == (width,)
    assert table.num_items == view.num_items
    for array in (table.cloud, table.bias, table.feature_mean, table.feature_scale):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert (table.feature_scale > 0).all()
    assert table.logit_scale > 0
    # With the table alone a device completes the cloud's logit.
    users = np.arange(3, dtype=np.int32)
    vectors = cloud.user_embeddings(users, knowledge=None, round_number=0)
    items = np.array([[1, 2], [3, 4], [5, 40]], np.int32)
    own = np.einsum("nd,ncd->nc", vectors, table.cloud[items]) + table.bias[items]
    scores = cloud.scores(users, items, knowledge=None, round_number=0)
    np.testing.assert_allclose(own, scores, atol=1e-5)


def test_the_view_refuses_unknown_users(view):
    with pytest.raises(DataError):
        view.older.of(view.num_users)


def test_downlinks_follow_the_user_tower_by_the_share_asked_for(make_cloud, states):
    model = make_cloud(seed=1).model
    before = model.sent_vectors(states).numpy()
    np.testing.assert_allclose(before, model.user_vectors(states, None), atol=1e-6)
    model.user_linear.bias.assign_add(tf.ones_like(model.user_linear.bias))
    np.testing.assert_array_equal(model.sent_vectors(states), before)
    model.follow(0.25)
    np.testing.assert_allclose(model.sent_vectors(states), before + 0.25, atol=1e-6)
    model.follow(1.0)
    np.testing.assert_array_equal(model.sent_vectors(states), model.user_vectors(states, None))


def _answered(model, states, *, gap, trust):
    """Users' vectors once devices said of two items `gap` more than the cloud expects."""
    edge = _edge(0.0)
    expected = model.logits(model.user_vectors(states, None), edge.items)
    answers = EdgeAnswers(edge.items, expected + gap, tf.fill(expected.shape, trust))
    told = dataclasses.replace(edge, answers=answers)
    return model.user_vectors(states, told).numpy(), edge.items


def test_answers_move_a_user_as_the_ridge_regression_by_hand(make_cloud, states):
    """u + C'(C C' + λ / t)^-1 gap, of centred rows and gaps, for each user in float64."""
    ridge, trust = 0.5, 0.25
    model = make_cloud(answer_ridge=ridge).model
    alone = model.user_vectors(states, None).numpy()
    moved, items = _answered(model, states, gap=np.array([2.0, -1.0], np.float32), trust=trust)
    for user in range(len(alone)):
        rows = model.item_vectors(items[user]).numpy().astype(np.float64)
        rows -= rows.mean(axis=0)
        inverse = np.linalg.inv(rows @ rows.T + ridge / trust * np.eye(2))
        expected = alone[user] + rows.T @ inverse @ [1.5, -1.5]
        np.testing.assert_allclose(moved[user], expected, rtol=1e-4, atol=1e-5)


def test_answers_say_what_recent_popularity_counts_for_a_user(make_cloud, states):
    """A device whose logits follow it alone: all items are scored by it, asked about or not."""
    model = make_cloud(answer_ridge=1e-6).model
    rows = model.item_vectors(tf.constant([1])).shape[-1]
    items = tf.constant([list(range(1, 9))] * len(states))
    model.recent = tf.constant(np.random.default_rng(1).normal(size=200), tf.float32)
    alone = model.user_vectors(states, None)
    assert alone.shape[-1] == rows
    expected = model.logits(alone, items)
    told = expected + 1.5 * tf.gather(model.recent, items)
    knowledge = EdgeKnowledge(
        items=items,
        embeddings=tf.zeros([len(states), 8, model.spec.edge_dim]),
        trust=tf.zeros([len(states)]),
        answers=EdgeAnswers(items, told, tf.ones(told.shape)),
    )
    moved = model.user_vectors(states, knowledge)
    assert moved.shape[-1] == rows + 1
    np.testing.assert_allclose(model.served(moved, items), told, atol=2e-2)
    # The cloud's own view is scored as before.
    np.testing.assert_allclose(model.served(alone, items), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("gap", "trust", "ridge"),
    [
        (0.0, 1.0, 1.0),
        ([2.0, -1.0], 0.0, 1.0),
        ([2.0, -1.0], 1.0, 0.0),
        # All logits of a device higher by the same: it ranks alike.
        (2.0, 1.0, 1.0),
    ],
)
def test_answers_without_news_trust_or_weight_change_nothing(make_cloud, states, gap, trust, ridge):
    model = make_cloud(answer_ridge=ridge).model
    moved, _ = _answered(model, states, gap=np.array(gap, np.float32), trust=trust)
    np.testing.assert_allclose(moved, model.user_vectors(states, None), atol=1e-5)


def test_a_teacher_whose_logits_all_lie_higher_teaches_alike(make_cloud, states):
    model = make_cloud().model
    items, count = tf.constant([[1, 2, 3]] * len(states)), len(states)
    teacher = tf.constant(np.random.default_rng(0).normal(size=(count, 3)), tf.float32)

    def gradient(shift: float) -> tf.Tensor:
        inputs = {
            "teacher_states": states,
            "teacher_items": items,
            "teacher": teacher + shift,
            "teacher_trust": tf.ones([count]),
        }
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs)
        return tape.gradient(loss, model.user_linear.kernel).numpy()

    assert np.abs(gradient(0.0)).max() > 1e-4
    np.testing.assert_allclose(gradient(5.0), gradient(0.0), atol=1e-6)


def test_the_models_of_the_cloud_read_no_places(cloud):
    space = cloud.space
    assert space.has_places
    assert space.attributes.shape[1] == space.model_attributes.shape[1] + 1 == 2
    np.testing.assert_array_equal(space.item_inputs[:, -1], space.attributes[:, 0])
