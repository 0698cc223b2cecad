"""What models read of private columns of several values."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.edge import EdgeSpec, architecture, build_edge_model, layers, model_of
from ecct_tf.edge.operators import check_operators
from ecct_tf.edge.profile import set_inputs
from ecct_tf.errors import ConfigError


@pytest.fixture
def with_sets(spec):
    return dataclasses.replace(spec, profile_sets=(3, 2))


def given(inputs, *codes):
    """`inputs` whose every row has these values behind the categories."""
    rows = np.broadcast_to(np.array(codes, np.int32), (len(inputs.profile), len(codes)))
    return inputs._replace(profile=np.concatenate([inputs.profile, rows], axis=-1))


@pytest.mark.parametrize("fixed", [False, True])
def test_the_values_of_a_user_share_one(fixed):
    codes = tf.constant([[1, 0, 1, 0, 0], [1, 1, 1, 0, 1], [0, 0, 0, 1, 1]])
    with fixed_order.fixed_order(fixed):
        found = set_inputs(codes, (3, 2)).numpy()
    third = np.float32(1) / np.float32(3)
    assert found.tolist() == [
        [0.5, 0.0, 0.5, 0.0, 0.0],
        [third, third, third, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.5, 0.5],
    ]


def test_a_bag_is_the_mean_of_the_embeddings():
    bag = layers.EmbeddingBag("interests", 3, 2)
    table = tf.constant([[1.0, 2.0], [10.0, 20.0], [3.0, 6.0]])
    shares = tf.constant([[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])
    assert bag({"interests": table}, shares).numpy().tolist() == [[2.0, 4.0], [0.0, 0.0]]
    assert bag.weights[0].shape == (3, 2)


@pytest.mark.parametrize("tier", ["linear", "mlp", "attention"])
def test_the_librarys_models_read_sets_where_there_are_some(tier, spec, with_sets, make_inputs):
    model, without = build_edge_model(tier, with_sets), build_edge_model(tier, spec)
    assert (model.reads_sets, without.reads_sets) == (True, False)
    assert model.profile.rows == (3, 2, 2, 2, 2, 2, 2)
    # Files and runs of before have none in their sizes.
    assert "profile_sets" in model.sizes
    assert "profile_sets" not in without.sizes
    weights = tf.constant(model.layout.initial(1) + np.float32(0.1))
    logits = [
        model.forward(weights, given(make_inputs(spec, 4), *codes).map(tf.constant)).logit.numpy()
        for codes in ((0, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 0, 0, 1))
    ]
    assert all(np.abs(logits[0] - other).min() > 0 for other in logits[1:])


def _own(spec, *, reads):
    embedding = layers.Dense("embedding", 5, spec.embedding_dim, "tanh")
    head = layers.Head(spec.embedding_dim, spec.interaction_dim)

    def forward(weights, inputs):
        values = embedding(weights, inputs.sets)
        return head(weights, values, inputs.interactions)

    return model_of("own", spec, architecture([embedding, head], forward, reads=reads))


def test_a_model_of_ones_own_declares_them(with_sets, make_inputs, spec):
    model = _own(with_sets, reads=["sets"])
    check_operators(model)
    inputs = given(make_inputs(spec, 4), 1, 1, 0, 0, 1)
    outputs = model.forward(tf.constant(model.layout.initial(0)), inputs.map(tf.constant))
    kernel = model.layout.unpack(tf.constant(model.layout.initial(0)))["embedding/kernel"].numpy()
    expected = np.tanh(0.5 * kernel[0] + 0.5 * kernel[1] + kernel[4])
    assert np.abs(outputs.embedding.numpy() - expected).max() < 1e-6
    with pytest.raises(Exception, match=r"(?s)sets|None"):
        check_operators(_own(with_sets, reads=[]))


def test_a_set_has_a_value(spec):
    with pytest.raises(ConfigError, match=r"profile_sets: expected at least one value"):
        dataclasses.replace(spec, profile_sets=(2, 0))
    assert EdgeSpec.of({**dataclasses.asdict(spec), "profile_sets": [4]}).profile_sets == (4,)
