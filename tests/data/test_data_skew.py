"""`data.skew`: devices made uneven, with what is tested left as it is."""

import dataclasses
import logging

import numpy as np
import pytest

from cloud.retraining import JobConfig
from ecct_tf.config import DataConfig, SkewConfig, load_config
from ecct_tf.cycle.config import CycleConfig
from ecct_tf.data import (
    leave_one_out,
    load_dataset,
    skew_report,
    skewed,
    split_dataset,
    taste_clusters,
)
from ecct_tf.data.skew import draw_by_taste, kept_counts
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.simulation.catalog import _left_out
from ecct_tf.simulation.experiment import build_experiment

SMALL = ("data.dataset=synthetic", "data.synthetic_users=40", "data.synthetic_items=240")


@pytest.fixture(scope="module")
def data():
    return load_dataset(DataConfig(dataset="synthetic", synthetic_users=40), seed=0)


@pytest.fixture(scope="module")
def split(data):
    return leave_one_out(data)


@pytest.fixture(scope="module")
def labels(split):
    return taste_clusters(split, clusters=4)


def thinned(data, split, *, seed=0, **skew):
    return skewed(data, split, SkewConfig(**skew), recent_fraction=0.2, seed=seed)


def test_items_that_the_same_users_met_are_one_taste(make_plain) -> None:
    """Ten users meet items 1 to 8, ten others 9 to 16, each the half of them and two of no one."""
    rng, rows = np.random.default_rng(0), []
    for user in range(20):
        first = 1 if user % 2 else 9
        met = rng.permutation(np.arange(first, first + 8))[:6].tolist()
        rows += [(user, item, time) for time, item in enumerate([*met, 17, 18, 19])]
    split = leave_one_out(make_plain(rows, num_users=20, num_items=19), recent_fraction=0.1)
    found = taste_clusters(split, clusters=2)
    assert len(set(found[1:9])) == len(set(found[9:17])) == 1
    assert found[1] != found[9]
    # Nobody's older part has the last two.
    assert found[18] == found[19]


def test_fewer_items_than_tastes_are_a_taste_each(make_plain) -> None:
    rows = [(user, item, time) for user in range(3) for time, item in enumerate([1, 2, 3, 4, 5])]
    split = leave_one_out(make_plain(rows, num_users=3, num_items=5))
    assert taste_clusters(split, clusters=4).tolist() == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("weights", "keep", "expected"),
    [
        ([1.0, 1.0, 1.0], 0.5, [5, 5, 20]),
        # All of the second, and what is left of 15 for the others: 5 of 50 by weight 1.
        ([1.0, 1000.0, 1.0], 0.25, [1, 10, 4]),
        ([1.0, 1.0, 1.0], 0.01, [2, 2, 2]),
    ],
)
def test_how_many_each_device_keeps_by_hand(weights, keep, expected) -> None:
    counts = kept_counts(np.array([10, 10, 40]), np.array(weights), keep=keep)
    assert counts.tolist() == np.maximum(expected, 2).tolist()


def test_a_taste_that_is_used_up_is_replaced_by_the_others() -> None:
    rng = np.random.default_rng(0)
    available = np.array([3, 2, 5])
    drawn = draw_by_taste(available, np.array([0.0, 1.0, 0.0]), 9, rng=rng)
    assert drawn.sum() == 9
    assert drawn[1] == 2
    assert (drawn <= available).all()
    half = [
        draw_by_taste(np.array([50, 50]), np.array([0.9, 0.1]), 10, rng=rng)[0] for _ in range(200)
    ]
    assert np.mean(half) == pytest.approx(9.0, abs=0.2)


def test_the_draw_is_that_of_the_seed(data, split) -> None:
    one, again, other = (
        thinned(data, split, keep=0.5, taste=0.3, seed=seed)[1] for seed in (0, 0, 1)
    )
    assert np.array_equal(one.items, again.items)
    assert not np.array_equal(one.items, other.items)


def test_what_is_kept_is_a_part_of_each_history_in_its_order(data, split) -> None:
    thin, cut = thinned(data, split, keep=0.4, taste=0.1, quantity=1.0)
    assert np.array_equal(split_dataset(DataConfig(), thin).items, cut.items)
    for user in split.users.tolist():
        whole, kept = split.train(user).tolist(), cut.train(user).tolist()
        assert 2 <= len(kept) <= len(whole)
        places = iter(whole)
        assert all(item in places for item in kept)
        assert (cut.validation(user), cut.test(user)) == (split.validation(user), split.test(user))
        assert len(cut.recent(user)) == max(1, int(np.ceil(0.2 * len(kept) - 1e-9)))


def test_a_smaller_alpha_makes_tastes_more_uneven_at_equal_quantity(data, split, labels) -> None:
    distances, totals = [], []
    for alpha in (1000.0, 1.0, 0.05):
        thin, cut = thinned(data, split, keep=0.5, taste=alpha, tastes=4)
        distances.append(skew_report(thin, cut, labels=labels).taste_distance)
        totals.append(cut.train_counts.tolist())
    assert distances[0] + 0.05 < distances[1] < distances[2] - 0.05
    assert totals[0] == totals[1] == totals[2]


def test_a_larger_sigma_makes_quantities_more_uneven_at_equal_total(data, split) -> None:
    shares, totals = [], []
    for sigma in (0.0, 1.0, 2.0):
        _, cut = thinned(data, split, keep=0.3, quantity=sigma)
        shares.append(np.std(cut.train_counts / split.train_counts))
        totals.append(cut.train_counts.sum() / split.train_counts.sum())
    assert shares[0] < 0.02 < shares[1] < shares[2]
    # Rounding, and the two that every device keeps.
    assert totals == pytest.approx([0.3] * 3, abs=0.02)


def test_private_columns_alone_are_missing_for_the_asked_share(make_toy, toy_rows) -> None:
    toy = make_toy(toy_rows)
    split = leave_one_out(toy)
    before = {column.column.name: column.values for column in toy.user_columns}
    few, most = (thinned(toy, split, missing_profiles=share)[0] for share in (0.25, 0.75))
    changed = []
    for thin in (few, most):
        after = {column.column.name: column.values for column in thin.user_columns}
        assert np.array_equal(after["region"], before["region"])
        missing = np.flatnonzero(after["gender"] == 0)
        assert not after["income"][missing].any()
        changed.append(set(missing.tolist()))
        assert thin.num_interactions == toy.num_interactions
    # A larger share takes the same devices and more.
    assert [len(each) for each in changed] == [2, 6]
    assert changed[0] < changed[1]


@pytest.fixture
def toy_rows():
    return [(user, 1 + (user + step) % 9, step) for user in range(8) for step in range(5)]


@pytest.fixture
def make_toy(make_plain, toy_schema):
    """The plain data set with the toy schema's columns, all values known."""

    def make(rows):
        plain = make_plain(rows, num_users=8, num_items=9)
        from ecct_tf.data import EncodedColumn

        gender, income, region, year, genres = toy_schema.columns
        codes = np.array([1, 2] * 4, np.int32)
        words = ("a", "b")
        return dataclasses.replace(
            plain,
            schema=toy_schema,
            user_columns=(
                EncodedColumn(gender, codes, words),
                EncodedColumn(income, np.arange(1, 9, dtype=np.int32)),
                EncodedColumn(region, codes, words),
            ),
            item_columns=(
                EncodedColumn(year, np.zeros(10, np.float32)),
                EncodedColumn(genres, np.zeros((10, 2), np.float32), words),
            ),
        )

    return make


def test_missing_profiles_need_private_columns(make_plain, toy_rows) -> None:
    plain = make_plain(toy_rows, num_users=8, num_items=9)
    with pytest.raises(DataError, match="has no private user column"):
        thinned(plain, leave_one_out(plain), missing_profiles=0.5)


@pytest.mark.parametrize("rule", ["leave_one_out", "temporal"])
def test_what_is_tested_and_against_what_does_not_move(rule) -> None:
    settings = [*SMALL, f"data.split={rule}", "evaluation.negatives=20"]
    plain = build_experiment(load_config(overrides=settings))
    skew = ["data.skew.keep=0.3", "data.skew.taste=0.1", "data.skew.missing_profiles=0.5"]
    uneven = build_experiment(load_config(overrides=[*settings, *skew]))
    assert uneven.fingerprint() != plain.fingerprint()
    for part in ("validation", "test"):
        before, after = getattr(plain, part), getattr(uneven, part)
        assert np.array_equal(before.items, after.items)
        assert np.array_equal(before.users, after.users)
        assert (after.positions < before.positions).all()
        for user, position, row in zip(after.users, after.positions, after.items, strict=True):
            assert uneven.split.touched(user)[position] == row[0]
    # What was taken away is no candidate of the whole catalog either.
    met = [
        sorted(zip(*(each.tolist() for each in _left_out(found, found.test)), strict=True))
        for found in (plain, uneven)
    ]
    assert met[0] == met[1]


def test_nothing_asked_is_nothing_done(data, split) -> None:
    same = thinned(data, split)
    assert same[0] is data
    assert same[1] is split


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("taste", "0.5", "data.skew.keep below 1"),
        ("quantity", "1.0", "data.skew.keep below 1"),
        ("taste", "0", "finite number above 0"),
        ("keep", "0", "data.skew.keep"),
        ("keep", "1.5", "data.skew.keep"),
        ("missing_profiles", "-0.1", "data.skew.missing_profiles"),
        ("tastes", "1", "data.skew.tastes"),
        ("quantity", "-1", "data.skew.quantity"),
    ],
)
def test_a_skew_that_is_none_is_refused(key, value, words) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(overrides=[f"data.skew.{key}={value}"])


@pytest.mark.parametrize("config", [JobConfig, CycleConfig])
def test_clouds_in_production_read_the_data_as_they_are(config) -> None:
    with pytest.raises(ConfigError, match=r"data\.skew: .*simulations alone"):
        config(data=DataConfig(skew=SkewConfig(keep=0.5)))


def test_the_log_tells_what_stays(data, split, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="ecct_tf.data.skew"):
        _, cut = thinned(data, split, keep=0.5)
    told = f"{cut.train_counts.sum()} of {split.train_counts.sum()} training interactions stay"
    assert told in caplog.text
