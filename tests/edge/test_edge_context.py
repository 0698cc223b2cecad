"""What models read of a request's context: one input for each value, as it is."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.edge import interaction_features, item_tensors
from ecct_tf.edge.clock import context_inputs
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import Block, ItemTable

CONTEXT = {"network": ("wifi", "mobile"), "place": ("home", "work", "train")}
CONFIG = FeatureConfig(history_length=2, decays=(1.0,), last_items=0, clock=False, context=CONTEXT)


def _features(config, reading):
    rows = np.arange(4, dtype=np.float32)[:, None]
    width = config.width(num_blocks=1, num_attributes=0)
    table = ItemTable(
        blocks=(Block("alike", rows, rows),),
        attributes=np.zeros((4, 0), np.float32),
        cloud=np.zeros((4, 1), np.float32),
        bias=np.zeros(4, np.float32),
        # Moments as a cloud measures them, which never saw a context.
        feature_mean=np.zeros(width, np.float32),
        feature_scale=np.full(width, 1000.0, np.float32),
    )
    return interaction_features(
        item_tensors(table),
        block_sizes=(1,),
        config=config,
        history=tf.constant([1, 2]),
        candidates=tf.constant([3, 1]),
        clock=None if reading is None else tf.constant(reading, tf.float32),
        clip=False,
    ).features.numpy()


def test_each_value_is_an_input_of_its_own():
    found = context_inputs(tf.constant([[2.0, 3.0], [0.0, 1.0], [7.0, 0.0]]), config=CONFIG)
    assert found.numpy().tolist() == [[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("clock", [False, True])
def test_candidates_have_the_context_behind_what_else_they_have(clock):
    config = dataclasses.replace(CONFIG, clock=clock)
    reading = np.zeros(config.clock_width, np.float32)
    reading[-2:] = 1, 3
    found, silent = _features(config, reading), _features(config, None)
    assert found.shape[-1] == config.width(num_blocks=1, num_attributes=0)
    # Unscaled, alike for all candidates, and known where the time is not.
    assert found[:, -5:].tolist() == [[1, 0, 0, 0, 1]] * 2
    assert not silent[:, -5:].any()
    np.testing.assert_array_equal(found[:, :-5], silent[:, :-5])


def test_values_are_some_and_differ():
    for wrong in ({"network": ()}, {"network": ("a", "a")}, {"network": ("",)}):
        with pytest.raises(ConfigError, match=r"features\.context\.network: expected one or more"):
            FeatureConfig(context=wrong)
    assert hash(CONFIG) == hash(dataclasses.replace(CONFIG, context={}))
