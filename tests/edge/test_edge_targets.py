"""Heads for further targets: their losses, their gradient, and models that have or lack them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import FeatureConfig, SampleConfig, TargetConfig, TrainingConfig
from ecct_tf.edge import (
    DeviceTask,
    EdgeOutputs,
    architecture,
    build_edge_model,
    check_losses,
    layers,
    loss_origins,
)
from ecct_tf.edge.losses import bce, bpr
from ecct_tf.edge.target_loss import target_losses
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import ExchangeSpec
from ecct_tf.testing import check_edge_model
from ecct_tf.testing.edge_models import SMALL_SPEC

TWO = dataclasses.replace(SMALL_SPEC, targets=("dwell", "like"))
LOGITS = np.array([[0.5, -1.0], [2.0, 0.0], [-0.25, 1.5], [1.0, 1.0]], np.float32)
LABELS = np.array([[1.0, 0.25], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], np.float32)
WEIGHTS = np.array([1.0, 0.5, 1.0, 0.0], np.float32)


def entropy(logit, label):
    return np.log1p(np.exp(-logit)) + (1.0 - label) * logit


def by_hand():
    # The last row is padding, and rows without a label count in the denominator alone.
    first = (entropy(0.5, 1.0) + entropy(-0.25, 0.0)) / 2.5
    second = (entropy(-1.0, 0.25) + 0.5 * entropy(0.0, 0.0)) / 2.5
    return np.array([first, second])


def test_the_loss_of_each_target_and_their_weighted_sum():
    total, each = target_losses(
        tf.constant(LOGITS),
        labels=tf.constant(LABELS),
        weights=tf.constant(WEIGHTS),
        losses=[bce(), bce()],
        strengths=[0.5, 2.0],
    )
    np.testing.assert_allclose(each, by_hand(), rtol=1e-6)
    assert float(total) == pytest.approx(float(by_hand() @ [0.5, 2.0]), rel=1e-6)


def test_its_gradient_is_that_of_finite_differences_and_none_of_rows_without_a_label():
    def total(logits):
        return target_losses(
            logits,
            labels=tf.constant(LABELS),
            weights=tf.constant(WEIGHTS),
            losses=[bce(), bce()],
            strengths=[0.5, 2.0],
        )[0]

    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = total(logits)
    gradient = tape.gradient(value, logits).numpy()
    step = 1e-2
    for row, column in np.ndindex(*LOGITS.shape):
        moved = np.zeros_like(LOGITS)
        moved[row, column] = step
        slope = float(total(logits + moved) - total(logits - moved)) / (2 * step)
        assert gradient[row, column] == pytest.approx(slope, abs=2e-4)
    assert gradient[1, 0] == gradient[2, 1] == gradient[3, 0] == 0.0


def test_a_loss_by_position_leaves_out_positions_without_labels():
    labels = np.array([[1.0], [0.0], [1.0], [-1.0]], np.float32)
    total, _ = target_losses(
        tf.constant(LOGITS[:, :1]),
        labels=tf.constant(labels),
        weights=tf.ones([4]),
        losses=[bpr()],
        strengths=[1.0],
        group_size=2,
    )
    # Of the first position alone, whose rows are two of four.
    assert float(total) == pytest.approx(np.log1p(np.exp(2.0 - 0.5)) / 2, rel=1e-6)


def test_stacked_devices_train_as_each_alone():
    def of(logits, labels, weights):
        return target_losses(
            tf.constant(logits),
            labels=tf.constant(labels),
            weights=tf.constant(weights),
            losses=[bce(), bce()],
            strengths=[1.0, 1.0],
        )[0].numpy()

    stacked = of(np.stack([LOGITS, -LOGITS]), np.stack([LABELS] * 2), np.stack([WEIGHTS] * 2))
    alone = [of(LOGITS, LABELS, WEIGHTS), of(-LOGITS, LABELS, WEIGHTS)]
    np.testing.assert_allclose(stacked, alone, rtol=1e-6)


@pytest.fixture
def task():
    like = TargetConfig("stars", {"1": 0.0, "5": 1.0}, weight=2.0)
    dwell = TargetConfig("time", {"long": 1.0, "short": 0.25}, weight=0.5)
    return DeviceTask(
        features=FeatureConfig(),
        samples=SampleConfig(targets={"like": like, "dwell": dwell}),
        training=TrainingConfig(loss="bce", distillation_weight=0.0),
        exchange=ExchangeSpec(cloud_dim=2, embedding_dim=3, num_queries=2, codec="float32"),
        sharing="all",
    )


def test_a_batch_trains_by_the_sum_of_all_heads(task):
    assert task.targets == ("dwell", "like")
    outputs = EdgeOutputs(tf.zeros([4, 3]), tf.constant(LOGITS[:, 0]), tf.constant(LOGITS))
    given = {
        "labels": tf.constant([1.0, 0.0, 1.0, 0.0]),
        "target_labels": tf.constant(LABELS),
        "teacher": tf.zeros([4]),
        "weights": tf.constant(WEIGHTS),
    }
    loss, each = task.total_loss(outputs, **given)
    click = (entropy(0.5, 1.0) + 0.5 * entropy(2.0, 0.0) + entropy(-0.25, 1.0)) / 2.5
    assert float(loss) == pytest.approx(float(click + by_hand() @ [0.5, 2.0]), rel=1e-5)
    np.testing.assert_allclose(each, by_hand(), rtol=1e-6)
    with pytest.raises(ConfigError, match="no logits of dwell, like"):
        task.total_loss(outputs._replace(targets=None), **given)


@pytest.mark.parametrize("tier", ["linear", "mlp", "attention"])
def test_the_librarys_tiers_have_a_head_for_each_target(tier):
    with_heads, without = build_edge_model(tier, TWO), build_edge_model(tier, SMALL_SPEC)
    assert with_heads.fingerprint != without.fingerprint
    assert "targets" not in without.sizes
    # Backbone and first head are laid out as before, so that what crosses is the same.
    names = [weight.name for weight in with_heads.layout.weights]
    assert names[: len(without.layout.weights)] == [w.name for w in without.layout.weights]
    assert names[-2:] == ["targets/kernel", "targets/bias"]


def test_a_model_with_heads_passes_the_checks_of_the_kit():
    check_edge_model("mlp", TWO)


def headless(spec):
    inputs = layers.Inputs(spec)
    embedding = layers.Dense("embedding", inputs.width, spec.embedding_dim)
    head = layers.Head(spec.embedding_dim, inputs.width)

    def forward(weights, given):
        everything = inputs(weights, given)
        return head(weights, embedding(weights, everything), everything)

    return architecture([inputs, embedding, head], forward)


def test_a_model_without_the_heads_is_refused():
    with pytest.raises(ConfigError, match=r"dwell, like \(samples.targets\).*spec.targets"):
        build_edge_model(f"{__name__}:headless", TWO)


def test_a_loss_by_position_needs_labels_of_negatives():
    like = TargetConfig("stars", {"5": 1.0}, loss="bpr")
    with pytest.raises(ConfigError, match=r"samples\.targets\.like\.negatives: expected the label"):
        check_losses(TrainingConfig(), SampleConfig(targets={"like": like}))
    told = dataclasses.replace(like, negatives=0.0)
    check_losses(TrainingConfig(), SampleConfig(targets={"like": told}))


def test_losses_of_targets_are_built_and_recorded_too():
    own = SampleConfig(targets={"like": TargetConfig("stars", {"5": 1.0}, loss="nobody:has")})
    with pytest.raises(ConfigError, match=r"samples.targets.like.loss"):
        check_losses(TrainingConfig(), own)
    brought = dataclasses.replace(own.targets["like"], loss=f"{__name__}:mine")
    found = loss_origins(TrainingConfig(), SampleConfig(targets={"like": brought}))
    assert list(found) == ["samples.targets.like.loss"]


def mine():
    return bce()
