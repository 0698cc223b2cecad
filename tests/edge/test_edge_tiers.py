import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import TIERS, EdgeConfig, FeatureConfig
from ecct_tf.edge import EdgeInputs, EdgeSpec, build_edge_model
from ecct_tf.errors import ConfigError

DEVICES, BATCH = 3, 5


def forward_and_gradient(model, weights, inputs):
    """Embeddings, logits and the gradient of a functional that is a sum over devices."""
    weights = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        embedding, logit, _ = model.forward(weights, inputs.map(tf.constant))
        total = tf.reduce_sum(tf.square(logit - 1.0)) + tf.reduce_sum(tf.sin(embedding))
    return embedding.numpy(), logit.numpy(), tape.gradient(total, weights).numpy()


@pytest.mark.parametrize("tier", TIERS)
def test_stacked_equals_each_device(tier, spec, make_inputs):
    model = build_edge_model(tier, spec)
    weights = np.stack([model.layout.initial(seed) for seed in range(DEVICES)])
    inputs = make_inputs(spec, DEVICES, BATCH)
    stacked = forward_and_gradient(model, weights, inputs)
    assert stacked[0].shape == (DEVICES, BATCH, spec.embedding_dim)
    assert stacked[1].shape == (DEVICES, BATCH)
    assert np.abs(stacked[2]).max() > 0
    for device in range(DEVICES):
        own = inputs.map(lambda part: part[device])  # noqa: B023 - called at once
        alone = forward_and_gradient(model, weights[device], own)
        for together, single in zip(stacked, alone, strict=True):
            np.testing.assert_allclose(together[device], single, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tier", TIERS)
def test_gradient_equals_finite_differences(tier, spec, make_inputs):
    model = build_edge_model(tier, spec)
    weights = model.layout.initial(0)
    inputs = make_inputs(spec, BATCH, seed=1)
    gradient = forward_and_gradient(model, weights, inputs)[2]

    def value(moved):
        embedding, logit, _ = forward_and_gradient(model, moved, inputs)
        return np.square(logit - 1.0, dtype=np.float64).sum() + np.sin(embedding).sum()

    rng = np.random.default_rng(2)
    for name, part in model.layout.to_dict(np.arange(len(weights))).items():
        direction = np.zeros_like(weights)
        direction[part.ravel()] = rng.standard_normal(part.size)
        direction *= 2e-3 / np.linalg.norm(direction)
        slope = (value(weights + direction) - value(weights - direction)) / 2
        assert slope == pytest.approx(gradient @ direction, rel=2e-2, abs=1e-5), name


@pytest.mark.parametrize("tier", TIERS)
def test_every_weight_learns(tier, spec, make_inputs):
    model = build_edge_model(tier, spec)
    inputs = make_inputs(spec, 40)
    gradient = forward_and_gradient(model, model.layout.initial(1), inputs)[2]
    for name, part in model.layout.to_dict(gradient).items():
        assert part.any(), name


def test_linear_by_hand():
    spec = EdgeSpec(
        interaction_dim=1,
        history_length=1,
        num_blocks=1,
        profile_sizes=(2,),
        cloud_dim=1,
        embedding_dim=1,
        profile_dim=1,
    )
    model = build_edge_model("linear", spec)
    values = {
        "profile_0": [10.0, 20.0],
        "embedding/kernel": [1.0, 2.0, 3.0, 0.5],  # interactions, h_c, z_c, profile
        "embedding/bias": [0.25],
        "head/embedding": [2.0],
        "head/inputs": [1.0, 0.0, -1.0, 0.1],
        "head/bias": [0.75],
    }
    assert list(values) == [weight.name for weight in model.layout.weights]
    inputs = EdgeInputs(
        interactions=tf.constant([[1.0]]),
        slots=tf.zeros([1, 0, 1]),
        slot_mask=tf.zeros([1, 0, 1]),
        profile=tf.constant([[1]]),
        cloud_embedding=tf.constant([[2.0]]),
        cloud_logit=tf.constant([3.0]),
    )
    flat = tf.constant(np.concatenate(list(values.values())).astype(np.float32))
    embedding, logit, _ = model.forward(flat, inputs)
    # 1*1 + 2*2 + 3*3 + 0.5*20 + 0.25 = 24.25; 2*24.25 + 1 - 3 + 0.1*20 + 0.75 = 49.25
    assert embedding.numpy().tolist() == [[24.25]]
    assert logit.numpy() == pytest.approx([49.25])


@pytest.mark.parametrize("tier", TIERS)
def test_only_attention_reads_slots(tier, spec, make_inputs):
    model = build_edge_model(tier, spec)
    assert model.reads_slots == (tier == "attention")
    weights = model.layout.initial(1)
    inputs = make_inputs(spec, BATCH)
    other = inputs._replace(slots=inputs.slots + inputs.slot_mask)
    same = np.allclose(
        forward_and_gradient(model, weights, inputs)[0],
        forward_and_gradient(model, weights, other)[0],
    )
    assert same != model.reads_slots


def test_attention_without_history_equals_the_prediction_from_zero_slots(spec, make_inputs):
    model = build_edge_model("attention", spec)
    inputs = make_inputs(spec, 1)  # its mask is all zero
    assert not inputs.slot_mask.any()
    noise = np.full_like(inputs.slots, 1e3)
    _, logit, gradient = forward_and_gradient(model, model.layout.initial(1), inputs)
    _, noisy, _ = forward_and_gradient(model, model.layout.initial(1), inputs._replace(slots=noise))
    np.testing.assert_allclose(noisy, logit, rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("tier", "low", "high"), [("linear", 500, 3000), ("mlp", 2000, 6000), ("attention", 2000, 6000)]
)
def test_size_at_default_settings(tier, low, high):
    features, edge = FeatureConfig(clock=False), EdgeConfig()
    spec = EdgeSpec(
        interaction_dim=features.width(num_blocks=3, num_attributes=2),
        history_length=features.history_length,
        num_blocks=3,
        profile_sizes=(8, 3, 22),
        cloud_dim=56,
        embedding_dim=edge.embedding_dim,
        hidden_dim=edge.hidden_dim,
        profile_dim=edge.profile_dim,
        heads=edge.heads,
    )
    assert low < build_edge_model(tier, spec).layout.size < high


def test_tiers_grow_in_this_order(spec):
    wide = dataclasses.replace(spec, hidden_dim=32)
    sizes = [build_edge_model(tier, wide).layout.size for tier in TIERS]
    assert sizes == sorted(sizes)


def test_unknown_tier(spec):
    with pytest.raises(ConfigError, match=r"linear, mlp, attention.*'mpl'; did you mean mlp\?"):
        build_edge_model("mpl", spec)
