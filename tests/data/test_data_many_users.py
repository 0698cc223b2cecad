"""What is computed for many users at once is what each of them has alone, bit for bit."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.data import DeviceGroups, SyntheticConfig, leave_one_out, synthetic_dataset
from ecct_tf.data import heavy_users as heavy
from ecct_tf.data.chunks import chunks_of
from ecct_tf.data.guard import trained_counts, trained_positions
from ecct_tf.data.heavy_users import distinct_counts
from ecct_tf.data.profile import device_profile, device_profiles
from ecct_tf.data.views import cloud_view


@pytest.fixture(scope="module")
def data():
    dataset = synthetic_dataset(SyntheticConfig(users=40, items=60, interactions=12))
    # Some touch an item again, and the last has too few interactions.
    items = dataset.items.copy()
    items[5::7] = items[4::7][: len(items[5::7])]
    keep = (dataset.users < 39) | (np.cumsum(dataset.users == 39) <= 2)
    dataset = dataclasses.replace(
        dataset,
        items=items[keep],
        users=dataset.users[keep],
        timestamps=dataset.timestamps[keep],
    )
    return dataset, leave_one_out(dataset)


@pytest.mark.parametrize("entries", [1, 30, 1 << 20])
def test_different_items_are_counted_as_for_each_user_alone(data, entries, monkeypatch):
    _, split = data
    monkeypatch.setattr(heavy, "chunks_of", lambda ends: chunks_of(ends, entries))
    counts = distinct_counts(split, split.train_counts)
    expected = [len(np.unique(split.train(user))) for user in range(split.num_users)]
    assert counts.tolist() == expected
    assert max(expected) < max(split.train_counts)


def test_trained_counts_are_those_of_each_history():
    for samples in (SampleConfig(), SampleConfig(max_positions=3, guard_positions=2)):
        cases = [(length, older) for length in range(12) for older in range(length + 1)]
        lengths, older = np.array(cases, np.int64).T
        expected = [len(trained_positions(n, num_older=k, samples=samples)) for n, k in cases]
        assert trained_counts(lengths, num_older=older, samples=samples).tolist() == expected


def test_facts_of_groups_are_those_of_their_views(data):
    dataset, split = data
    groups = DeviceGroups(dataset, split, [[3, 1], [0], [7, 8, 2]])
    facts = groups.facts
    views = [view for group in groups for view in group]
    assert facts.sizes.tolist() == [2, 1, 3]
    assert facts.users.tolist() == [view.user for view in views]
    assert facts.lengths.tolist() == [len(view.history) for view in views]
    assert facts.older.tolist() == [view.num_older for view in views]
    profiles = device_profiles(facts.columns, facts.users)
    np.testing.assert_array_equal(profiles, [device_profile(view) for view in views])


def test_an_excluded_user_of_a_group_is_named(data):
    dataset, split = data
    assert 39 not in split.users
    with pytest.raises(Exception, match="user 39 has too few interactions"):
        _ = DeviceGroups(dataset, split, [[0], [39]]).facts


def test_histories_are_those_of_each_user(data):
    older = cloud_view(*data).older
    found = older.histories
    assert len(found) == 40
    assert [each.tolist() for each in found] == [older.of(user).tolist() for user in range(40)]
    assert [each.tolist() for each in found[5:9]] == [older.of(u).tolist() for u in range(5, 9)]
