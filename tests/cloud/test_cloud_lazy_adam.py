"""Rows that wait are where Adam over the whole table has them."""

import numpy as np
import pytest
import tensorflow as tf

from cloud.lazy_adam import LazyAdam
from cloud.next_item import _Trainer
from cloud.next_item_trainer import pooled, pooling_weights
from cloud.sampled_next_item import SampledTrainer
from cloud.sampled_softmax import ItemSampler, sampled_loss
from ecct_tf.config import NextItemConfig

ROWS, DECAY, RATE = 40, 0.999, 0.01


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3)])
def test_rows_that_are_touched_now_and_then_end_where_they_do_in_a_whole_table(shape):
    rng = np.random.default_rng(0)
    first = rng.normal(size=shape).astype(np.float32)
    whole, optimizer = tf.Variable(first), tf.keras.optimizers.Adam(RATE)
    lazy = LazyAdam(first.copy(), learning_rate=RATE, decay=DECAY)
    for step in range(120):
        # The last ten rows are never touched, and row 0 once.
        rows = np.unique(rng.integers(1, ROWS - 10, 3)) if step else np.array([0, 5])
        gradients = rng.normal(size=(len(rows), *shape[1:])).astype(np.float32)
        np.testing.assert_allclose(lazy.rows(rows), whole.numpy()[rows], rtol=2e-5, atol=2e-6)
        lazy.apply(rows, gradients)
        dense = np.zeros(shape, np.float32)
        dense[rows] = gradients
        optimizer.apply_gradients([(tf.constant(dense), whole)])
        whole.assign(whole * DECAY)
    np.testing.assert_allclose(lazy.whole(), whole.numpy(), rtol=2e-5, atol=2e-6)
    moved = np.abs(lazy.table - first * DECAY**120).reshape(ROWS, -1).max(axis=1)
    assert moved[0] > 3 * RATE
    assert not (moved[-10:] > 1e-5).any()


class _Whole(_Trainer):
    """Sampled steps over the whole tables."""

    def __init__(self, *arguments, counts, config, **others):
        super().__init__(*arguments, counts=counts, config=config, **others)
        self._sampler = ItemSampler(counts, size=config.sampled_items)

    def step(self, contexts, targets, keep, rng):
        drawn = self._sampler.draw(rng)
        with tf.GradientTape() as tape:
            mask = tf.cast(contexts > 0, tf.float32) * keep
            loss = sampled_loss(
                pooled(tf.gather(self._source, contexts), mask, self._pooling, self._mix),
                self._target,
                self._bias,
                targets=tf.constant(targets),
                drawn=tf.constant(drawn),
                expected=tf.constant(self._sampler.expected),
            )
        self._apply(tape.gradient(loss, self._variables))


def test_sampled_steps_over_the_rows_of_a_batch_are_those_over_whole_tables():
    items = 60
    counts = np.random.default_rng(1).integers(0, 9, items + 1)
    config = NextItemConfig(sampled_items=8, learning_rate=0.01)
    trainers = []
    for kind in (_Whole, SampledTrainer):
        source = np.random.default_rng(2)
        trainer = kind(
            source, num_items=items, rank=5, decays=(1.0, 0.5), length=4, counts=counts,
            config=config,
        )  # fmt: skip
        for _ in range(40):
            contexts = source.integers(0, items // 2, (6, 4)).astype(np.int32)
            targets = source.integers(1, items, 6).astype(np.int32)
            keep = (source.random((6, 4)) > 0.3).astype(np.float32)
            trainer.step(contexts, targets, keep, source)
        trainers.append(trainer)
    names = ("source", "target")
    blocks = [trainer.block() for trainer in trainers]
    for name in names:
        whole, lazy = (getattr(block, name) for block in blocks)
        np.testing.assert_allclose(lazy, whole, rtol=1e-3, atol=2e-5, err_msg=name)


def test_weights_of_ages():
    expected = [[1.0, 0.25], [1.0, 0.5], [1.0, 1.0]]
    assert pooling_weights((1.0, 0.5), 3).tolist() == expected
