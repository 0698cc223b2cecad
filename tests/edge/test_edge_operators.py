"""What a phone cannot run is refused when a model is built: faults planted one by one."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import TIERS
from ecct_tf.edge import Architecture, EdgeOutputs, Weight, architecture, build_edge_model
from ecct_tf.edge import layers as kit
from ecct_tf.edge.building import model_of
from ecct_tf.edge.operators import check_operators
from ecct_tf.errors import ConfigError


def planted(fault):
    """A builder whose hidden values go through `fault(values, weights, inputs)`."""

    def build(spec):
        joined = kit.Inputs(spec)
        hidden = kit.Dense("hidden", joined.width, spec.hidden_dim)
        embedding = kit.Dense("embedding", spec.hidden_dim, spec.embedding_dim, "tanh")
        head = kit.Head(spec.embedding_dim, joined.width)

        def forward(named, inputs):
            everything = joined(named, inputs)
            values = fault(hidden(named, everything), named, inputs)
            return head(named, embedding(named, values), everything)

        return architecture([joined, hidden, embedding, head], forward)

    return build


def looped(values, named, inputs):
    del named, inputs
    return tf.while_loop(lambda k, _: k < 2, lambda k, v: (k + 1, kit.tanh(v)), [0, values])[1]


def hidden_function(values, named, inputs):
    del named, inputs
    return tf.function(kit.tanh)(values)


def numpy_inside(values, named, inputs):
    del named, inputs
    return tf.numpy_function(np.tanh, [values], tf.float32)


def stateful(values, named, inputs):
    del named, inputs
    return kit.add(values, tf.zeros_like(values) + tf.Variable(1.0))


# Which of the two comes first depends on TensorFlow's version; the place is told for both.
SLICED = r"(BroadcastGradientArgs|StridedSliceGrad) at test_edge_operators\.py, line \d+: "

PLANTED = {
    "relu": (lambda v, *_: tf.nn.relu(v), r"ReluGrad at .*operators\.py, line \d+: use relu of"),
    "tanh": (lambda v, *_: tf.tanh(v), "TanhGrad.*use tanh"),
    "sigmoid": (lambda v, *_: tf.sigmoid(v), "SigmoidGrad.*use sigmoid"),
    "product": (
        lambda v, *_: v * v[..., :1],
        r"StridedSliceGrad|BroadcastGradientArgs.*multiply",
    ),
    "sum of two": (lambda v, w, _: v + w["hidden/bias"][..., None, :], SLICED),
    "concat": (lambda v, *_: tf.concat([v, v], -1)[..., :6], "ConcatOffset|StridedSliceGrad"),
    "mean": (lambda v, *_: v - tf.reduce_mean(v, axis=-1, keepdims=True), "phones|masked_mean"),
    "sort": (lambda v, *_: tf.sort(v), "phones lack it|TopK|Gather|tracing"),
    "random": (lambda v, *_: kit.add(v, tf.random.normal(tf.shape(v))), "Random.*draw nothing"),
    "flex": (lambda v, *_: kit.multiply(v, tf.math.lgamma(kit.relu(v))), "Lgamma.*phones lack"),
    "numpy": (numpy_inside, "PyFunc|tracing"),
    "loop": (looped, "While|unroll|Less|TensorList"),
    "tf.function": (hidden_function, r"PartitionedCall.*leave tf\.function away"),
    "state": (stateful, "VarHandleOp|VariableV2|Variable.*tracing|tracing"),
    "float64": (
        lambda v, *_: tf.cast(tf.cast(v, tf.float64), tf.float32),
        r"Cast at .*line \d+ yields float64",
    ),
    "rows": (
        lambda v, *_: tf.ensure_shape(v, [*v.shape[:-2], 3, v.shape[-1]]),
        r"fixed shape \(3, 4\)",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_with_its_operator(name, spec):
    fault, message = PLANTED[name]
    model = model_of("mine:planted", spec, planted(fault)(spec))
    with pytest.raises(ConfigError, match=message) as caught:
        check_operators(model)
    assert "edge model 'mine:planted'" in str(caught.value)


def test_control_without_a_fault_it_passes(spec):
    check_operators(model_of("mine:fine", spec, planted(lambda v, *_: kit.relu(v))(spec)))


@pytest.mark.parametrize("tier", TIERS)
def test_the_librarys_tiers_pass_too(tier, spec):
    check_operators(build_edge_model(tier, spec))


def forward_of(spec, change):
    found = planted(lambda v, *_: v)(spec)
    return dataclasses.replace(
        found, forward=lambda weights, inputs: change(found.forward(weights, inputs), inputs)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out, _: out.logit, "expected forward to return EdgeOutputs"),
        (lambda out, _: EdgeOutputs(out.embedding[..., :2], out.logit), r"embedding \[rows, 4\]"),
        (
            lambda out, _: EdgeOutputs(out.embedding, out.logit[..., None]),
            r"logit \[rows\] float32",
        ),
        (
            lambda _, i: EdgeOutputs(tf.zeros_like(i.interactions[..., :4]), i.cloud_logit),
            "depends on the weights",
        ),
    ],
)
def test_outputs_of_another_form_are_refused(change, message, spec):
    model = model_of("mine:form", spec, forward_of(spec, change))
    with pytest.raises(ConfigError, match=message):
        check_operators(model)


def test_inputs_that_are_not_declared_are_not_there(spec):
    def reads(given, inputs):
        return given._replace(logit=tf.reduce_max(inputs.candidate_items, axis=-1))

    model = model_of("mine:reads", spec, forward_of(spec, reads))
    with pytest.raises(ConfigError, match=r"reads candidate_items.*declare it.*reads=\['items'\]"):
        check_operators(model)

    def slots(given, inputs):
        return given._replace(logit=tf.reduce_max(inputs.slots, axis=[-1, -2]))

    model = model_of("mine:reads", spec, forward_of(spec, slots))
    with pytest.raises(ConfigError, match=r"reads slots.*reads=\['slots'\]"):
        check_operators(model)


def test_what_an_architecture_declares_is_checked(spec):
    found = planted(lambda v, *_: v)(spec)
    with pytest.raises(ConfigError, match=r"reads: expected .*'slots', 'items'.*got \['clouds'\]"):
        model_of("mine:x", spec, dataclasses.replace(found, reads=frozenset({"clouds"})))
    narrow = dataclasses.replace(spec, item_dim=0)
    with pytest.raises(ConfigError, match=r"expected their width in EdgeSpec\.item_dim"):
        model_of("mine:x", narrow, dataclasses.replace(found, reads=frozenset({"items"})))


def test_the_layout_puts_the_backbone_first_whatever_the_order():
    head = kit.Head(4, 2)
    dense = kit.Dense("dense", 2, 4)
    layout = architecture([head, dense], lambda *_: None).layout
    assert [weight.part for weight in layout.weights] == ["backbone"] * 2 + ["head"] * 3
    with pytest.raises(ConfigError, match="unique"):
        architecture([dense, dense], lambda *_: None)
    assert isinstance(Architecture(layout, lambda *_: None).reads, frozenset)
    assert Weight("x", (2, 3), "head").size == 6
