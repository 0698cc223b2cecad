"""Features of the clock, for two blocks and three slots, by hand."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.edge import interaction_features, item_tensors
from ecct_tf.edge.clock import clock_features, elapsed_weights
from ecct_tf.edge.history_products import HistoryProducts
from ecct_tf.knowledge import Block, ItemTable

CONFIG = FeatureConfig(
    history_length=3, decays=(1.0,), last_items=1, clock=True, clock_hours=(1.0, 4.0),
    clock_pauses=(1, 3, 10), clock_calendar=True,
)  # fmt: skip
OFF = dataclasses.replace(CONFIG, clock=False)
# Known, session, hour and weekday, then the hours since each slot.
CLOCK = np.array([1, 0.5, 0.1, 0.2, 0.3, 0.4, 12, 3, 0], np.float32)
EMBEDDINGS = np.array([[0], [1], [2], [3]], np.float32)
HISTORY, CANDIDATES = [1, 2, 3], [2, 1]


def table(features, mean=0.0, scale=1.0):
    width = features.width(num_blocks=1, num_attributes=1)
    return item_tensors(
        ItemTable(
            blocks=(Block("alike", EMBEDDINGS, EMBEDDINGS),),
            attributes=np.array([[0.0], [1.0], [0.0], [0.0]], np.float32),
            cloud=np.zeros((4, 1), np.float32),
            bias=np.zeros(4, np.float32),
            feature_mean=np.full(width, mean, np.float32),
            feature_scale=np.full(width, scale, np.float32),
        )
    )


def features(config=CONFIG, *, clock=CLOCK, **moments):
    return interaction_features(
        table(config, **moments),
        block_sizes=(1,),
        config=config,
        history=tf.constant(HISTORY),
        candidates=tf.constant(CANDIDATES),
        clock=None if clock is None else tf.constant(clock),
        clip=False,
    ).features.numpy()


def test_slots_weigh_by_elapsed_time():
    weights = elapsed_weights(tf.constant(CLOCK), config=CONFIG, mask=tf.constant([1.0, 1.0, 1.0]))
    # h / (h + elapsed) is 1/13, 1/4, 1 after one hour, and 1/4, 4/7, 1 after four.
    first, second = np.array([1 / 13, 1 / 4, 1]), np.array([1 / 4, 4 / 7, 1])
    np.testing.assert_allclose(weights[0], first / first.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights[1], second / second.sum(), rtol=1e-6)
    padded = elapsed_weights(tf.constant(CLOCK), config=CONFIG, mask=tf.constant([0.0, 1.0, 1.0]))
    np.testing.assert_allclose(padded[0], [0, 0.2, 0.8], rtol=1e-6)
    empty = elapsed_weights(tf.constant(CLOCK), config=CONFIG, mask=tf.zeros([3]))
    assert not empty.numpy().any()


def by_clock(products, *, config):
    """What the time says of a candidate whose products with three items are given by block."""
    sources = [tf.constant(block)[:, None] for block in products]
    found = HistoryProducts(sources, [tf.ones([1, 1])] * len(sources), tf.ones([3]))
    clock, by_time = tf.constant(CLOCK), []
    if config.clock_hours:
        (by_time,) = found.pooled(elapsed_weights(clock, config=config, mask=found.mask))
    columns = clock_features(by_time, config=config, clock=clock, rows=tf.constant([1]))
    return tf.concat(columns, axis=-1)[0].numpy()


def test_products_by_elapsed_time_and_the_time_beside_them():
    found = by_clock([[13.0, 4.0, 1.0], [0.0, 0.0, 7.0]], config=CONFIG)
    first, second = 1 / 13 + 1 / 4 + 1, 1 / 4 + 4 / 7 + 1
    by_block = [3 / first, (13 / 4 + 16 / 7 + 1) / second, 7 / first, 7 / second]
    # The pause of the newest is 0, that of the third 12 hours; there is no tenth.
    pauses = [0, 0.1 * math.log(1 + 720)]
    np.testing.assert_allclose(found, [*by_block, 0.5, 0.1, 0.2, 0.3, 0.4, *pauses], rtol=1e-6)
    assert len(found) == CONFIG.clock_features(num_blocks=2)


def test_without_hour_and_weekday():
    config = dataclasses.replace(CONFIG, clock_hours=(), clock_calendar=False)
    found = by_clock([[1.0, 1.0, 1.0]], config=config)
    np.testing.assert_allclose(found, [0.5, 0, 0.1 * math.log(1 + 720)], rtol=1e-6)
    assert len(found) == config.clock_features(num_blocks=1)


def test_they_stand_behind_the_others_and_change_none_of_them():
    added = CONFIG.clock_features(num_blocks=1)
    assert CONFIG.width(num_blocks=1, num_attributes=1) == added + OFF.width(
        num_blocks=1, num_attributes=1
    )
    with_clock, without = features(mean=0.5, scale=2.0), features(OFF, mean=0.5, scale=2.0)
    assert with_clock[:, :-added].tobytes() == without.tobytes()
    # A reading is not read where there is no clock.
    assert features(OFF, clock=None, mean=0.5, scale=2.0).tobytes() == without.tobytes()


@pytest.mark.parametrize("silent", [None, np.zeros(9, np.float32)])
def test_a_silent_clock_says_the_mean(silent):
    added = CONFIG.clock_features(num_blocks=1)
    found = features(clock=silent, mean=0.75, scale=2.0)
    assert not found[:, -added:].any()
    assert features(mean=0.75, scale=2.0)[:, -added:].all()
