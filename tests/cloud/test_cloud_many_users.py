"""What the cloud computes of many users at once is what it was user by user, bit for bit."""

import numpy as np
import pytest
from scipy import sparse

from cloud import features, moments, similarity
from cloud.features import training_positions, user_state
from cloud.moments import own_positions
from ecct_tf.baselines import ease
from ecct_tf.config import FeatureConfig
from ecct_tf.data import SyntheticConfig, cloud_view, leave_one_out, synthetic_dataset
from ecct_tf.data.chunks import chunks_of
from ecct_tf.knowledge import Block


@pytest.fixture(scope="module")
def view():
    dataset = synthetic_dataset(SyntheticConfig(users=50, items=80, interactions=15))
    return cloud_view(dataset, leave_one_out(dataset))


def _one_by_one(histories, *, num_items, decay):
    rows, columns, weights = [], [], []
    for history in histories:
        for distance in range(1, min(8, len(history) - 1) + 1):
            rows.append(history[:-distance])
            columns.append(history[distance:])
            weights.append(np.full(len(history) - distance, decay**distance))
    shape = (num_items + 1, num_items + 1)
    data = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.coo_matrix(data, shape=shape).tocsr()


def test_successions_are_added_as_one_by_one(view):
    histories = [*view.older.histories, np.array([3], np.int32), np.zeros(0, np.int32)]
    found = similarity._successions(histories, num_items=80, decay=0.7)
    expected = _one_by_one(histories, num_items=80, decay=0.7)
    assert found.toarray().tobytes() == expected.toarray().tobytes()
    assert not similarity._successions([], num_items=80, decay=0.7).nnz


def test_successions_of_some_users_at_a_time_are_the_same_but_for_rounding(view, monkeypatch):
    whole = similarity._successions(view.older.histories, num_items=80, decay=0.7)
    monkeypatch.setattr(similarity, "chunks_of", lambda ends: chunks_of(ends, 40))
    parts = similarity._successions(view.older.histories, num_items=80, decay=0.7)
    np.testing.assert_allclose(parts.toarray(), whole.toarray(), rtol=1e-12)


def test_ease_of_some_histories_at_a_time_is_the_same(view, monkeypatch):
    whole = ease.fit_ease(view.older.histories, num_items=80, regularization=5.0)
    monkeypatch.setattr(ease, "_HISTORIES_AT_ONCE", 7)
    parts = ease.fit_ease(view.older.histories, num_items=80, regularization=5.0)
    assert parts.weights.tobytes() == whole.weights.tobytes()


@pytest.fixture(scope="module")
def blocks(view):
    rng = np.random.default_rng(0)
    shape = (view.num_items + 1, 32)
    made = (rng.normal(size=shape).astype(np.float32) for _ in range(4))
    return tuple(Block(name, *(next(made) for _ in range(2))) for name in ("one", "two"))


def test_states_are_those_of_powers_of_each_history(view, blocks):
    for history in view.older.histories[:20]:
        ages = np.arange(len(history) - 1, -1, -1)
        expected = [
            (decay**ages).astype(np.float32) @ block.source[history]
            for block in blocks
            for decay in features._STATE_DECAYS
        ]
        state = user_state(blocks, history, np.zeros(0, np.float32))
        assert state[: 6 * 32].tobytes() == np.concatenate(expected).tobytes()


def test_labelled_positions_are_those_of_each_user(view, blocks):
    columns = np.zeros((view.num_users, 0), np.float32)
    found = training_positions(view, blocks, columns, tail=0.3)
    users, items, states = [], [], []
    for user, history in enumerate(view.older.histories):
        count = features.tail_length(len(history), 0.3)
        if count:
            users += [user] * count
            items += history[-count:].tolist()
            states += [user_state(blocks, history[:-count], columns[user])] * count
    assert (found.users.tolist(), found.items.tolist()) == (users, items)
    assert found.states_before(np.arange(len(users))).tobytes() == np.stack(states).tobytes()


def test_of_very_many_users_some_are_measured(view, monkeypatch):
    config = FeatureConfig()
    everybody = own_positions(view, features=config, seed=0)
    monkeypatch.setattr(moments, "_MEASURED", 20)
    some = own_positions(view, features=config, seed=0)
    assert (len(everybody.users), len(some.users)) == (50, 20)
    assert np.isin(some.users, everybody.users).all()
    assert some.users.tolist() == own_positions(view, features=config, seed=0).users.tolist()
    assert some.users.tolist() != own_positions(view, features=config, seed=1).users.tolist()
