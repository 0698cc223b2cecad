"""What models read of a profile: categories by row, numbers as values, and only where declared."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.data.numbers import NUMBER_ROWS, STEPS
from ecct_tf.edge import architecture, build_edge_model, layers, model_of
from ecct_tf.edge.profile import number_inputs
from ecct_tf.errors import ConfigError


@pytest.fixture
def numbered(spec):
    return dataclasses.replace(spec, profile_numbers=2)


def with_numbers(inputs, *codes):
    """`inputs` whose every row has these codes behind the categories."""
    lead = inputs.profile.shape[:-1]
    numbers = np.broadcast_to(np.array(codes, np.int32), (*lead, len(codes)))
    return inputs._replace(profile=np.concatenate([inputs.profile, numbers], axis=-1))


def test_codes_become_values_and_whether_they_are_known():
    codes = np.array([[0, 1, NUMBER_ROWS - 1], [1 + 8 * STEPS, 2 + 8 * STEPS, 0]], np.int32)
    found = number_inputs(tf.constant(codes)).numpy()
    assert found.tolist() == [[0.0, -8.0, 8.0, 0, 1, 1], [0.0, 1 / STEPS, 0.0, 1, 1, 0]]


@pytest.mark.parametrize("tier", ["linear", "mlp", "attention"])
def test_the_librarys_models_read_numbers_where_there_are_some(tier, spec, numbered, make_inputs):
    model, without = build_edge_model(tier, numbered), build_edge_model(tier, spec)
    assert (model.reads_numbers, without.reads_numbers) == (True, False)
    assert model.profile.rows == (3, 2, NUMBER_ROWS, NUMBER_ROWS)
    # Files and runs of before have no number in their sizes.
    assert "profile_numbers" in model.sizes
    assert "profile_numbers" not in without.sizes
    weights = tf.constant(model.layout.initial(1) + np.float32(0.1))
    given = make_inputs(spec, 4)
    logits = [
        model.forward(weights, with_numbers(given, *codes).map(tf.constant)).logit.numpy()
        for codes in ((0, 0), (9 * STEPS, 0), (0, 9 * STEPS))
    ]
    assert all(np.abs(logits[0] - other).min() > 0 for other in logits[1:])


def _model(spec, *, reads, use):
    embedding = layers.Dense("embedding", spec.interaction_dim, spec.embedding_dim)
    head = layers.Head(spec.embedding_dim, spec.interaction_dim)

    def forward(weights, inputs):
        use(inputs)
        return head(weights, embedding(weights, inputs.interactions), inputs.interactions)

    return model_of("own", spec, architecture([embedding, head], forward, reads=reads))


def test_a_model_gets_what_it_declares_and_nothing_else(spec, numbered, make_inputs):
    seen = []
    for own, reads in ((numbered, ["numbers"]), (numbered, []), (spec, ["numbers"])):
        model = _model(own, reads=reads, use=seen.append)
        given = make_inputs(spec, 4)
        given = with_numbers(given, 1, 2) if own is numbered else given
        model.forward(tf.constant(model.layout.initial(0)), given.map(tf.constant))
        assert model.profile.numbers == (2 if own is numbered and reads else 0)
        assert np.array_equal(seen[-1].profile, given.profile[..., :2])
    assert [None if one.numbers is None else one.numbers.shape for one in seen] == [
        (4, 4),
        None,
        None,
    ]


def test_an_unknown_input_lists_what_there_is(spec):
    with pytest.raises(ConfigError, match=r"expected names out of .*numbers"):
        _model(spec, reads=["number"], use=print)
