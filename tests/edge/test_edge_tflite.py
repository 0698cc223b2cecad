"""Everything a phone runs converts to TFLite builtin operators and keeps its numbers."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import CODECS, OPTIMIZERS, TIERS, FeatureConfig
from ecct_tf.edge import (
    EdgeInputs,
    ItemTensors,
    build_edge_model,
    build_optimizer,
    collaborative_loss,
    pair_inputs,
)
from ecct_tf.knowledge import build_codec

BATCH = 3
# Inputs that the library's tiers read; item vectors come after them.
SHARED = 6


def convert(function, *example):
    """Converts `function` for the static shapes of `example`: an interpreter, its operators."""
    module = tf.Module()
    module.serve = tf.function(
        function,
        input_signature=[
            tf.TensorSpec(part.shape, part.dtype, f"in_{index}")
            for index, part in enumerate(example)
        ],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.serve.get_concrete_function()], module
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    return interpreter, {detail["op_name"] for detail in interpreter._get_ops_details()}


def run(interpreter, *values):
    """Outputs by name; inputs that the function never reads are not in the file."""
    runner = interpreter.get_signature_runner()
    named = {f"in_{index}": value for index, value in enumerate(values)}
    return runner(**{name: named[name] for name in runner.get_input_details()})


def check(function, *example):
    """Asserts builtin operators only and the numbers of TensorFlow."""
    example = [np.asarray(part) for part in example]
    interpreter, operators = convert(function, *example)
    foreign = {name for name in operators if name.startswith("Flex") or name == "CUSTOM"}
    assert operators
    assert not foreign
    expected = function(*(tf.constant(part) for part in example))
    got = run(interpreter, *example)
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def train_step(model, optimizer, *arguments):
    weights, step, rate, labels, teacher, mask, *rest = arguments
    inputs, slots = EdgeInputs(*rest[:SHARED]), tuple(rest[SHARED:])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = collaborative_loss(
            model.forward(weights, inputs).logit,
            labels=labels,
            teacher=teacher,
            weights=mask,
            distillation_weight=0.5,
            temperature=2.0,
        )
    updated, new_slots = optimizer.apply(weights, tape.gradient(loss, weights), slots, step, rate)
    named = {f"slot_{index}": slot for index, slot in enumerate(new_slots)}
    return {"loss": loss, "weights": updated, **named}


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
@pytest.mark.parametrize("tier", TIERS)
def test_train_step(tier, optimizer_name, spec, make_inputs):
    model, optimizer = build_edge_model(tier, spec), build_optimizer(optimizer_name)
    weights = model.layout.initial(1)
    arguments = (
        weights,
        np.float32(3.0),
        np.float32(0.1),
        np.array([1.0, 0.0, 1.0], np.float32),
        np.array([2.0, -1.0, 0.5], np.float32),
        np.array([1.0, 1.0, 0.0], np.float32),  # the last row is padding
        *make_inputs(spec, BATCH)[:SHARED],
        *(slot.numpy() + np.float32(0.01) for slot in optimizer.initial_slots(weights)),
    )
    check(functools.partial(train_step, model, optimizer), *arguments)


@pytest.mark.parametrize("tier", TIERS)
def test_forward(tier, spec, make_inputs):
    model = build_edge_model(tier, spec)

    def forward(weights, *inputs):
        outputs = model.forward(weights, EdgeInputs(*inputs))
        return {"embedding": outputs.embedding, "logit": outputs.logit}

    check(forward, model.layout.initial(1), *make_inputs(spec, BATCH)[:SHARED])


def test_pair_inputs_and_interaction_features():
    rng = np.random.default_rng(0)
    config = FeatureConfig(history_length=4, decays=(1.0, 0.5), last_items=2, clock=False)
    sizes = (2, 3)
    width = config.width(num_blocks=2, num_attributes=2)
    items = ItemTensors(
        source=rng.standard_normal((6, 5)).astype(np.float32),
        target=rng.standard_normal((6, 5)).astype(np.float32),
        attributes=rng.standard_normal((6, 2)).astype(np.float32),
        cloud=rng.standard_normal((6, 3)).astype(np.float32),
        bias=rng.standard_normal(6).astype(np.float32),
        feature_mean=rng.standard_normal(width).astype(np.float32),
        feature_scale=rng.random(width).astype(np.float32),
        logit_mean=np.float32(0.5),
        logit_scale=np.float32(2.0),
    )

    def inputs(history, candidates, profile, user_embeddings):
        found = pair_inputs(
            items,
            block_sizes=sizes,
            config=config,
            history=history,
            candidates=candidates,
            profile=profile,
            user_embeddings=user_embeddings,
            use_logit=True,
            reads_items=True,
        )
        return {name: part for name, part in found._asdict().items() if part is not None}

    check(
        inputs,
        np.array([[0, 1, 5, 2]], np.int32),
        np.array([[3, 4, 5]], np.int32),
        np.array([[2, 1]], np.int32),
        rng.standard_normal((1, 3)).astype(np.float32),
    )


@pytest.mark.parametrize("name", CODECS)
def test_codecs(name):
    codec = build_codec(name)

    def cross(values):
        encoded = codec.encode(2.0 * values)
        return {"values": codec.decode(encoded, 4)}

    check(cross, np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))


def test_a_plain_keras_style_tape_does_not_convert():
    """The check can fail: without the primitives the gradient of a rectifier needs Flex."""

    def step(weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            total = tf.reduce_sum(tf.nn.relu(weights) * 2.0)
        return {"weights": tape.gradient(total, weights)}

    with pytest.raises(Exception, match="ReluGrad"):
        convert(step, np.array([1.0, -1.0], np.float32))
