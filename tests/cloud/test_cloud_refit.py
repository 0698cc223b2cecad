"""Item-to-item knowledge that holds what devices added."""

import dataclasses

import numpy as np
import pytest
from scipy import sparse

from cloud.input_space import build_input_space
from cloud.refit import refit_space
from ecct_tf.baselines import fit_ease
from ecct_tf.config import CloudConfig, FeatureConfig, NextItemConfig
from ecct_tf.data import SyntheticConfig, cloud_view, leave_one_out, synthetic_dataset
from ecct_tf.knowledge.pair_counts import PairCounts

CONFIG = CloudConfig(rank=8, regularization=5.0, next_item=NextItemConfig(epochs=0))


@pytest.fixture(scope="module")
def view():
    data = synthetic_dataset(SyntheticConfig(users=30, items=40, interactions=12, seed=2))
    return cloud_view(data, leave_one_out(data, recent_fraction=0.2))


@pytest.fixture(scope="module")
def space(view):
    return build_input_space(view, CONFIG, features=FeatureConfig(), seed=0)


def added(count, *, first=3, second=17, items=40):
    after = np.zeros((items + 1, items + 1))
    after[first, second] = 0.5 * count
    new = np.zeros(items + 1)
    new[second] = count
    return PairCounts(new, sparse.csr_matrix(after), 0.5)


def score(block, first, second):
    return float(block.source[first] @ block.target[second])


def refitted(space, view, count, *, config=CONFIG, **pair):
    told = added(count, **pair)
    return refit_space(space, view, config, told, features=FeatureConfig(), seed=0)


def test_nothing_added_changes_nothing(view, space):
    same = refitted(space, view, 0)
    for name in ("preference", "sequence"):
        old, new = getattr(space, name), getattr(same, name)
        np.testing.assert_allclose(new.source @ new.target.T, old.source @ old.target.T, atol=1e-4)
    np.testing.assert_array_equal(same.attributes, space.attributes)


def test_a_pair_that_devices_know_enters_both_blocks_and_popularity(view, space):
    refit = refitted(space, view, 4, first=9, second=30)
    for name in ("preference", "sequence"):
        before, after = (score(getattr(each, name), 9, 30) for each in (space, refit))
        assert after > before + 0.1, name
    rise = refit.attributes[:, 0] - space.attributes[:, 0]
    assert rise.argmax() == 30
    assert refit.learned == ()
    assert refit.rank == space.rank


def test_the_learned_block_hears_of_the_pair_too(view, space):
    config = dataclasses.replace(
        CONFIG, next_item=NextItemConfig(epochs=8, rank=8, learning_rate=0.03)
    )
    alone, told = (
        refitted(space, view, count, config=config, first=9, second=30).learned[0]
        for count in (0, 40)
    )
    assert score(told, 9, 30) > score(alone, 9, 30) + 0.1


def test_added_co_occurrences_are_those_of_more_users():
    pair, other = np.array([1, 2]), np.array([2, 3])
    gram = np.zeros((4, 4))
    for history in (other, other):
        gram[np.ix_(history, history)] += 1.0
    whole = fit_ease([pair, other, other], num_items=3, regularization=2.0)
    parts = fit_ease([pair], num_items=3, regularization=2.0, added=sparse.csr_matrix(gram))
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-6)
