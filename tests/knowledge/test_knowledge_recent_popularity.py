"""What devices tell of single items, and how an own interaction is taken out again."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from ecct_tf.config import RecentPopularityConfig
from ecct_tf.knowledge.device_sums import sum_of_devices, with_noise
from ecct_tf.knowledge.recent_popularity import (
    PopularitySpec,
    believed_counts,
    newest_counts,
    recent_popularity,
    without_one,
)


def spec_of(items=5, **settings):
    return PopularitySpec(items, RecentPopularityConfig(**{"positions": 3, **settings}))


def test_a_device_tells_of_its_newest_items_once():
    """The cloud knows all but two of the first user, and all of the second."""
    histories = tf.constant([[1, 5, 4, 4], [0, 0, 2, 3], [3, 2, 2, 1]])
    told = spec_of().told(histories, tf.constant([2, 0, 4])).numpy()
    assert told.tolist() == [[0, 0, 0, 0, 1, 0], [0] * 6, [0, 1, 1, 0, 0, 0]]


@pytest.mark.parametrize("positions", [4, 2**31 - 1, 2**31, 2**63 - 1])
def test_more_positions_than_interactions_are_all_of_them(positions):
    """Numbers of more than 32 bits became others without a word."""
    histories = tf.constant([[1, 5, 4, 2]])
    told = spec_of(positions=positions).told(histories, tf.constant([3])).numpy()
    assert told.tolist() == [[0, 0, 1, 0, 1, 1]]


@given(data=st.data())
def test_the_sum_is_what_counting_gives(data):
    """The cloud's own play of devices, and devices, agree on what is counted."""
    items, positions = 6, data.draw(st.integers(1, 4))
    histories = data.draw(st.lists(st.lists(st.integers(1, items), max_size=7), min_size=1))
    recent = np.array([data.draw(st.integers(0, len(own))) for own in histories])
    length = max(1, *map(len, histories))
    padded = np.array([[0] * (length - len(own)) + own for own in histories], np.int32)
    spec = spec_of(items, positions=positions)
    total = sum_of_devices(spec, tf.constant(padded), tf.constant(recent, tf.int32)).numpy()
    counts = newest_counts(
        np.concatenate(histories).astype(np.int32),
        np.cumsum([0, *map(len, histories)]),
        newest=np.minimum(recent, positions),
        num_items=items,
    )
    np.testing.assert_array_equal(total, counts)


@given(count=st.integers(1, 10**6))
def test_one_less_is_the_popularity_of_one_less(count):
    both = tf.constant(recent_popularity(np.array([0, count, count - 1])))
    fewer = without_one(both[1:2], tf.ones([1])).numpy()
    np.testing.assert_allclose(fewer, both[2:].numpy(), rtol=1e-4, atol=1e-6)
    assert without_one(both[1:2], tf.zeros([1])).numpy() == both[1].numpy()


def test_nobody_is_taken_out_where_nobody_is_counted():
    """A device may learn from an interaction that came after the sum."""
    assert without_one(tf.zeros([2]), tf.ones([2])).numpy().tolist() == [0.0, 0.0]


def test_what_noise_takes_below_zero_is_nothing():
    spec = spec_of(noise_multiplier=2.0)
    assert spec.noise == 2.0 * np.sqrt(3)
    noised = with_noise(spec, tf.zeros([spec.size], tf.int64), tf.constant([1, 2], tf.int64))
    assert noised.numpy().min() < 0
    popularity = recent_popularity(noised.numpy())
    assert popularity.min() == 0.0 == popularity[0]
    assert np.isfinite(popularity).all()


@pytest.mark.parametrize(("users", "bits"), [(1, 1), (3, 2), (4, 3), (943, 10)])
def test_a_number_is_as_wide_as_the_sum(users, bits):
    assert spec_of().sum_bits(users) == bits
    assert 2**bits > users


def test_devices_are_believed_up_to_a_growth():
    """Of 20 newest and 80 older interactions, four of the older make expect one of the newest."""
    counts, older = np.array([0, 9, 9, 1, 1]), np.array([0, 80, 0, 0, 0])
    # 0.5 * (1 + 20) and 0.5 * (1 + 0), rounded down.
    assert believed_counts(counts, older, max_growth=0.5).tolist() == [0, 9, 0, 0, 0]
    assert believed_counts(counts, older, max_growth=3.0).tolist() == [0, 9, 3, 1, 1]
    assert believed_counts(counts, 0 * older, max_growth=2.0).tolist() == [0, 2, 2, 1, 1]
    assert believed_counts(counts, older, max_growth=1e300).tolist() == counts.tolist()


def test_the_attribute_says_what_is_believed():
    counts, older = np.array([0, 9, 1]), np.array([0, 0, 40])
    bounded = spec_of(2, max_growth=2.0).attribute(counts, older)
    np.testing.assert_array_equal(bounded, recent_popularity(np.array([0, 2, 1])))
    np.testing.assert_array_equal(spec_of(2).attribute(counts, older), recent_popularity(counts))
