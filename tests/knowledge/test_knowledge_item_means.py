"""What a cloud reads out of sums of items: by hand, and no more than noise leaves."""

import numpy as np
import pytest

from ecct_tf.config import ItemSumConfig
from ecct_tf.knowledge.item_means import AskedSums, ItemMeans
from ecct_tf.knowledge.item_sums import ItemSumSpec


def made(values, *, devices=400, queries=8, seed=0, rounds=1, **settings):
    """The means after rounds of sums about items of which devices say `values` and noise."""
    settings = {"clip_logits": 12.0, "bits": 20, **settings}
    spec = ItemSumSpec(len(values) - 1, 2, ItemSumConfig(**settings))
    rng = np.random.default_rng(seed)
    means = ItemMeans.none(spec.num_items, 2)
    (payload,) = spec.payloads
    for salt in range(rounds):
        # Some items are asked about ten times as often as others, as by a cloud's best guesses.
        wanted = rng.gumbel(size=(devices, spec.num_items))
        wanted[:, ::4] += np.log(10.0)
        items = 1 + np.argsort(-wanted, axis=1)[:, :queries].astype(np.int32)
        said = values[items] + rng.normal(size=items.shape)
        places, signs = spec.places(items.astype(np.int64), np.int64(salt))
        sums = np.bincount(places.ravel(), (signs * said).ravel(), minlength=spec.buckets)
        sums += payload.noise * rng.normal(size=len(sums))
        total = np.round(sums / payload.unit).astype(np.int64)
        asked = AskedSums(spec, total, np.arange(devices), items, salt, devices)
        means = means.faded(100.0).observed(asked)
    told, share = means.told("logits")
    return told[:, 0], share


@pytest.fixture(scope="module")
def values():
    found = np.random.default_rng(1).normal(size=201)
    found[0] = 0.0
    return found


def test_without_noise_means_are_told_nearly_as_they_are(values):
    told, share = made(values)
    assert np.abs(told - values)[1:].mean() < 0.33
    # Items have variance 1, and so has a device: 4 of them leave 1 / 5 to the mean of all.
    assert share[1:].mean() == pytest.approx(0.8, abs=0.06)
    assert told[0] == 0.0


def test_noise_alone_tells_nothing_of_an_item():
    told, share = made(np.zeros(201), noise_multiplier=5.0)
    # A sum of noise of 60 over 16 devices on the mean would say 3.75.
    assert np.abs(told).max() < 1.0
    assert share.max() < 0.5


@pytest.mark.parametrize("multiplier", [0.5, 2.0])
def test_what_is_told_errs_less_than_silence_and_less_than_the_noisy_mean(values, multiplier):
    told, share = made(values, noise_multiplier=multiplier)
    silent = np.square(values[1:]).mean()
    # A quarter of the items has 49 answers, the others 5.
    noisy = (multiplier * 12.0) ** 2 * np.mean([1 / 49**2, *[1 / 5**2] * 3])
    error = np.square(told - values)[1:].mean()
    assert error < 1.02 * min(silent, noisy)
    # How sure it says to be, it is: the error of a shrunk mean is (1 - share) of the variance.
    assert error == pytest.approx((1 - share[1:].mean()) * silent, rel=0.35)


def test_rounds_add_up(values):
    once, often = (made(values, noise_multiplier=2.0, rounds=n)[0] for n in (1, 12))
    errors = [np.square(told - values)[1:].mean() for told in (once, often)]
    assert errors[1] < 0.8 * errors[0]


def test_shared_buckets_are_told_apart_over_rounds(values):
    """200 items in 100 buckets, others in each round."""
    once, often = (made(values, width=100, rounds=n)[0] for n in (1, 8))
    errors = [np.square(told - values)[1:].mean() for told in (once, often)]
    assert errors[1] < 0.5 * errors[0] < 0.5


def test_it_comes_back_out_of_a_checkpoint():
    spec = ItemSumSpec(200, 2, ItemSumConfig(embeddings=True))
    items = np.arange(1, 9, dtype=np.int32)[None]
    total = np.arange(spec.size)
    means = ItemMeans.none(200, 2).observed(AskedSums(spec, total, np.array([0]), items, 0, 1))
    again = ItemMeans.from_arrays(means.to_arrays())
    for name in ("embeddings", "logits"):
        for one, two in zip(means.told(name), again.told(name), strict=True):
            np.testing.assert_array_equal(one, two)
    assert means.told("embeddings")[0].shape == (201, 2)
