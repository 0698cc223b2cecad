"""Products and their kin, written plainly in a model of one's own: taken, or refused by name."""

import re

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import (
    EdgeInputs,
    EdgeLoss,
    EdgeOutputs,
    architecture,
    build_edge_model,
    loss_registry,
)
from ecct_tf.edge import layers as kit
from ecct_tf.edge.building import model_of
from ecct_tf.edge.operators import check_operators
from ecct_tf.edge.plain import broadcast_fault, phone_gradient
from ecct_tf.errors import ConfigError
from ecct_tf.testing import edge_model_findings


def written(plain, rows=1):
    """A builder whose hidden values become `plain(values, w)`, `w` `[..., rows, hidden]`."""

    def build(spec):
        joined = kit.Inputs(spec)
        hidden = kit.Dense("hidden", joined.width, spec.hidden_dim)
        scale = kit.Embedding("scale", rows, spec.hidden_dim)
        embedding = kit.Dense("embedding", spec.hidden_dim, spec.embedding_dim, "tanh")
        head = kit.Head(spec.embedding_dim, spec.hidden_dim)

        def forward(weights, inputs):
            values = plain(hidden(weights, joined(weights, inputs)), weights["scale"])
            return head(weights, embedding(weights, values), values)

        return architecture([joined, hidden, scale, embedding, head], forward)

    return build


def all_of_them(values, square):
    """Each form that is taken; `square` `[..., 6, 6]`, its first row `[..., 1, 6]` broadcasts."""
    row = tf.expand_dims(kit.unstack_slots(square)[0], -2)
    mapped = kit.matmul(values, square)
    differences = (row - values) * (values - mapped) + tf.math.squared_difference(mapped, row)
    quotients = mapped / (row * row + 1.5) - tf.square(values) * row
    return -differences + quotients * 0.5 + [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_plain_arithmetic_is_taken_the_whole_way():
    found = edge_model_findings(written(all_of_them, rows=6))
    assert [finding.told for finding in found if not finding.passed] == []
    assert len(found) == 10


def refusal(plain, spec, rows):
    with pytest.raises(ConfigError) as caught:
        check_operators(model_of("mine:plain", spec, written(plain, rows)(spec)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (lambda v, s: v * tf.squeeze(s, -2), "Mul{}a * b of the shapes (None, None, 6) and "),
        (lambda v, s: v + tf.squeeze(s, -2), "AddV2{}a + b of the shapes"),
        (lambda v, s: tf.maximum(v, s), "BroadcastGradientArgs{}write it with relu"),
        (lambda v, _: kit.multiply(v, tf.exp(tf.zeros_like(v))), "Exp{}each runtime decides"),
        (lambda v, s: v @ s, "MatMul{}each runtime decides its last bit"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place_and_the_way_out(plain, words, spec):
    told = refusal(plain, spec, rows=6 if "@" in words or "MatMul" in words else 1)
    kind, reason = words.split("{}")
    line = plain.__code__.co_firstlineno
    assert f"operator {kind} at test_edge_plain.py, line {line}: {reason}" in told
    assert re.search(r"use [a-z_]+|build no tensor|write (it|the)|with tf\.expand_dims", told)


def test_a_power_is_refused_for_the_product(spec):
    """By its gradient; newer TensorFlow has one for constants, and then by its last bit."""
    told = refusal(lambda v, s: (v * s) ** 2, spec, rows=1)
    assert re.search(r"operator (BroadcastGradientArgs|Pow) at test_edge_plain\.py, line \d+", told)
    assert told.endswith("write the product: a * a")


def test_a_product_of_matrices_of_other_axes_is_refused():
    with pytest.raises(ConfigError, match=r"matmul: expected .* got \(2, 3\) and \(1, 3, 2\)"):
        kit.matmul(tf.ones([2, 3]), tf.ones([1, 3, 2]))


@pytest.mark.parametrize(
    ("left", "right", "fault"),
    [
        ((None, 6), (3, 1), "any number of rows meets a fixed number"),
        ((3, 6), (None, 6), "any number of rows meets a fixed number"),
        ((None, 6), (None, None, 6), "the axis of devices or rows would meet another"),
        ((None, 6), (None, 1), None),
        ((None, None, 6), (1, 6), None),
        ((None, 6), (), None),
    ],
)
def test_shapes_that_mean_the_same_alone_and_in_a_stack(left, right, fault):
    with tf.Graph().as_default():
        product = tf.compat.v1.placeholder(tf.float32, left) * tf.compat.v1.placeholder(
            tf.float32, right
        )
    told = broadcast_fault(product.op)
    assert told is None if fault is None else fault in told


@pytest.mark.parametrize("kind", ["mul", "add", "sub", "div", "squares"])
@pytest.mark.parametrize(
    "shapes",
    [((4, 3), (4, 3)), ((4, 3), (1, 3)), ((4, 1), (3,)), ((2, 1, 3), (1, 4, 1)), ((3,), ())],
)
def test_gradients_are_those_of_tensorflow_whatever_was_broadcast(kind, shapes):
    of = {
        "mul": lambda a, b: a * b,
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "div": lambda a, b: a / b,
        "squares": tf.math.squared_difference,
    }[kind]
    rng = np.random.default_rng(0)
    sizes = [int(np.prod(shape)) for shape in shapes]
    flat = tf.constant(rng.uniform(0.5, 2.0, sum(sizes)), tf.float32)

    def function(values):
        parts = tf.split(values, sizes)
        one, other = (tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True))
        return tf.sin(of(one, other))

    def gradient(forward):
        with tf.GradientTape() as tape:
            tape.watch(flat)
            total = tf.reduce_sum(forward(flat))
        return tape.gradient(total, flat)

    ours = tf.function(lambda: gradient(phone_gradient(function)), autograph=False)
    types = {operation.type for operation in ours.get_concrete_function().graph.get_operations()}
    assert "BroadcastGradientArgs" not in types
    np.testing.assert_allclose(ours(), gradient(function), rtol=1e-5, atol=1e-6)


def test_a_model_without_plain_arithmetic_is_traced_as_before(spec):
    """Its graph, and so its bits, are those of a tape over the kit."""
    model = model_of("mine:kit", spec, written(lambda v, _: kit.relu(v))(spec))
    graph = tf.Graph()
    with graph.as_default():
        flat = tf.compat.v1.placeholder(tf.float32, [model.layout.size])
        inputs = [tf.zeros([2, *shape]) for shape in ((5,), (4, 2), (4, 1))]
        given = EdgeInputs(*inputs, tf.zeros([2, 2], tf.int32), tf.zeros([2, 3]), tf.zeros([2]))
        assert isinstance(model.forward(flat, given), EdgeOutputs)
    bridges = [each for each in graph.get_operations() if each.type == "IdentityN"]
    assert all(len(each.inputs) > 2 or each.inputs[1].name != flat.name for each in bridges)


def test_a_loss_of_ones_own_is_written_plainly_too():
    def apart(logits, labels):
        return (kit.sigmoid(logits) - labels) * (kit.sigmoid(logits) - labels)

    def behind(logits, labels):
        own, others = kit.split(logits, [1, logits.shape[-1] - 1])
        del labels
        return kit.relu(1.0 - (own - others))

    for function, by_position in ((apart, False), (behind, True)):
        loss = loss_registry.loss_of(lambda f=function, p=by_position: EdgeLoss(f, p), name="m:x")
        loss_registry.check_loss_operators(loss, what="the loss")
    squared = loss_registry.loss_of(lambda: EdgeLoss(lambda z, y: (z - y) ** y), name="m:y")
    with pytest.raises(ConfigError, match=r"test_edge_plain\.py, line \d+: write the product"):
        loss_registry.check_loss_operators(squared, what="the loss")


def test_the_tiers_of_the_library_are_left_alone(spec):
    assert not hasattr(build_edge_model("mlp", spec).forward, "__wrapped__")
