import dataclasses

import numpy as np
import pytest

from ecct_tf.data import SyntheticConfig, cloud_view, leave_one_out, synthetic, synthetic_dataset
from ecct_tf.errors import ConfigError


def test_shape_and_order():
    dataset = synthetic_dataset(SyntheticConfig(users=300, items=400, interactions=40))
    assert (dataset.num_users, dataset.num_items) == (300, 400)
    assert dataset.num_interactions / 300 == pytest.approx(40, rel=0.15)
    split = leave_one_out(dataset)
    assert split.excluded_users == 0
    for user in range(0, 300, 30):
        touched = split.touched(user)
        assert len(np.unique(touched)) == len(touched)
    times = np.diff(split.timestamps)
    assert (np.delete(times, split.offsets[1:-1] - 1) > 0).all()


def test_seed_decides():
    config = SyntheticConfig(users=20, items=50, interactions=10)
    one, same = synthetic_dataset(config), synthetic_dataset(config)
    other = synthetic_dataset(dataclasses.replace(config, seed=1))
    assert one.items.tobytes() == same.items.tobytes()
    assert one.timestamps.tobytes() == same.timestamps.tobytes()
    assert one.items.tobytes() != other.items.tobytes()


def test_a_large_catalog_has_the_same_law_by_pools_alone(monkeypatch):
    config = SyntheticConfig(users=60, items=600, interactions=20)
    whole = synthetic_dataset(config)
    monkeypatch.setattr(synthetic, "_SCORED_WHOLE", 599)
    pools = synthetic_dataset(config)
    # Sums in another order may decide single draws otherwise.
    assert np.mean(pools.items == whole.items) > 0.99
    np.testing.assert_array_equal(pools.timestamps, whole.timestamps)


def _category_lift(dataset):
    """How far knowing the profile helps to tell the category, by part.

    Total variation between a profile's category counts and everybody's,
    averaged over profiles: in the older part and in what is held back.
    """
    split = leave_one_out(dataset)
    gender, age = (column.values for column in dataset.user_columns)
    profile = (gender - 1) * 3 + age - 1
    users = np.repeat(np.arange(split.num_users), np.diff(split.offsets))
    hot = dataset.item_columns[0].values[split.items]
    position = np.arange(len(users)) - split.offsets[users]
    older = position < (np.diff(split.offsets) - 2 - split.recent_counts)[users]
    lifts = []
    for part in (older, ~older):
        shares = np.stack([hot[part & (profile[users] == p)].mean(axis=0) for p in range(6)])
        lifts.append(np.abs(shares - hot[part].mean(axis=0)).mean())
    return lifts


def test_profile_shows_in_the_held_back_part_only():
    config = SyntheticConfig(users=3000, items=200, interactions=20, latent=2)
    older, newest = _category_lift(synthetic_dataset(config))
    assert newest > 4 * older
    without = dataclasses.replace(config, private_strength=0.0)
    older, newest = _category_lift(synthetic_dataset(without))
    assert newest < 4 * older


def test_the_older_part_does_not_depend_on_the_private_strength_of_the_affinity():
    config = SyntheticConfig(users=50, items=100, interactions=20)
    quiet = dataclasses.replace(config, private_strength=0.0)
    one, other = (synthetic_dataset(c) for c in (config, quiet))
    views = [cloud_view(dataset, leave_one_out(dataset)) for dataset in (one, other)]
    assert views[0].older.items.tobytes() == views[1].older.items.tobytes()
    assert one.items.tobytes() != other.items.tobytes()


def test_taste_shows_in_the_older_part():
    def spread(strength):
        config = SyntheticConfig(users=200, items=100, interactions=20, central_strength=strength)
        dataset = synthetic_dataset(config)
        view = cloud_view(dataset, leave_one_out(dataset))
        return np.bincount(view.older.items, minlength=101)[1:].std()

    assert spread(1.0) > 2 * spread(0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"users": 0},
        {"items": 119},
        {"interactions": 7},
        {"users": 2.5},
        {"private_strength": -1.0},
        {"central_strength": float("nan")},
        {"seed": -1},
        {"seed": True},
    ],
)
def test_bad_configuration(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SyntheticConfig(**wrong)
