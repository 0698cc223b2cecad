"""The fixed order of sums is an argument of the forward function: no earlier trace hides it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import EdgeInputs, architecture, build_edge_model
from ecct_tf.edge import layers as kit
from ecct_tf.edge.building import model_of
from ecct_tf.errors import ConfigError
from ecct_tf.fixed_order import fixed_order
from ecct_tf.testing import SMALL_SPEC
from ecct_tf.testing.edge_inputs import any_weights, random_inputs


def answer(model, weights, inputs, **order):
    outputs = model.forward(tf.constant(weights), inputs.map(tf.constant), **order)
    return outputs.embedding.numpy().tobytes() + outputs.logit.numpy().tobytes()


@pytest.fixture(scope="module")
def mlp():
    model = build_edge_model("mlp", SMALL_SPEC)
    return model, any_weights(model), random_inputs(model, 40)


def test_the_order_is_an_argument_and_decides_whatever_the_caller_is_traced_in(mlp):
    fixed, fast = answer(*mlp, fixed_order=True), answer(*mlp, fixed_order=False)
    assert fixed != fast
    assert answer(*mlp) == fast
    with fixed_order():
        assert answer(*mlp) == fixed
        assert answer(*mlp, fixed_order=False) == fast
    with fixed_order(False):
        assert answer(*mlp, fixed_order=True) == fixed


def test_a_forward_function_that_was_traced_before_keeps_its_bytes(mlp):
    model, *given = mlp
    wrapped = dataclasses.replace(model, forward=tf.function(model.forward, autograph=False))
    answer(wrapped, *given)  # In a fast order: what a cache would repeat.
    assert answer(wrapped, *given, fixed_order=True) == answer(*mlp, fixed_order=True)


HIDDEN = tf.function(kit.tanh, autograph=False)


def hiding(spec):
    joined = kit.Inputs(spec)
    embedding = kit.Dense("embedding", joined.width, spec.embedding_dim)
    head = kit.Head(spec.embedding_dim, joined.width)

    def forward(weights, inputs):
        everything = joined(weights, inputs)
        return head(weights, HIDDEN(embedding(weights, everything)), everything)

    return architecture([joined, embedding, head], forward)


def whole(spec):
    found = hiding(spec)
    return dataclasses.replace(found, forward=tf.function(found.forward, autograph=False))


@pytest.mark.parametrize("build", [hiding, whole])
@pytest.mark.parametrize("eager", [True, False])
def test_one_inside_is_refused_where_it_would_lose_the_order(build, eager):
    model = model_of("mine:hiding", SMALL_SPEC, build(SMALL_SPEC))
    weights, inputs = any_weights(model), random_inputs(model, 3)
    answer(model, weights, inputs)

    def run(*parts):
        flat, *rest = parts
        return model.forward(flat, EdgeInputs(*rest), fixed_order=True)

    given = [
        tf.constant(weights),
        *(None if part is None else tf.constant(part) for part in inputs),
    ]
    with pytest.raises(
        ConfigError, match=r"'mine:hiding': a tf\.function.*leave tf\.function away"
    ):
        (run if eager else tf.function(run, autograph=False))(*given)


def test_a_run_gives_its_devices_the_order_whatever_they_are_traced_in(mlp):
    """A device's answer is in fixed order though all that it reads was computed in a fast one."""
    model, weights, inputs = mlp
    with fixed_order(False):
        alone = [
            answer(model, weights, inputs.map(lambda part, k=k: part[k : k + 1]), fixed_order=True)
            for k in range(3)
        ]
    outputs = model.forward(tf.constant(weights), inputs.map(tf.constant), fixed_order=True)
    rows = [
        np.asarray(outputs.embedding[k]).tobytes() + np.asarray(outputs.logit[k]).tobytes()
        for k in range(3)
    ]
    assert alone == rows
