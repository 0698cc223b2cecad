"""What devices add to sums of items: bounded, exact in any order, and what its noise is worth."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import ItemSumConfig
from ecct_tf.knowledge.item_sums import ItemSumSpec

# One unit is 1/8: 7 units are the bound of 4 bits.
PLAIN = ItemSumConfig(embeddings=True, bits=4, clip_embeddings=0.875, clip_logits=0.875)


def spec_of(num_items=4, **settings):
    return ItemSumSpec(num_items, 1, dataclasses.replace(PLAIN, **settings))


def added(spec, *, items, embeddings=None, logits=None, expected=None, users=None, salt=0):
    """What devices of one user each send, moved back."""
    items = np.array(items, np.int32)[:, None]
    shape = items.shape
    users = np.arange(shape[0])[:, None] if users is None else np.array(users)

    def given(values):
        return tf.constant(np.zeros(shape) if values is None else values, tf.float32)

    moved = spec.contribution(
        users=tf.constant(users, tf.int32),
        items=tf.constant(items),
        embeddings=tf.reshape(given(embeddings), [*shape, 1]),
        logits=tf.reshape(given(logits), shape),
        expected=tf.reshape(given(expected), shape),
        round_number=tf.constant(salt),
    )
    assert moved.numpy().min() >= 0
    assert moved[-1] == shape[0]
    return spec.total(moved, None).numpy()


def test_by_hand():
    """Two devices: 3/8 + 1/8 of item 1; of logits what exceeds z_c, less the mean of 1/8."""
    total = added(
        spec_of(),
        items=[[1, 2], [4, 1]],
        embeddings=[[0.375, 0.25], [-0.125, 0.125]],
        logits=[[1.25, 1.0], [0.0, 0.0]],
        expected=[[1.0, 1.0], [0.0, 0.0]],
    )
    assert total.tolist() == [0, 4, 2, 0, -1, *[0, 1, -1, 0, 0]]


def test_a_device_adds_at_most_the_bound_however_many_answers_and_users_it_has():
    spec = spec_of(bits=12)
    for payload, total in zip(
        spec.payloads,
        np.split(added(spec, items=[[1, 2, 2]], embeddings=[9.0] * 3, logits=[9.0, 1, -5]), 2),
        strict=True,
    ):
        assert 0.99 * payload.clip < payload.unit * np.linalg.norm(total) <= payload.clip
    # Two users of one device, who say the same of the same item, are one vector.
    both = spec.contribution(
        users=tf.constant([[0, 1]]),
        items=tf.constant([[[1], [1]]]),
        embeddings=tf.fill([1, 2, 1, 1], 0.8),
        logits=tf.zeros([1, 2, 1]),
        expected=tf.zeros([1, 2, 1]),
        round_number=tf.constant(0),
    )
    assert spec.total(both, None)[1] == spec.largest


def test_padding_says_nothing():
    total = added(spec_of(), items=[[1, 0], [2, 3]], embeddings=[0.5] * 4, users=[[0], [-1]])
    assert total.tolist() == [0, 4, 0, 0, 0, *[0] * 5]


def test_changing_one_device_changes_the_sum_within_twice_the_bound():
    rng = np.random.default_rng(0)
    spec = spec_of(num_items=30, bits=12)
    items = np.stack([1 + rng.permutation(30)[:6] for _ in range(9)])
    said = rng.normal(size=(2, 9, 6)) * 3
    other = said.copy()
    other[:, 4] = rng.normal(size=(2, 6)) * 50
    one, two = (
        added(spec, items=items, embeddings=part[0], logits=part[1]) for part in (said, other)
    )
    for payload in spec.payloads:
        change = spec.decoded(one - two, payload)
        assert 0 < np.linalg.norm(change) <= 2 * payload.clip
        untouched = np.setdiff1d(np.arange(31), items[4])
        assert not change[untouched].any()


def test_a_larger_catalog_shares_buckets_others_each_round():
    spec = spec_of(num_items=1000, width=64, embeddings=False)
    assert (spec.size, spec_of(num_items=63, width=64, embeddings=False).size) == (64, 64)
    items = np.arange(1, 1001, dtype=np.int64)
    (places, signs), (later, other) = (spec.places(items, np.int64(n)) for n in (0, 1))
    assert np.bincount(places, minlength=64).max() < 40
    assert set(signs.tolist()) == {-1, 1}
    assert abs(signs.sum()) < 200
    together = np.flatnonzero(places == places[0])
    assert np.isin(later[together], later[0]).mean() < 0.5
    assert 0.4 < (signs == other).mean() < 0.6
    total = added(spec, items=[[7, 9]], logits=[0.25, -0.25], salt=1)
    assert total[later[6]] == 2 * other[6]
    assert spec.places(tf.constant(items), tf.constant(1, tf.int64))[0].numpy().tolist() == (
        later.tolist()
    )


def test_noise_is_a_multiple_of_the_bound_and_of_each_round_and_cohort_another():
    spec = spec_of(num_items=3000, bits=12, noise_multiplier=0.5)
    nothing = tf.zeros([spec.size + 1], tf.int64)
    seeds = [spec.seed((1, 2), round_number=n, cohort=c) for n, c in ((0, 0), (0, 1), (1, 0))]
    drawn = [spec.total(nothing, seed).numpy() for seed in seeds]
    for noise in drawn:
        assert noise.std() == pytest.approx(0.5 * spec.largest, rel=0.03)
    assert abs(np.corrcoef(drawn)[np.triu_indices(3, 1)]).max() < 0.06
    assert spec_of().seed((1, 2), round_number=0, cohort=0) is None


def test_bytes_grow_with_the_devices_summed_and_not_with_the_catalog():
    spec = spec_of(num_items=10**6, width=4096, bits=12, embeddings=False)
    assert spec.encoded_bytes(1000) == 4096 * (12 + 10) // 8
    assert dataclasses.replace(spec, num_items=10**7).encoded_bytes(1000) == 4096 * 22 // 8
