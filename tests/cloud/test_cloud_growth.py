"""New users and items get rows; the rows that were there stay, bit for bit."""

import dataclasses

import numpy as np
import pytest

from cloud.growth import grow_knowledge, grow_snapshot, grow_space, grow_table, item_weights
from cloud.vocabulary import Vocabulary, renumber
from ecct_tf.data import Column, EncodedColumn, FeatureSchema, Kind, Side
from ecct_tf.errors import DataError

YEAR = Column("year", "item", Side.CENTRALIZED, Kind.NUMERIC)
STUDIO = Column("studio", "item", Side.CENTRALIZED, Kind.CATEGORICAL)
SCHEMA = FeatureSchema("hand", (YEAR, STUDIO))


def _item_columns(years, studios, vocabulary):
    return (
        EncodedColumn(YEAR, np.array(years, np.float32)),
        EncodedColumn(STUDIO, np.array(studios, np.int32), vocabulary),
    )


@pytest.fixture(scope="module")
def small(make_view):
    columns = _item_columns([0, 1, 2, 3, 4], [0, 1, 1, 2, 0], ("a", "b"))
    return make_view([[1, 2, 3], [3, 4], [2]], num_items=4, schema=SCHEMA, item_columns=columns)


@pytest.fixture(scope="module")
def large(make_view):
    """Two users and three items more: one of studio a, one of an unknown studio, one of b."""
    columns = _item_columns([0, 1, 2, 3, 4, 9, 9, 9], [0, 1, 1, 2, 0, 1, 3, 2], ("a", "b", "c"))
    histories = [[1, 2, 3], [3, 4], [2], [5, 6, 7], [5]]
    return make_view(histories, num_items=7, schema=SCHEMA, item_columns=columns)


@pytest.fixture(scope="module")
def trained(make_cloud, small):
    """Not yet published, so that the item tables have optimiser slots, which have moved."""
    cloud = make_cloud(small, rank=2, fit_epochs=2)
    cloud.fit()
    return cloud


def test_numbers_stay_and_new_ones_follow():
    old = Vocabulary(("u2", "u1"), ("b", "a"))
    grown = old.extended(Vocabulary(("u1", "u3"), ("a", "c", "b")))
    assert grown == Vocabulary(("u2", "u1", "u3"), ("b", "a", "c"))


def test_a_view_of_many_users_in_other_numbers(make_view):
    """Order and owners of interactions, also of users without any."""
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, 10, rng.integers(0, 4)).tolist() for _ in range(30)]
    view = make_view(histories, num_items=9)
    own = Vocabulary(tuple(f"u{user}" for user in range(30)), tuple("abcdefghi"))
    order = rng.permutation(30).tolist()
    target = Vocabulary((*(f"u{user}" for user in order), "new"), tuple("abcdefghi"))
    moved = renumber(view, own, target)
    for place, user in enumerate(order):
        assert moved.older.of(place).tolist() == histories[user]
        np.testing.assert_array_equal(moved.older.times_of(place), view.older.times_of(user))
    assert not len(moved.older.of(30))


def test_a_view_in_other_numbers(small):
    own = Vocabulary(("u", "v", "w"), ("a", "b", "c", "d"))
    target = Vocabulary(("w", "x", "u", "v"), ("d", "z", "c", "b", "a"))
    moved = renumber(small, own, target)
    assert [moved.older.of(user).tolist() for user in range(4)] == [[4], [], [5, 4, 3], [3, 1]]
    # z is in no table: the mean year, and an unknown studio.
    np.testing.assert_array_equal(moved.items["year"].values, [0, 4, 2.5, 3, 2, 1])
    np.testing.assert_array_equal(moved.items["studio"].values, [0, 0, 0, 2, 1, 1])
    assert [len(part) for part in (moved.older.items, moved.older.timestamps)] == [6, 6]


def test_a_vocabulary_that_lacks_an_item_is_refused(small):
    own = Vocabulary(("u", "v", "w"), ("a", "b", "c", "d"))
    with pytest.raises(DataError, match="lacks 1 items, the first 'd'"):
        renumber(small, own, Vocabulary(own.users, ("a", "b", "c")))


def test_old_rows_are_untouched_bit_for_bit(trained, large):
    space, snapshot = trained.space, trained.snapshot()
    grown_space = grow_space(space, large)
    grown = grow_snapshot(snapshot, space=space, grown=grown_space)
    assert grown.keys() == snapshot.keys()
    slots = 0
    for name, value in snapshot.items():
        rows = len(value) if np.ndim(value) else None
        np.testing.assert_array_equal(grown[name][:rows] if rows else grown[name], value)
        if "item_embedding" in name or "item_bias" in name:
            assert len(grown[name]) == len(value) + 3
            if name.startswith("optimizer"):
                slots += 1
                assert np.abs(value).max() > 0  # else the test could not fail
                np.testing.assert_array_equal(grown[name][5:], 0.0)
        else:
            assert np.shape(grown[name]) == np.shape(value)
    assert slots == 4
    for old, new in zip(
        (space.preference, space.sequence, *space.learned),
        (grown_space.preference, grown_space.sequence, *grown_space.learned),
        strict=True,
    ):
        np.testing.assert_array_equal(new.source[:5], old.source)
        np.testing.assert_array_equal(new.target[:5], old.target)
    np.testing.assert_array_equal(grown_space.attributes[:5], space.attributes)
    np.testing.assert_array_equal(grown_space.categories[:5], space.categories)


def test_new_rows_start_from_items_that_share_a_category(trained, large):
    """By hand: items 1 and 2 are of studio a, item 3 of b, item 4 of none."""
    grown = grow_space(trained.space, large)
    source = trained.space.preference.source
    close = {"rtol": 1e-5, "atol": 1e-7}
    np.testing.assert_allclose(grown.preference.source[5], source[[1, 2]].mean(axis=0), **close)
    np.testing.assert_allclose(grown.preference.source[6], source[1:].mean(axis=0), **close)
    np.testing.assert_allclose(grown.preference.source[7], source[3], **close)
    # Studio c has no column; the year is on the old scale: mean 2.5, deviation sqrt(1.25).
    np.testing.assert_array_equal(grown.categories[5:], [[1, 0], [0, 0], [0, 1]])
    np.testing.assert_allclose(grown.attributes[5:, 1], 6.5 / 1.25**0.5, rtol=1e-5)
    weights = item_weights(trained.space, grown.categories[5:])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(weights[:, 0], 0.0)


def test_a_grown_recommender_answers_old_questions_alike(trained, make_cloud, large):
    grown_space = grow_space(trained.space, large)
    cloud = make_cloud(large, rank=2, space=grown_space)
    cloud.restore(grow_snapshot(trained.snapshot(), space=trained.space, grown=grown_space))
    users, items = np.arange(3, dtype=np.int32), np.tile(np.arange(1, 5, dtype=np.int32), (3, 1))
    kwargs = {"knowledge": None, "round_number": 0}
    np.testing.assert_allclose(
        cloud.scores(users, items, **kwargs), trained.scores(users, items, **kwargs), atol=1e-5
    )
    fresh = cloud.scores(np.array([3, 4], np.int32), np.array([[5, 6, 7]] * 2, np.int32), **kwargs)
    assert np.isfinite(fresh).all()


def test_a_space_of_other_items_is_refused(trained, make_cloud, large):
    with pytest.raises(DataError, match="4 items and the view 7"):
        make_cloud(large, rank=2, space=trained.space)
    with pytest.raises(DataError, match="expected a view of 7 items or more, got 4"):
        grow_space(grow_space(trained.space, large), trained._view)


def test_a_grown_table_keeps_what_devices_hold(make_cloud, small, large):
    cloud = make_cloud(small, rank=2)
    table = cloud.publish()
    grown_space = grow_space(cloud.space, large)
    later = make_cloud(large, rank=2, space=grown_space)
    later.freeze()
    later.restore(grow_snapshot(cloud.snapshot(), space=cloud.space, grown=grown_space))
    grown = grow_table(table, later.publish())
    assert grown.num_items == 7
    np.testing.assert_array_equal(grown.cloud[:5], table.cloud)
    np.testing.assert_array_equal(grown.bias[:5], table.bias)
    np.testing.assert_array_equal(grown.feature_mean, table.feature_mean)
    assert [block.is_symmetric for block in grown.blocks] == [
        block.is_symmetric for block in table.blocks
    ]
    np.testing.assert_array_equal(grown.cloud[5:], later.publish().cloud[5:])


def test_a_grown_knowledge_store_knows_nothing_of_new_users(knowledge):
    grown = grow_knowledge(knowledge, num_users=len(knowledge.rounds) + 2)
    for field in dataclasses.fields(knowledge):
        old = getattr(knowledge, field.name)
        np.testing.assert_array_equal(getattr(grown, field.name)[: len(old)], old)
    np.testing.assert_array_equal(grown.rounds[-2:], -1)
    np.testing.assert_array_equal(grown.logit_rounds[-2:], -1)
