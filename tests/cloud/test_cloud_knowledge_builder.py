"""Which uplinks of a log stay in the store, however the log is cut."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.growth import grow_knowledge
from cloud.retraining import uplinks as uplinks_module
from cloud.retraining.forgetting import forget_knowledge
from cloud.retraining.uplinks import KnowledgeBuilder
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.store import FIELDS, NOTHING

USERS = 3


def batch(rows):
    """Uplinks as the log yields them; each says its round of an item of that number."""
    users, rounds, logits = (np.array(column) for column in zip(*rows, strict=True))
    values = np.repeat(rounds[:, None], 2, axis=1)
    return SimpleNamespace(
        users=users.astype(np.int32),
        rounds=rounds.astype(np.int32),
        with_logits=logits.astype(np.bool_),
        items=values.astype(np.int32),
        logits=values.astype(np.float32),
        embeddings=np.repeat(values[..., None], 3, axis=2).astype(np.float32),
    )


def built(*batches, earlier):
    start = KnowledgeStore.empty(
        num_users=USERS, num_queries=2, embedding_dim=3, num_earlier=earlier
    )
    builder = KnowledgeBuilder(start)
    for rows in batches:
        builder.add(batch(rows))
    return builder.finish(present=1000), builder


def test_the_newest_counts_and_the_answers_before_it_stay():
    rows = [(0, 5, True), (0, 2, True), (1, 1, False), (0, 9, True), (0, 7, False), (1, 3, True)]
    store, builder = built(rows, earlier=2)
    assert store.rounds.tolist() == [9, 3, -1]
    assert store.earlier_rounds.tolist() == [[5, 2], [-1, -1], [-1, -1]]
    assert (builder.taken, builder.superseded) == (2, 4)


def test_without_room_nothing_but_the_newest_stays():
    store, builder = built([(0, 1, True)], [(0, 2, True), (0, 1, True)], earlier=0)
    assert store.rounds.tolist() == [2, -1, -1]
    assert store.earlier_rounds.shape == (USERS, 0)
    assert (builder.taken, builder.superseded) == (1, 2)


def test_a_store_in_files_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(uplinks_module, "_LARGE_BYTES", 1)
    monkeypatch.setattr(uplinks_module, "_ROWS_IN_MEMORY", 2)
    first = [(0, 5, True), (0, 2, True), (1, 1, False)]
    later = [(0, 9, True), (1, 7, True), (2, 7, False), (1, 3, True)]
    begun, _ = built(first, earlier=2)
    expected, _ = built(first, later, earlier=2)
    longer = grow_knowledge(begun, num_users=USERS + 2)
    builder = KnowledgeBuilder(longer, folder=tmp_path / "work")
    builder.add(batch(later))
    found = builder.finish(present=1000)
    for name in FIELDS:
        array = getattr(found, name)
        np.testing.assert_array_equal(array[:USERS], getattr(expected, name))
        np.testing.assert_array_equal(array[USERS:], NOTHING[name])
    assert isinstance(found.embeddings, np.memmap)
    assert (tmp_path / "work" / "embeddings.raw").stat().st_mode & 0o077 == 0


uplinks = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(0, 30), st.booleans()),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=60, deadline=None)
@given(uplinks, st.integers(0, 3), st.integers(0, 12))
def test_how_the_log_is_cut_does_not_matter(found, earlier, cut):
    """A device answers a round once, at times without logits."""
    parts = [part for part in (found[:cut], found[cut:]) if part]
    for store, _ in (built(found, earlier=earlier), built(*parts, earlier=earlier)):
        for user in range(USERS):
            mine = sorted((row[1:] for row in found if row[0] == user), reverse=True)
            assert store.rounds[user] == (mine[0][0] if mine else -1)
            assert store.logit_rounds[user] == (mine[0][0] if mine and mine[0][1] else -1)
            before = [number for number, with_logits in mine[1:] if with_logits]
            wanted = [*before, *[-1] * earlier][:earlier]
            assert store.earlier_rounds[user].tolist() == wanted
            said = store.earlier_logits[user, :, 0].tolist()
            assert said == [max(number, 0) for number in wanted]


def test_what_is_to_be_forgotten_is_dropped_among_the_earlier_ones_too():
    rows = [(user, number, True) for user in range(USERS) for number in (1, 2, 3)]
    store, _ = built(rows, earlier=2)
    answers = np.array([[0, 2], [1, 3], [2, 7], [8, 1]])
    note = SimpleNamespace(users=(), answers=answers)
    left = forget_knowledge(store, [note], present=1000)
    assert left.rounds.tolist() == [3, -1, 3]
    assert left.earlier_rounds.tolist() == [[-1, 1], [2, 1], [2, 1]]
    assert left.earlier_logits[0].tolist() == [[0.0, 0.0], [1.0, 1.0]]
    whole = SimpleNamespace(users=(1,), answers=np.zeros((0, 2), np.int64))
    gone = forget_knowledge(store, [whole], present=1000)
    assert gone.earlier_rounds.tolist() == [[2, 1], [-1, -1], [2, 1]]
