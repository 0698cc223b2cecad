import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import CodecError
from ecct_tf.knowledge import KnowledgeStore, UplinkRows


def rows(*users, value=1.0, logits=True):
    count = len(users)
    return UplinkRows(
        users=np.array(users, np.int32),
        items=np.arange(2 * count, dtype=np.int32).reshape(count, 2) + 1,
        embeddings=np.full((count, 2, 3), value, np.float32),
        logits=np.full((count, 2), value, np.float32) if logits else None,
    )


@pytest.fixture
def empty():
    return KnowledgeStore.empty(num_users=4, num_queries=2, embedding_dim=3)


def test_empty(empty):
    assert empty.rounds.tolist() == empty.logit_rounds.tolist() == [-1] * 4
    assert empty.staleness(5).tolist() == [-1] * 4
    assert empty.trust(round_number=5, half_life=2.0).tolist() == [0.0] * 4


def test_users_out_of_the_round_keep_theirs(empty):
    first = empty.updated(rows(2, 0, value=1.0), round_number=3)
    second = first.updated(rows(0, 3, value=2.0), round_number=5)
    assert second.rounds.tolist() == [5, -1, 3, 5]
    assert second.logit_rounds.tolist() == [5, -1, 3, 5]
    assert second.embeddings[:, 0, 0].tolist() == [2.0, 0.0, 1.0, 2.0]
    assert second.logits[:, 1].tolist() == [2.0, 0.0, 1.0, 2.0]
    assert second.items.tolist() == [[1, 2], [0, 0], [1, 2], [3, 4]]


def test_an_update_changes_no_earlier_store(empty):
    first = empty.updated(rows(1), round_number=0)
    kept = {field.name: getattr(first, field.name).copy() for field in dataclasses.fields(first)}
    first.updated(rows(1, 2, value=9.0), round_number=1)
    assert not empty.embeddings.any()
    for name, array in kept.items():
        np.testing.assert_array_equal(getattr(first, name), array)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.rounds = empty.rounds


def test_a_stage_1_uplink_drops_older_logits(empty):
    store = empty.updated(rows(0, 1, value=5.0), round_number=1)
    store = store.updated(rows(1, value=6.0, logits=False), round_number=2)
    assert store.logits[:, 0].tolist() == [5.0, 0.0, 0.0, 0.0]
    assert store.logit_rounds.tolist() == [1, -1, -1, -1]
    assert store.rounds.tolist() == [1, 2, -1, -1]


def test_staleness_and_trust_by_hand(empty):
    store = empty.updated(rows(0), round_number=2).updated(rows(1), round_number=6)
    store = store.updated(rows(3), round_number=8)
    assert store.staleness(8).tolist() == [6, 2, -1, 0]
    np.testing.assert_allclose(store.trust(round_number=8, half_life=2.0), [0.125, 0.5, 0.0, 1.0])


def test_a_round_in_which_nobody_answers(empty):
    store = empty.updated(rows(), round_number=4)
    assert store.rounds.tolist() == [-1] * 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["embeddings", "logits"])
def test_values_that_are_not_finite(empty, field, bad):
    sent = rows(3, 1)
    getattr(sent, field)[1, 0] = bad
    with pytest.raises(CodecError, match=rf"{field} of users \[1\] are not finite"):
        empty.updated(sent, round_number=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.zeros((2, 2, 4), np.float32)}, r"\(2, 2, 3\).*got \(2, 2, 4\)"),
        ({"items": np.zeros((2, 1), np.int32)}, r"items \(2, 2\), got .*\(2, 1\)"),
        ({"logits": np.zeros(2, np.float32)}, r"logits of shape \(2, 2\), got \(2,\)"),
        ({"users": np.array([0, 4], np.int32)}, r"out of 0\.\.3, got \[0, 4\]"),
        ({"users": np.array([0, -1], np.int32)}, r"got \[0, -1\]"),
        ({"users": np.array([2, 2], np.int32)}, "each user at most once"),
    ],
)
def test_refuses(empty, change, message):
    with pytest.raises(CodecError, match=message):
        empty.updated(dataclasses.replace(rows(0, 1), **change), round_number=0)


def answering(store, user, *, round_number, logits=True):
    """The store after `user` says the round's number of two items of that number."""
    sent = rows(user, value=float(round_number), logits=logits)
    items = np.full((1, 2), round_number, np.int32)
    return store.updated(dataclasses.replace(sent, items=items), round_number=round_number)


def test_answers_before_the_newest_stay_the_newest_first(empty):
    store = empty.keeping(2)
    for round_number in (1, 2, 4, 7):
        store = answering(store, 2, round_number=round_number)
    assert store.earlier_rounds.tolist() == [[-1, -1], [-1, -1], [4, 2], [-1, -1]]
    assert store.earlier_items[2].tolist() == [[4, 4], [2, 2]]
    assert store.earlier_logits[2].tolist() == [[4.0, 4.0], [2.0, 2.0]]
    found = store.answers(np.array([2, 0]), round_number=7, half_life=3.0)
    assert found.items.tolist() == [[7, 7, 4, 4, 2, 2], [0] * 6]
    assert found.logits.tolist() == [[7.0, 7.0, 4.0, 4.0, 2.0, 2.0], [0.0] * 6]
    expected = [1.0, 1.0, 0.5, 0.5, 0.5 ** (5 / 3), 0.5 ** (5 / 3)]
    np.testing.assert_allclose(found.trust, [expected, [0.0] * 6], rtol=1e-6)


def test_logits_outlive_an_uplink_without_any_among_the_earlier_ones(empty):
    store = answering(empty.keeping(2), 1, round_number=3)
    store = answering(store, 1, round_number=4, logits=False)
    store = answering(store, 1, round_number=5, logits=False)
    assert store.logit_rounds[1] == -1
    assert store.earlier_rounds[1].tolist() == [3, -1]
    trust = store.answers(np.array([1]), round_number=5, half_life=1.0).trust
    np.testing.assert_allclose(trust, [[0.0, 0.0, 0.25, 0.25, 0.0, 0.0]])


def test_an_answer_from_beyond_the_present_counts_nothing(empty):
    store = answering(empty, 0, round_number=2000)
    assert store.answers(np.array([0]), round_number=1, half_life=0.5).trust.tolist() == [[0, 0]]


def test_room_for_earlier_answers_grows_and_shrinks(empty):
    store = empty.keeping(3)
    for round_number in (1, 2, 3, 4):
        store = answering(store, 0, round_number=round_number)
    assert store.keeping(1).earlier_rounds[0].tolist() == [3]
    assert store.keeping(1).keeping(2).earlier_rounds[0].tolist() == [3, -1]
    assert store.keeping(0).answers(
        np.array([0]), round_number=4, half_life=1.0
    ).items.tolist() == [[4, 4]]


def test_a_store_from_before_earlier_answers_were_kept_has_none(empty):
    written = {field.name: getattr(empty, field.name) for field in dataclasses.fields(empty)}
    older = {name: value for name, value in written.items() if not name.startswith("earlier")}
    assert KnowledgeStore.from_arrays(older).num_earlier == 0
    assert KnowledgeStore.from_arrays({**written}).num_earlier == 0
    with pytest.raises(KeyError):
        KnowledgeStore.from_arrays({"items": older["items"]})
