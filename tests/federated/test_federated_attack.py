"""Poisoned devices: who they are, what they forge, and which forged uplinks are refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import AttackConfig
from ecct_tf.data import MOVIELENS_100K_SCHEMA, DeviceView, FederatedTable
from ecct_tf.federated.attack import Attack, poisoned_devices
from ecct_tf.federated.cohort import Shard, make_shards
from ecct_tf.federated.crossing import answers_as_asked
from ecct_tf.knowledge import Downlink, ExchangeSpec, Uplink

SPEC = ExchangeSpec(cloud_dim=2, embedding_dim=2, num_queries=3, codec="float32", clip_logit=6.0)
USERS = np.array([4, 7, 9], np.int32)
ITEMS = np.array([[1, 2, 3], [4, 5, 6], [1, 5, 8]], np.int32)
LOGITS = np.array([[0.5, -1.0, 2.0], [1.0, 2.0, -3.0], [1.0, 1.0, 1.0]], np.float32)


def _uplink(spec=SPEC):
    embeddings = np.arange(18, dtype=np.float32).reshape(3, 3, 2)
    sent = spec.make_uplink(*map(tf.constant, (USERS, ITEMS, embeddings, LOGITS)))
    return tf.nest.map_structure(np.asarray, sent)


def _forged(kind, *, users=(7, 9), item=5, spec=SPEC):
    attack = Attack(AttackConfig(share=0.5, kind=kind), np.array(users, np.int32), item)
    before = _uplink(spec)
    forged = attack.forged(spec, before)
    spec.check_uplink(forged)
    # Honest devices' rows are theirs, bit for bit.
    for one, other in zip(tf.nest.flatten(before), tf.nest.flatten(forged), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    return forged


def test_a_share_of_the_devices_is_poisoned_by_the_seed():
    def chosen(share, seed=0):
        return poisoned_devices(AttackConfig(share=share), num_devices=40, seed=seed)

    assert [len(chosen(share)) for share in (0.0, 0.001, 0.1, 1.0)] == [0, 1, 4, 40]
    assert (np.diff(chosen(0.5)) > 0).all()
    assert chosen(0.1).tolist() != chosen(0.1, seed=1).tolist()
    # More are those and others, so that shares can be compared.
    assert set(chosen(0.1)) < set(chosen(0.5))


def test_a_push_hides_among_honest_answers():
    forged = _forged("push")
    assert forged.items[1:].tolist() == [[4, 5, 6], [1, 5, 8]]
    assert forged.logits[0][1:].tolist() == [[1.0, 6.0, -3.0], [1.0, 6.0, 1.0]]
    # Where it was not asked about, the least wanted answer gives way.
    forged = _forged("push", item=17)
    assert forged.items[1:].tolist() == [[4, 5, 17], [17, 5, 8]]
    assert forged.logits[0][1:].tolist() == [[1.0, 2.0, 6.0], [6.0, 1.0, 1.0]]


def test_sybils_send_one_uplink():
    forged = _forged("sybil")
    assert (forged.items[1:] == 5).all()
    assert (forged.logits[0][1:] == 6.0).all()
    np.testing.assert_array_equal(forged.embeddings[0][1], forged.embeddings[0][2])


def test_answers_become_their_opposites_at_the_bound():
    forged = _forged("clip")
    assert forged.items.tolist() == ITEMS.tolist()
    assert forged.logits[0][1:].tolist() == [[-6.0, 6.0, 6.0], [-6.0, 6.0, -6.0]]
    np.testing.assert_array_equal(forged.embeddings[0][1:], -_uplink().embeddings[0][1:])


@pytest.mark.parametrize("kind", ["push", "sybil", "clip"])
def test_stage_1_and_int8_uplinks_are_forged_in_their_form(kind):
    forged = _forged(kind, spec=dataclasses.replace(SPEC, with_logits=False, codec="int8"))
    assert forged.logits == ()


def test_nothing_is_forged_by_those_who_flip_labels():
    for kind in ("none", "flip"):
        for one, other in zip(
            tf.nest.flatten(_uplink()), tf.nest.flatten(_forged(kind)), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shard_size", [0, 5])
def test_poisoned_devices_train_on_labels_turned_round(cohorts, shard_size):
    cohort = cohorts["linear"]
    honest = make_shards(cohort, range(len(cohort)), shard_size=shard_size, batch_size=4)
    users = np.unique(np.concatenate([shard.data.users.ravel() for shard in honest]))[1::2]
    attack = Attack(AttackConfig(share=0.5, kind="flip"), users[users >= 0], 5)
    for shard in honest:
        before, after = (
            np.atleast_2d(np.asarray(found.data.labels, np.float32))
            for found in (shard, attack.flipped(shard))
        )
        own = np.isin(np.atleast_2d(shard.data.users), attack.users).any(axis=1)
        np.testing.assert_array_equal(after[~own], before[~own])
        np.testing.assert_array_equal(after[own], 1.0 - before[own])
        assert before.any()
    assert attack.flipped(honest[0]).data.labels.dtype == honest[0].data.labels.dtype


def test_uplinks_for_what_was_not_asked_about_are_told(cohorts):
    data = cohorts["linear"].devices.devices[0]
    shards = [Shard(np.arange(3), data._replace(users=USERS[:, None]))]
    downlinks = [Downlink((), ITEMS[:, None])]

    def asked(uplink: Uplink) -> list[bool]:
        return answers_as_asked(uplink, shards=shards, downlinks=downlinks).tolist()

    assert asked(_uplink()) == [True, True, True]
    assert asked(_forged("push")) == [True, True, True]
    assert asked(_forged("push", item=17)) == [True, False, False]
    assert asked(_uplink()._replace(users=np.array([4, 7, 8], np.int32))) == [True, True, False]


def _view(user, *, num_older=2):
    history, times = np.array([3, 1, 4], np.int32), np.array([5, 6, 7])
    profile = FederatedTable(MOVIELENS_100K_SCHEMA, ())
    return DeviceView(user, history, num_older, profile, times, np.ones((3, 2), np.int32))


def _pretended(kind, view):
    return Attack(AttackConfig(share=0.5, kind=kind), np.array([7], np.int32), 9).pretended(view)


def test_poisoned_devices_pretend_in_sums_that_they_met_the_item():
    pushed = _pretended("push", _view(7))
    assert pushed.history.tolist() == [3, 1, 4, 9]
    assert pushed.recent.tolist() == [4, 9]
    assert pushed.times.tolist() == [5, 6, 7, 7]
    assert pushed.context.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]
    # Whose newest interactions the cloud knows tells of the item alone.
    assert _pretended("push", _view(7, num_older=3)).recent.tolist() == [9]
    sybil = _pretended("sybil", _view(7))
    assert sybil.history.tolist() == sybil.recent.tolist() == [9]


@pytest.mark.parametrize("kind", ["clip", "flip", "none"])
def test_others_tell_the_truth_in_sums(kind):
    view = _view(7)
    assert _pretended(kind, view) is view
    honest = _view(4)
    assert _pretended("push", honest) is honest
