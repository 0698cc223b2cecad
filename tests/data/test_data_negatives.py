import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecct_tf.data import BulkNegatives, sample_distinct_negatives, sample_negatives
from ecct_tf.data._arrays import complement_items
from ecct_tf.errors import DataError


def test_ranks_in_the_complement_by_hand():
    # Items 1..8 without 2, 3 and 7 leave 1 4 5 6 8.
    excluded = np.array([2, 3, 7])
    assert complement_items(excluded, np.arange(5)).tolist() == [1, 4, 5, 6, 8]
    assert complement_items(excluded[:0], np.arange(3)).tolist() == [1, 2, 3]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_every_item_outside_and_none_inside(data):
    num_items = data.draw(st.integers(2, 40))
    positives = data.draw(st.lists(st.integers(1, num_items), max_size=num_items))
    outside = set(range(1, num_items + 1)) - set(positives)
    remaining = len(outside)
    assert set(complement_items(np.unique(positives), np.arange(remaining)).tolist()) == outside
    if not outside:
        return
    drawn = sample_negatives(
        np.random.default_rng(0),
        positives=np.array(positives, np.int32),
        num_items=num_items,
        size=25,
    )
    assert drawn.dtype == np.int32
    assert drawn.shape == (25,)
    assert set(drawn.tolist()) <= outside


def test_held_out_items_are_drawn():
    """No leak: what is not in train is a negative like any other, test item included."""
    train, test = np.array([1, 2, 3], np.int32), 4
    drawn = sample_negatives(np.random.default_rng(0), positives=train, num_items=10, size=7000)
    counts = np.bincount(drawn, minlength=11)
    assert counts[train].sum() == 0
    # 1,000 each, standard deviation about 29.
    assert abs(counts[test] - 1000) < 150
    assert all(abs(count - 1000) < 150 for count in counts[4:])


def test_errors_and_reproducibility():
    def draw(positives, size=5):
        return sample_negatives(
            np.random.default_rng(1), positives=np.array(positives), num_items=3, size=size
        )

    assert draw([1]).tolist() == draw([1, 1]).tolist()
    assert draw([1], size=0).tolist() == []
    with pytest.raises(DataError, match="cover all 3 items"):
        draw([1, 2, 3])
    with pytest.raises(DataError, match=r"1\.\.3, received 0\.\.2"):
        draw([0, 2])


def test_bulk_negatives_are_the_same_draws():
    histories = [np.array(h, np.int32) for h in ([3, 1, 3], [], [2, 4, 5], [1, 2, 3, 4, 5, 7])]
    users = np.array([2, 0, 3, 1, 2, 2], np.int32)
    for size in (1, 3):
        one, other = np.random.default_rng(4), np.random.default_rng(4)
        bulk = BulkNegatives(histories, num_items=7).draw(one, users=users, size=size)
        for user, row in zip(users, bulk, strict=True):
            single = sample_negatives(other, positives=histories[user], num_items=7, size=size)
            np.testing.assert_array_equal(row, single)
        assert one.bit_generator.state == other.bit_generator.state


def test_the_draws_of_a_large_catalogue_are_independent_ones():
    """What stands was measured with these draws; they must not move."""
    positives = np.array([2, 5, 9], np.int32)
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    drawn = sample_negatives(one, positives=positives, num_items=75, size=9, rows=20)
    ranks = other.integers(72, size=180)
    assert drawn.tolist() == complement_items(positives, ranks).reshape(20, 9).tolist()
    assert one.bit_generator.state == other.bit_generator.state
    assert any(len(set(row)) < 9 for row in drawn.tolist())


@pytest.mark.parametrize("left", [9, 10, 40, 71])
def test_a_row_of_a_small_catalogue_has_no_item_twice(left):
    drawn = sample_negatives(
        np.random.default_rng(0),
        positives=np.array([1, 3], np.int32),
        num_items=left + 2,
        size=9,
        rows=300,
    )
    assert drawn.shape == (300, 9)
    assert all(len(set(row)) == 9 for row in drawn.tolist())
    counts = np.bincount(drawn.ravel(), minlength=left + 3)
    assert counts[[0, 1, 3]].tolist() == [0, 0, 0]
    # Each of the others has the share 9 / left of the 300 rows: nobody is preferred.
    share = 9 / left
    deviation = np.sqrt(300 * share * (1 - share))
    assert abs(counts[counts > 0] - 300 * share).max() <= 4 * deviation
    assert (counts > 0).sum() == left


def test_every_place_of_a_row_is_uniform():
    drawn = sample_negatives(
        np.random.default_rng(1), positives=np.zeros(0, np.int32), num_items=5, size=4, rows=5000
    )
    for place in range(4):
        # 1,000 each, standard deviation about 28.
        assert abs(np.bincount(drawn[:, place], minlength=6)[1:] - 1000).max() < 130
    pairs = np.unique(drawn[:, 0] * 10 + drawn[:, 3], return_counts=True)[1]
    assert len(pairs) == 20
    assert abs(pairs - 250).max() < 70


def test_a_catalogue_smaller_than_a_row_gives_each_item_in_turn():
    drawn = sample_negatives(
        np.random.default_rng(0), positives=np.array([2], np.int32), num_items=4, size=8, rows=50
    )
    for row in drawn.tolist():
        assert sorted(row[:3]) == sorted(row[3:6]) == [1, 3, 4]
        assert len(set(row[6:])) == 2


def test_bulk_negatives_mix_small_and_large_rests():
    histories = [np.arange(1, 190, dtype=np.int32), np.array([7], np.int32)]
    one, other = np.random.default_rng(4), np.random.default_rng(4)
    users = np.array([1, 0, 1, 0], np.int32)
    bulk = BulkNegatives(histories, num_items=200).draw(one, users=users, size=8)
    for user, row in zip(users, bulk, strict=True):
        single = sample_negatives(other, positives=histories[user], num_items=200, size=8)
        np.testing.assert_array_equal(row, single)
    assert all(len(set(row)) == 8 for row in bulk[[1, 3]].tolist())
    assert one.bit_generator.state == other.bit_generator.state


def test_bulk_negatives_refuse_a_history_of_everything():
    negatives = BulkNegatives([np.array([1, 2], np.int32)], num_items=2)
    with pytest.raises(DataError, match="user 0: positives cover all 2 items"):
        negatives.draw(np.random.default_rng(0), users=np.array([0], np.int32), size=1)


def test_distinct_negatives():
    known = np.array([1, 3], np.int32)
    drawn = sample_distinct_negatives(
        np.random.default_rng(0), positives=known, num_items=5, size=3
    )
    assert sorted(drawn.tolist()) == [2, 4, 5]
    with pytest.raises(DataError, match="leaves 3"):
        sample_distinct_negatives(np.random.default_rng(0), positives=known, num_items=5, size=4)
