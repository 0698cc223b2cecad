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
