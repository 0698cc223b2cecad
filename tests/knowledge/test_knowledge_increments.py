"""What devices send of pairs of items, and what the cloud reads in the sum."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import IncrementConfig
from ecct_tf.errors import DataError
from ecct_tf.knowledge.device_sums import sum_of_devices, with_noise
from ecct_tf.knowledge.increments import (
    UNIT,
    IncrementSpec,
    device_increments,
    padded_histories,
)
from ecct_tf.knowledge.pair_counts import pair_counts


def spec_of(items=12, **settings):
    config = IncrementConfig(**{"positions": 4, "rows": 4, "width": 4096, **settings})
    return IncrementSpec(items, config, sequence_decay=0.5)


def summed(spec, devices):
    histories = padded_histories([np.array(history, np.int32) for history, _ in devices])
    recent = np.array([count for _, count in devices], np.int32)
    return sum_of_devices(spec, tf.constant(histories), tf.constant(recent)).numpy()


def test_counts_of_one_device_by_hand():
    # 3 is new and recent; 2 came one step before it, 1 two steps.
    spec = spec_of()
    found = pair_counts(spec, summed(spec, [([1, 2, 3], 1)]))
    assert dict(found.after.todok().items()) == {(2, 3): 0.5, (1, 3): 0.25}
    assert found.items.tolist() == [0.0, 0.0, 0.0, 1.0] + [0.0] * 9
    assert found.step == 0.5


def test_an_item_that_the_device_had_before_is_not_new():
    spec = spec_of()
    found = pair_counts(spec, summed(spec, [([3, 2, 3], 1), ([5, 5], 2)]))
    assert np.flatnonzero(found.items).tolist() == [5]
    assert found.after[2, 3] == 0.5
    assert found.after[3, 3] == 0.25
    assert found.after[5, 5] == 0.5


@pytest.mark.parametrize("positions", [1, 3])
def test_only_recent_positions_count_and_no_more_than_asked(positions):
    spec = spec_of(positions=positions)
    history = [1, 2, 3, 4, 5, 6]
    found = pair_counts(spec, summed(spec, [(history, 2)]))
    assert np.flatnonzero(found.items).tolist() == history[-min(positions, 2) :]
    assert not summed(spec, [(history, 0)]).any()


def test_a_wide_sketch_gives_every_pair_of_many_devices():
    spec = spec_of(items=30, width=2**15)
    rng = np.random.default_rng(0)
    devices = [(rng.integers(1, 31, rng.integers(0, 12)).tolist(), 3) for _ in range(40)]
    expected = np.zeros((31, 31))
    for history, recent in devices:
        for place in range(max(len(history) - recent, 0), len(history)):
            for distance in range(1, min(place, 4) + 1):
                expected[history[place - distance], history[place]] += 0.5**distance
    np.testing.assert_array_equal(
        pair_counts(spec, summed(spec, devices)).after.toarray(), expected
    )


def many_devices(count, *, items, seed):
    rng = np.random.default_rng(seed)
    return [(rng.integers(1, items + 1, 6).tolist(), 1) for _ in range(count)]


def test_pairs_that_share_buckets_are_told_apart():
    devices = many_devices(24, items=60, seed=1)
    exact = pair_counts(spec_of(items=60, width=2**15), summed(spec_of(60, width=2**15), devices))
    narrow = spec_of(items=60, width=256)
    first, second = exact.after.nonzero()
    shared = [len(places) - len(set(places.tolist())) for places, _ in narrow.places(first, second)]
    assert min(shared) >= 10
    found = pair_counts(narrow, summed(narrow, devices))
    np.testing.assert_array_equal(found.after.toarray(), exact.after.toarray())


def test_a_crowded_sketch_still_tells_most():
    devices = many_devices(80, items=200, seed=1)
    wide = spec_of(items=200, width=2**15)
    exact = pair_counts(wide, summed(wide, devices)).after.toarray()
    # Half of the buckets speak for more pairs than there are buckets.
    crowded = spec_of(items=200, width=512)
    found = pair_counts(crowded, summed(crowded, devices)).after.toarray()
    assert 0 < np.linalg.norm(found - exact) < 0.4 * np.linalg.norm(exact)


def test_sums_do_not_depend_on_padding_or_company():
    spec = spec_of()
    devices = [([1, 2, 3], 2), ([4, 5, 6, 7, 8, 9, 1, 2], 3)]
    together = summed(spec, devices)
    np.testing.assert_array_equal(together, sum(summed(spec, [device]) for device in devices))


def test_what_one_device_sends_is_bounded():
    spec = spec_of(clip_norm=1.0, bits=5)
    history = tf.constant([[7] * 30, list(range(1, 11)) * 3], tf.int32)
    sent = device_increments(spec, history, tf.constant([30, 30])).numpy().astype(float)
    assert (np.linalg.norm(sent, axis=1) <= UNIT).all()
    assert np.abs(sent).max() <= 15
    assert (sent != 0).any(axis=1).all()
    cut = device_increments(spec_of(bits=4), history, tf.constant([30, 30])).numpy()
    wide = device_increments(spec_of(bits=16), history, tf.constant([30, 30])).numpy()
    assert np.abs(cut).max() == 7 < np.abs(wide).max()


def test_noise_has_the_size_that_was_asked_for_and_hides_single_pairs():
    spec = spec_of(items=40, width=2**15, clip_norm=2.0, noise_multiplier=0.5)
    nothing = tf.zeros(spec.size, tf.int64)
    noised = with_noise(spec, nothing, tf.constant([1, 2], tf.int64)).numpy()
    assert noised.std() == pytest.approx(0.5 * 2.0 * UNIT, rel=0.02)
    assert (noised == with_noise(spec, nothing, tf.constant([1, 2], tf.int64)).numpy()).all()
    assert pair_counts(spec, noised).after.nnz <= 2
    quiet = dataclasses.replace(spec, config=IncrementConfig(positions=4))
    assert with_noise(quiet, nothing, None) is nothing


def test_a_sum_of_another_form_is_refused():
    with pytest.raises(DataError, match="expected a sum of"):
        pair_counts(spec_of(), np.zeros(3, np.int64))
