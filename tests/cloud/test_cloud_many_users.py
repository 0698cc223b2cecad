"""What the cloud computes of many users at once is what it was user by user, bit for bit."""

import numpy as np
import pytest
from scipy import sparse

from cloud import CloudRecommender, features, moments, successions
from cloud.features import training_positions, user_state
from cloud.moments import own_positions
from cloud.user_states import UserStates
from ecct_tf.baselines import ease
from ecct_tf.config import CloudConfig, FeatureConfig, NextItemConfig
from ecct_tf.data import SyntheticConfig, cloud_view, leave_one_out, synthetic_dataset
from ecct_tf.data.chunks import chunks_of
from ecct_tf.data.views import joined_of, sizes_of
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


def _counted(histories):
    bands = successions.successions(histories, num_items=80, decay=0.7)
    return sparse.vstack(bands, format="csr")


def test_successions_are_added_as_one_by_one(view):
    histories = [*view.older.histories, np.array([3], np.int32), np.zeros(0, np.int32)]
    found = _counted(histories)
    expected = _one_by_one(histories, num_items=80, decay=0.7)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    assert not _counted([]).nnz


def test_successions_of_some_users_at_a_time_are_the_same_but_for_rounding(view, monkeypatch):
    whole = _counted(view.older.histories)
    monkeypatch.setattr(successions, "chunks_of", lambda ends: chunks_of(ends, 40))
    parts = _counted(view.older.histories)
    np.testing.assert_allclose(parts.toarray(), whole.toarray(), rtol=1e-12)


def _information(counts):
    """Positive pointwise mutual information of a whole matrix of counts."""
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-9)
    context = np.asarray(counts.sum(axis=0)).ravel() ** 0.75
    context = np.maximum(context / max(context.sum(), 1e-9), 1e-12)
    cells = counts.tocoo()
    pmi = np.log(cells.data / (total[cells.row] * context[cells.col]))
    return sparse.csr_matrix((np.maximum(pmi, 0.0), (cells.row, cells.col)), shape=counts.shape)


@pytest.mark.parametrize("items_in_band", [7, 81, 1000])
@pytest.mark.parametrize("entries", [40, 1 << 20])
def test_successions_band_by_band_are_the_same(view, monkeypatch, items_in_band, entries):
    monkeypatch.setattr(successions, "chunks_of", lambda ends: chunks_of(ends, entries))
    whole = _counted(view.older.histories)
    monkeypatch.setattr(successions, "_ITEMS_IN_BAND", items_in_band)
    bands = successions.successions(view.older.histories, num_items=80, decay=0.7)
    assert len(bands) == -(-81 // items_in_band)
    np.testing.assert_array_equal(sparse.vstack(bands).toarray(), whole.toarray())
    found = successions.positive_information(bands)
    np.testing.assert_array_equal(found.toarray(), _information(whole).toarray())
    assert not bands


def test_histories_are_joined_as_they_are(view):
    older = view.older
    for histories in (older.histories, older.without_newest(np.arange(50) % 4)):
        for users in (slice(None), slice(0, 0), slice(3, 17)):
            expected = np.concatenate([np.zeros(0, np.int32), *histories[users]])
            np.testing.assert_array_equal(joined_of(histories, users), expected)
        assert sizes_of(histories).tolist() == [len(each) for each in histories]


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


def _singly(blocks, history):
    """A state of one user, as it was before many were made at once."""
    powers = features._powers(1 << max(len(history) - 1, 0).bit_length())
    pooled = [
        power[len(power) - len(history) :] @ source
        for source in (block.source[history] for block in blocks)
        for power in powers
    ]
    scale = np.float32(1.0 / np.sqrt(1.0 + len(history)))
    length = np.array([np.log1p(len(history)) - 4.0], np.float32)
    return np.concatenate([*pooled, scale * pooled[0], scale * pooled[3], length])


def test_states_of_many_users_are_those_of_each(view, blocks):
    histories = [*view.older.histories, np.array([3], np.int32), np.zeros(0, np.int32)]
    histories += [history[:9] for history in view.older.histories]
    sizes = np.array([len(history) for history in histories])
    found = features.user_states(
        blocks,
        np.concatenate(histories),
        starts=np.cumsum(sizes) - sizes,
        sizes=sizes,
        centralized=np.zeros((len(histories), 0), np.float32),
    )
    expected = np.stack([_singly(blocks, history) for history in histories])
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_states_are_made_for_those_that_are_asked_for_and_kept_up_to_a_bound():
    made = []

    def make(rows):
        made.extend(rows.tolist())
        return np.stack([rows, -rows], axis=1).astype(np.float32)

    states = UserStates(make, length=100, kept_bytes=3 * 8)
    assert states.shape == (100, 2)
    made.clear()
    assert states[np.array([7, 5, 7])].tolist() == [[7, -7], [5, -5], [7, -7]]
    assert states[np.array([5, 9])].tolist() == [[5, -5], [9, -9]]
    assert made == [5, 7, 9]
    # There is room for three: the oldest makes place.
    states[np.array([11])]
    made.clear()
    assert states[np.array([5, 7, 9, 11])][:, 0].tolist() == [5, 7, 9, 11]
    assert made == [5]
    assert np.asarray(states)[:, 0].tolist() == list(range(100))
    assert states[2:0].shape == (0, 2)
    made.clear()
    assert states[np.array([99])].tolist() == [[99, -99]]
    assert np.asarray(states)[:, 0].tolist() == list(range(100))


def test_a_recommender_makes_no_state_of_a_user_who_is_not_asked_about(view, monkeypatch):
    made = []
    whole = features.user_states

    def counted(blocks, items, *, sizes, **given):
        made.append(len(sizes))
        return whole(blocks, items, sizes=sizes, **given)

    monkeypatch.setattr(features, "user_states", counted)
    cloud = CloudRecommender(
        view,
        CloudConfig(rank=4, next_item=NextItemConfig(epochs=0)),
        features=FeatureConfig(),
        edge_dim=4,
        num_queries=2,
        seed=0,
    )
    made.clear()
    cloud.downlinks(np.array([3, 8], np.int32), round_number=0)
    assert made == [2]
    cloud.downlinks(np.array([8, 9], np.int32), round_number=0)
    assert sum(made) == 3
