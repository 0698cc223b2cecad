"""The ablation in which logits alone cross: what it goes with, and who reads no embedding."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from cloud.exchange_model import EdgeKnowledge, ExchangeModel
from ecct_tf.commands.simulate import _exports
from ecct_tf.config import FeatureConfig, SampleConfig, TrainingConfig, load_config
from ecct_tf.edge import DeviceTask
from ecct_tf.edge.inputs import input_embedding
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import ExchangeSpec
from ecct_tf.privacy import PrivacyAccount
from ecct_tf.simulation.ecct import EcctAlgorithm

LOGITS_ONLY = "exchange.embeddings=false"


@pytest.mark.parametrize(
    "setting",
    [
        "exchange.rows=item",
        "exchange.uplink_log=uplinks",
        "runtime.real_devices=1",
        "exchange.logits=false",
        "exchange.stage_1_rounds=1",
    ],
)
def test_what_has_embeddings_in_its_form_is_refused_by_name(setting):
    name = setting.partition("=")[0].removeprefix("exchange.")
    with pytest.raises(ConfigError, match=name) as caught:
        load_config(overrides=[LOGITS_ONLY, setting])
    assert LOGITS_ONLY in str(caught.value)


def test_logits_cross_from_the_first_round_on_also_from_random_weights():
    random = "edge.start=random"
    assert load_config(overrides=["rounds=10", random]).stage_1_rounds == 5
    assert load_config(overrides=["rounds=10", random, LOGITS_ONLY]).stage_1_rounds == 0


def test_a_silent_embedding_is_zero():
    told = tf.ones([2, 3])
    np.testing.assert_array_equal(input_embedding(told, use_embedding=True), told)
    np.testing.assert_array_equal(input_embedding(told, use_embedding=False), np.zeros((2, 3)))


def test_what_a_cloud_hears_of_no_embedding_is_nothing():
    """Whatever its fusion has learned, the bias of its gate too."""
    sizes = type("Sizes", (), {"edge_dim": 4})()
    model = ExchangeModel()
    model.spec = sizes
    model.add_fusion(3)
    model.fusion_gate.build((None, 4))
    model.fusion_gate.bias.assign([0.7])
    vectors = tf.ones([2, 5, 3])
    some = EdgeKnowledge(tf.ones([2, 5], tf.int32), tf.zeros([2, 5, 4]), tf.ones([2]))
    none = dataclasses.replace(some, embeddings=tf.zeros([2, 5, 0]))
    assert np.abs(model.heard(some, vectors)).max() > 0.1
    np.testing.assert_array_equal(model.heard(none, vectors), np.zeros((2, 3)))


def test_noise_is_accounted_for_logits_alone():
    noisy = ["exchange.noise_multiplier=10", "edge.shared=none"]
    whole, logits = (
        PrivacyAccount.of(load_config(overrides=[*noisy, *more])) for more in ([], [LOGITS_ONLY])
    )
    assert logits.epsilon(10, 10) == whole.epsilon(0, 10) < whole.epsilon(10, 10)


@pytest.mark.parametrize("embeddings", [True, False])
def test_files_for_phones_are_offered_where_there_are_some(embeddings):
    config = load_config(overrides=[f"exchange.embeddings={str(embeddings).lower()}"])
    algorithm = object.__new__(EcctAlgorithm)
    object.__setattr__(algorithm, "table", types.SimpleNamespace(row_dim=0))
    experiment = types.SimpleNamespace(config=config)
    result = types.SimpleNamespace(algorithm=algorithm, experiment=experiment)
    assert _exports(result) is embeddings


def test_a_file_for_phones_is_refused():
    exchange = ExchangeSpec(cloud_dim=2, embedding_dim=2, num_queries=2, with_embeddings=False)
    task = DeviceTask(
        features=FeatureConfig(),
        samples=SampleConfig(),
        training=TrainingConfig(),
        exchange=exchange,
        sharing="none",
    )
    with pytest.raises(ConfigError, match=r"export: only logits cross .*exchange\.embeddings=true"):
        task.check(None)
