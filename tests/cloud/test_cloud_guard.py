"""The guard: positions that no training sees, and what is not learned for their sake."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.features import CloudPositions
from cloud.guard import GuardedCloud, is_below
from cloud.held_out import hold_out
from ecct_tf.errors import CheckpointError


@pytest.fixture(scope="module")
def guarded(make_cloud):
    """A recommender that is published and holds out all it may, its guard, and their start."""
    cloud = make_cloud(held_out_share=1.0, answer_ridge=0.1, update_epochs=1, guard_room=0.02)
    cloud.publish()
    guard = GuardedCloud(cloud)
    return cloud, guard, guard.snapshot()


@pytest.fixture
def start(guarded):
    cloud, guard, first = guarded
    guard.restore(first)
    return cloud, guard


@pytest.fixture(scope="module")
def everybody_answers(knowledge, guarded):
    """The store in which each user's device says `sign` times what the cloud thinks, of all."""
    cloud, _, first = guarded
    users = np.arange(len(knowledge.rounds), dtype=np.int32)

    def make(sign):
        items = np.tile(np.arange(1, 41, dtype=np.int32), (len(users), 1))
        logits = cloud.scores(users, items, knowledge=None, round_number=0)
        fields = {
            "items": items,
            "logits": sign * logits,
            "embeddings": np.zeros((*items.shape, knowledge.embeddings.shape[-1]), np.float32),
            "rounds": np.zeros(len(users), np.int32),
            "logit_rounds": np.zeros(len(users), np.int32),
        }
        earlier = {
            "earlier_items": np.zeros((len(users), 0, 40), np.int32),
            "earlier_logits": np.zeros((len(users), 0, 40), np.float32),
        }
        return dataclasses.replace(knowledge, **fields, **earlier)

    guarded[1].restore(first)
    return make


@pytest.fixture(scope="module")
def silent(everybody_answers):
    """The store of devices that sent no logit, so that weights alone decide what is served."""
    store = everybody_answers(1.0)
    return dataclasses.replace(store, logit_rounds=np.full_like(store.logit_rounds, -1))


def test_positions_are_held_out_once_a_user(view, make_cloud):
    every = make_cloud().batches.positions
    rest, held = hold_out(every, view, share=0.2, seed=3)
    assert len(held.users) == int(0.2 * len(every.users))
    assert len(rest.users) + len(held.users) == len(every.users)
    assert np.unique(held.users).tolist() == held.users.tolist()
    for user, state, items in zip(held.users, held.states, held.items, strict=True):
        mine = (every.users == user) & (every.items == items[0])
        assert any(
            np.array_equal(state, other) for other in every.states_before(np.flatnonzero(mine))
        )
        assert not np.isin(items[1:], view.older.of(int(user))).any()
    again = hold_out(every, view, share=0.2, seed=3)[1]
    np.testing.assert_array_equal(held.items, again.items)


def test_the_only_position_of_a_user_stays(make_view):
    view = make_view([[1, 2, 3], [4, 5], [6]], num_items=9)
    positions = CloudPositions(
        users=np.array([0, 0, 1], np.int32),
        states=np.zeros((2, 2), np.float32),
        seen_from=np.array([0, 0, 1]),
        items=np.array([2, 3, 5], np.int32),
    )
    rest, held = hold_out(positions, view, share=1.0, seed=0)
    assert held.users.tolist() == [0]
    assert sorted(rest.users.tolist()) == [0, 1]


def test_no_training_sees_what_is_held_out(make_cloud):
    cloud = make_cloud(held_out_share=1.0)
    trained = {(u, i) for u, i in zip(*_columns(cloud.batches.positions), strict=True)}
    assert len(cloud.held_out.users)
    assert not trained & set(zip(cloud.held_out.users, cloud.held_out.items[:, 0], strict=True))


def _columns(positions):
    return positions.users.tolist(), positions.items.tolist()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.floats(0.01, 0.5))
def test_a_loss_that_all_share_is_beyond_noise_and_a_gain_never(gains, loss):
    gains = np.array(gains)
    assert is_below(gains - loss, gains)
    assert not is_below(gains + loss, gains)
    assert not is_below(gains, gains)


@given(st.floats(0.1, 1), st.integers(2, 30), st.floats(0.05, 0.5))
def test_a_share_may_be_lost(gain, rows, room):
    gains = np.full(rows, gain)
    assert not is_below(gains * (1 - 0.9 * room), gains, room=room)
    assert is_below(gains * (1 - 1.1 * room) - 1e-3, gains, room=room)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_say_nothing(rows):
    assert not is_below(np.zeros(rows), np.ones(rows))


def test_devices_that_say_the_opposite_are_not_heeded(start, everybody_answers, caplog):
    cloud, guard = start
    wrong = everybody_answers(-3.0)
    users = np.arange(5, dtype=np.int32)
    candidates = np.tile(np.arange(1, 9, dtype=np.int32), (5, 1))
    measured = guard.update(wrong, round_number=0, use_logits=True)
    assert measured["cloud_heeds_devices"] == 0.0
    assert "round 1 on the cloud does not use what devices told it" in caplog.text
    served = {"knowledge": wrong, "round_number": 1}
    np.testing.assert_array_equal(
        guard.scores(users, candidates, **served),
        cloud.scores(users, candidates, knowledge=None, round_number=1),
    )
    np.testing.assert_array_equal(
        guard.user_embeddings(users, **served),
        cloud.user_embeddings(users, knowledge=None, round_number=1),
    )


def test_their_logits_teach_nothing(start, everybody_answers):
    cloud, guard = start
    wrong, first = everybody_answers(-3.0), cloud.snapshot()
    guard.update(wrong, round_number=0, use_logits=True)
    learned = cloud.snapshot()
    cloud.restore(first)
    cloud.update(wrong, round_number=0, use_logits=False)
    for name, value in cloud.snapshot().items():
        np.testing.assert_array_equal(value, learned[name], err_msg=name)


def test_devices_that_have_learned_meanwhile_are_heard_again(start, everybody_answers, caplog):
    _, guard = start
    guard.update(everybody_answers(-3.0), round_number=0, use_logits=True)
    measured = guard.update(everybody_answers(1.0), round_number=1, use_logits=True)
    assert measured["cloud_heeds_devices"] == 1.0
    assert "round 2 on the cloud uses what devices told it" in caplog.text


def test_an_update_that_does_harm_is_taken_back(start, silent, monkeypatch, caplog):
    cloud, guard = start
    before = guard.snapshot()

    def turned(*_, **__):
        for variable in cloud.model.trainable_variables:
            variable.assign(-variable)
        return {"cloud_loss": 0.5}

    monkeypatch.setattr(cloud, "update", turned)
    measured = guard.update(silent, round_number=4, use_logits=True)
    assert measured["cloud_update_kept"] == 0.0
    assert "update of round 5 is taken back" in caplog.text
    after = guard.snapshot()
    for name in before.keys() - {"guard/best"}:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_losses_too_small_to_show_do_not_add_up(start, silent, monkeypatch):
    """Each update is compared with the best so far, not with the one before it."""
    cloud, guard = start
    rng = np.random.default_rng(0)
    kept = []

    def worse(*_, **__):
        for variable in cloud.model.trainable_variables:
            variable.assign_add(0.1 * rng.normal(size=variable.shape))
        return {"cloud_loss": 0.5}

    monkeypatch.setattr(cloud, "update", worse)
    for number in range(12):
        measured = guard.update(silent, round_number=number, use_logits=True)
        kept.append(measured["cloud_update_kept"])
    assert 0.0 in kept


def test_a_snapshot_judges_alike(start, everybody_answers):
    _, guard = start
    guard.update(everybody_answers(-3.0), round_number=0, use_logits=True)
    kept = guard.snapshot()
    once = guard.update(everybody_answers(1.0), round_number=1, use_logits=True)
    after = guard.snapshot()
    guard.restore(kept)
    assert not guard.heeds_devices
    assert guard.update(everybody_answers(1.0), round_number=1, use_logits=True) == once
    for name, value in guard.snapshot().items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_a_snapshot_of_another_cloud_is_refused(start):
    _, guard = start
    with pytest.raises(CheckpointError, match="does not fit"):
        guard.restore({"guard/heeds": np.float32(1.0)})


def test_where_nothing_can_be_held_out_it_is_the_recommender(make_cloud, knowledge):
    cloud = make_cloud(held_out_share=0.0)
    cloud.publish()
    assert GuardedCloud(cloud).update(knowledge, round_number=0, use_logits=True).keys() == {
        "cloud_loss"
    }
