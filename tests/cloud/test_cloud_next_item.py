"""The learned block names what follows."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from cloud.next_item import _pairs, _Positions, _Trainer, next_item_block
from cloud.next_item_loss import next_item_loss
from cloud.sampled_softmax import ItemSampler, sampled_loss
from ecct_tf.config import NextItemConfig
from ecct_tf.errors import ConfigError, DivergenceError
from ecct_tf.knowledge.pair_counts import PairCounts

ITEMS = 12


def histories():
    """Everybody walks the ring 1, 2, …, 12, 1, … from a start of their own."""
    return [
        np.array([1 + (start + step) % ITEMS for step in range(6)], np.int32)
        for start in range(ITEMS)
        for _ in range(4)
    ]


def learn(found=None, *, seed=0, **changes):
    return next_item_block(
        histories() if found is None else found,
        num_items=ITEMS,
        rank=8,
        decays=(1.0, 0.5),
        length=4,
        config=NextItemConfig(
            **{
                "epochs": 40,
                "batch_size": 32,
                "learning_rate": 0.02,
                "dropout": 0.0,
                "weight_decay": 0.0,
                **changes,
            }
        ),
        seed=seed,
    )


@pytest.fixture(scope="module")
def block():
    return learn()


def test_the_successor_scores_highest(block):
    scores = block.source @ block.target.T
    successors = [1 + item % ITEMS for item in range(1, ITEMS + 1)]
    assert (1 + scores[1:, 1:].argmax(axis=1)).tolist() == successors


def test_shapes_and_padding(block):
    assert block.name == "next item"
    assert block.source.shape == block.target.shape == (ITEMS + 1, 8)
    assert not block.source[0].any()
    assert not block.target[0].any()


def test_the_seed_decides(block):
    np.testing.assert_array_equal(learn().source, block.source)
    assert not np.array_equal(learn(seed=1).source, block.source)


def test_an_item_after_the_last_position_changes_nothing_before_it(block):
    """Only what is in the histories counts: a user without a successor adds nothing."""
    alone = [*histories(), np.array([5], np.int32)]
    np.testing.assert_array_equal(learn(alone).target, block.target)


def test_ranges():
    for changes in ({"dropout": 1.0}, {"rank": 0}, {"epochs": -1}, {"learning_rate": 0.0}):
        with pytest.raises(ConfigError, match=r"cloud\.next_item\."):
            NextItemConfig(**changes)


def test_without_epochs_there_is_no_such_block(make_cloud, config):
    import dataclasses

    names = [block.name for block in make_cloud().publish().blocks]
    assert names[:3] == ["preference", "sequence", "next item"]
    plain = make_cloud(next_item=dataclasses.replace(config.next_item, epochs=0))
    assert "next item" not in [block.name for block in plain.publish().blocks]


def test_learning_that_diverges_is_refused_with_its_settings():
    config = NextItemConfig(epochs=2, learning_rate=3e38)
    with pytest.raises(DivergenceError, match=r"next item.*cloud\.next_item\.learning_rate=3e\+38"):
        next_item_block(
            histories(), num_items=ITEMS, rank=2, decays=(1.0,), length=4, config=config, seed=0
        )


def test_contexts_are_what_came_before():
    positions = _Positions([np.array([5, 6, 7]), np.array([8]), np.array([], int), [9, 1]], 2)
    assert positions.targets(np.arange(len(positions))).tolist() == [6, 7, 1]
    assert positions.counts(9).tolist() == [0, 1, 0, 0, 0, 0, 1, 1, 0, 0]
    assert positions.contexts(np.array([0, 1, 2])).tolist() == [[0, 5], [5, 6], [0, 9]]


def test_nobody_with_two_interactions_leaves_nothing_to_learn():
    assert not len(_Positions([np.array([3])], 2))
    assert not len(_Positions([], 2))


def test_an_epoch_has_as_many_positions_as_allowed(monkeypatch):
    seen = []
    step = _Trainer.step
    monkeypatch.setattr(
        _Trainer, "step", lambda self, *batch: seen.append(batch[1]) or step(self, *batch)
    )
    learn(epochs=3, max_positions=40, min_steps=0)
    assert [len(batch) for batch in seen] == [32, 8] * 3
    assert not np.array_equal(seen[0], seen[2])


def test_few_interactions_are_gone_over_more_often(monkeypatch):
    seen = []
    step = _Trainer.step
    monkeypatch.setattr(
        _Trainer, "step", lambda self, *batch: seen.append(len(batch[1])) or step(self, *batch)
    )
    for wanted in (0, 9, 100):
        learn(epochs=1, max_positions=64, min_steps=wanted)
    # Two steps an epoch: one epoch, five for nine steps, and no more than five times as many.
    assert [len(seen[:2]), len(seen[2:12]), len(seen[12:])] == [2, 10, 10]


def test_a_pair_that_devices_told_is_a_history_of_two():
    after = np.zeros((ITEMS + 1, ITEMS + 1))
    after[3, 5], after[4, 6], after[5, 7] = 1.0, 0.25, 0.125
    told = PairCounts(np.zeros(ITEMS + 1), sparse.csr_matrix(after), 0.5)
    assert [pair.tolist() for pair in _pairs(told)] == [[3, 5], [3, 5], [4, 6]]


def test_above_a_size_it_is_learned_among_drawn_items():
    found = learn(full_items=ITEMS - 1, sampled_items=8, epochs=80)
    scores = found.source @ found.target.T
    successors = [1 + item % ITEMS for item in range(1, ITEMS + 1)]
    assert (1 + scores[1:, 1:].argmax(axis=1)).tolist() == successors
    # Up to that size nothing is drawn, whatever the draws would be.
    one, other = (learn(full_items=ITEMS, sampled_items=size, epochs=2) for size in (1, 8))
    np.testing.assert_array_equal(one.source, other.source)


def test_where_all_items_are_drawn_it_is_the_softmax_over_all():
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(64, 4)), rng.normal(size=(31, 4))
    bias, targets = rng.normal(size=31), rng.integers(1, 31, 64)
    sampler = ItemSampler(rng.integers(0, 50, 31), size=20_000)
    parts = [tf.constant(part, tf.float32) for part in (users, items, bias)]
    found = sampled_loss(
        *parts,
        targets=tf.constant(targets, tf.int32),
        drawn=tf.constant(sampler.draw(rng)),
        expected=tf.constant(sampler.expected),
    )
    among = tf.constant(targets - 1, tf.int32)
    whole = next_item_loss(parts[0], parts[1][1:], parts[2][1:], among)
    assert float(found) == pytest.approx(float(whole), abs=1e-4)


def test_draws_are_as_expected():
    sampler, rng = ItemSampler(np.array([0, 0, 3, 80]), size=3), np.random.default_rng(1)
    draws = [sampler.draw(rng) for _ in range(4000)]
    found = np.bincount(np.concatenate(draws), minlength=4) / 4000
    np.testing.assert_allclose(found, sampler.expected, atol=0.03)
    assert 0 < found[1] < found[2] < found[3]
