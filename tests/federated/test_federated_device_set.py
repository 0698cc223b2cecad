"""Devices that are prepared when they are asked for are those that are prepared at once."""

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.data import DeviceGroups, device_view
from ecct_tf.errors import DataError
from ecct_tf.federated import DeviceSet, prepare_devices
from ecct_tf.federated.device_set import DevicesOnDemand
from ecct_tf.federated.devices import Preparation


@pytest.fixture(scope="module")
def options(cohorts, items):
    work = cohorts["attention"].work
    return {
        "items": items,
        "block_sizes": work.block_sizes,
        "features": work.features,
        "samples": SampleConfig(),
        "with_slots": True,
        "with_items": True,
        "seed": 0,
    }


@pytest.fixture(scope="module")
def groups(dataset, split):
    users = split.users
    return DeviceGroups(dataset, split, [users[:2], *([user] for user in users[2:8])])


@pytest.fixture(scope="module")
def at_once(groups, options):
    return prepare_devices(list(groups), **options)


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_views_are_those_of_the_users(groups, dataset, split):
    assert [view.user for view in groups[0]] == split.users[:2].tolist()
    assert len(list(groups)) == len(groups) == 7
    (view,) = groups[-1]
    np.testing.assert_array_equal(view.history, device_view(dataset, split, view.user).history)
    assert groups.device_of(int(split.users[1])) == 0
    assert groups.device_of(view.user) == len(groups) - 1
    with pytest.raises(KeyError):
        groups.device_of(int(split.users[9]))
    with pytest.raises(IndexError):
        groups[len(groups)]


def test_a_part_of_the_groups_is_in_its_order(groups):
    part = groups.subset([3, 0])
    assert [len(group) for group in part] == [1, 2]
    assert part[0][0].user == groups[3][0].user
    assert part.identity == groups.subset([3, 0]).identity != groups.subset([0, 3]).identity
    assert [g[0].user for g in groups[1:3]] == [groups[1][0].user, groups[2][0].user]


@pytest.mark.parametrize("kept_bytes", [0, 2000, 2**30])
def test_in_any_order_and_with_any_bound_they_are_the_same(groups, options, at_once, kept_bytes):
    devices = DeviceSet(DevicesOnDemand(groups, Preparation(**options), kept_bytes=kept_bytes))
    for members in ([4], [0, 4, 2], [6, 5, 4, 3, 2, 1, 0], [1, 1]):
        found = devices.of(members)
        assert all(
            same(own, at_once.devices[member]) for own, member in zip(found, members, strict=True)
        )
    assert same(devices.devices[-1], at_once.devices[-1])
    assert len(devices.devices[2:4]) == 2


def test_the_newest_stay_up_to_the_bound(groups, options, at_once):
    def size(member):
        return sum(np.asarray(array).nbytes for array in at_once.devices[member])

    devices = DevicesOnDemand(groups, Preparation(**options), kept_bytes=size(5) + size(6))
    devices.of([1, 2, 3, 4, 5, 6])
    assert list(devices._kept) == [5, 6]
    devices.of([5])
    devices.of([1])
    assert 6 not in devices._kept
    assert devices._bytes == sum(map(size, devices._kept))


def test_outlines_need_no_preparation(groups, options, at_once, monkeypatch):
    lazy = DeviceSet(DevicesOnDemand(groups, Preparation(**options)))
    monkeypatch.setattr(Preparation, "of", None)
    for one, two in zip(lazy.outlines, at_once.outlines, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("users", [0, 256])
def test_a_device_with_too_few_or_too_many_users_is_named(dataset, split, options, users):
    groups = DeviceGroups(dataset, split, [split.users[:1], np.resize(split.users, users)])
    devices = DeviceSet(DevicesOnDemand(groups, Preparation(**options)))
    with pytest.raises(DataError, match=f"device 1: expected 1 to 255 users, got {users}"):
        _ = devices.outlines
