"""Tensors of an item table: made once, its only copy, or of the rows that are read."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.edge import (
    interaction_features,
    item_tensors,
    laid_out,
    read_rows,
    table_tensors,
)
from ecct_tf.knowledge import Block, ItemTable

CONFIG = FeatureConfig(history_length=3, decays=(1.0, 0.5), last_items=2, clock=False)
WIDTH = CONFIG.width(num_blocks=2, num_attributes=2)
ROWS = 40


@pytest.fixture
def table():
    rng = np.random.default_rng(0)

    def rows(*width):
        return rng.standard_normal((ROWS, *width)).astype(np.float32)

    alike = rows(3)
    return ItemTable(
        blocks=(Block("alike", alike, alike), Block("next", rows(4), rows(4))),
        attributes=rows(2),
        cloud=rows(5),
        bias=rows(),
        feature_mean=rng.standard_normal(WIDTH).astype(np.float32),
        feature_scale=np.full(WIDTH, 0.5, np.float32),
        logit_mean=2.0,
        logit_scale=0.25,
    )


def assert_equal(found, expected):
    for name, one, other in zip(expected._fields, found, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name, strict=isinstance(one, np.ndarray))


def test_tensors_are_made_once_and_hold_what_the_arrays_hold(table):
    before = item_tensors(table)
    made = table_tensors(table)
    assert_equal(made, before)
    assert all(again is first for again, first in zip(table_tensors(table), made, strict=True))
    assert np.shares_memory(item_tensors(table).source, np.asarray(made.source))
    other = dataclasses.replace(table, logit_mean=3.0)
    assert float(table_tensors(other).logit_mean) == 3.0


def test_tensors_end_with_their_table(table):
    copied = dataclasses.replace(table)
    kept = weakref.ref(table_tensors(copied).source)
    assert kept() is not None
    del copied
    gc.collect()
    assert kept() is None


def test_tensors_that_are_first_asked_for_in_a_graph_outlive_it(table):
    @tf.function(autograph=False)
    def first():
        return tf.reduce_sum(table_tensors(table).bias)

    first()
    assert_equal(table_tensors(table), item_tensors(table))


def test_a_table_laid_out_is_equal_and_shares_its_arrays_with_its_tensors(table):
    made = laid_out(table)
    assert_equal(item_tensors(made), item_tensors(table))
    tensors = table_tensors(made)
    for block, expected in zip(made.blocks, table.blocks, strict=True):
        assert (block.name, block.is_symmetric) == (expected.name, expected.is_symmetric)
        np.testing.assert_array_equal(block.source, expected.source)
        np.testing.assert_array_equal(block.target, expected.target)
        assert np.shares_memory(block.source, np.asarray(tensors.source))
    for name in ("attributes", "cloud", "bias"):
        assert np.shares_memory(getattr(made, name), np.asarray(getattr(tensors, name))), name
        assert not np.shares_memory(getattr(made, name), getattr(table, name)), name


def test_features_of_the_rows_that_are_read_have_the_bits_of_the_whole_table(table):
    rng = np.random.default_rng(1)
    history = rng.choice(np.arange(0, ROWS, 4), (6, 3)).astype(np.int32)
    history[0] = 0
    candidates = rng.choice(np.arange(2, ROWS, 4), (6, 5)).astype(np.int32)
    few, places = read_rows(table, history, candidates)
    assert few.source.shape[0] == len(set(history.ravel()) | set(candidates.ravel()) | {0})
    np.testing.assert_array_equal(places[0] > 0, history > 0)

    def features(items, history, candidates):
        return interaction_features(
            items,
            block_sizes=(3, 4),
            config=CONFIG,
            history=tf.constant(history),
            candidates=tf.constant(candidates),
        )

    found = features(few, *places)
    expected = features(table_tensors(table), history, candidates)
    for name in found._fields:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(
        tf.gather(few.cloud, places[1]), tf.gather(table.cloud, candidates)
    )
    np.testing.assert_array_equal(tf.gather(few.bias, places[1]), tf.gather(table.bias, candidates))
