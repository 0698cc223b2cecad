import dataclasses

import pytest

from ecct_tf.data import (
    CentralizedTable,
    cloud_view,
    device_view,
    leave_one_out,
)
from ecct_tf.data.numbers import Scaling, number_code
from ecct_tf.errors import DataError, PrivacyError


def test_cloud_view_by_hand(toy):
    view = cloud_view(toy, leave_one_out(toy, recent_fraction=0.4))
    assert (view.num_users, view.num_items) == (2, 8)
    assert view.older.of(0).tolist() == [2, 5, 3]
    assert view.older.of(1).tolist() == []  # excluded users give the cloud nothing
    assert view.older.timestamps.tolist() == [10, 20, 30]
    assert view.items.names == ("year", "genres")
    assert view.users.names == ("region",)
    with pytest.raises(DataError, match="received 2"):
        view.older.of(2)


def test_device_view_by_hand(toy):
    view = device_view(toy, leave_one_out(toy, recent_fraction=0.4), 0)
    assert view.history.tolist() == [2, 5, 3, 4, 7]
    assert view.num_older == 3
    assert view.recent.tolist() == [4, 7]
    assert view.profile.names == ("gender", "income")
    assert view.profile["income"].values.tolist() == [number_code(3.0, Scaling(log=True))]
    assert not view.history.flags.writeable


def test_wrong_parts_are_refused(toy):
    split = leave_one_out(toy)
    cloud, device = cloud_view(toy, split), device_view(toy, split, 0)
    with pytest.raises(PrivacyError, match=r"CloudView\.users must be a CentralizedTable"):
        dataclasses.replace(cloud, users=device.profile)
    with pytest.raises(PrivacyError, match=r"CloudView\.older must be a OlderInteractions"):
        dataclasses.replace(cloud, older=split)
    with pytest.raises(PrivacyError, match="FederatedTable"):
        dataclasses.replace(device, profile=cloud.users)
    other = dataclasses.replace(toy.schema, name="other")
    with pytest.raises(PrivacyError, match="one and the same schema"):
        dataclasses.replace(cloud, users=CentralizedTable(other, cloud.users.columns))
    with pytest.raises(DataError, match="expected item columns"):
        dataclasses.replace(cloud, items=cloud.users)


def test_a_profile_of_several_users_is_refused(toy):
    view = device_view(toy, leave_one_out(toy), 0)
    everybody = dataclasses.replace(view.profile, columns=toy.user_columns[:2])
    with pytest.raises(PrivacyError, match="2 rows"):
        dataclasses.replace(view, profile=everybody)


def test_excluded_user_and_foreign_split(toy, make_plain):
    with pytest.raises(DataError, match="user 1"):
        device_view(toy, leave_one_out(toy), 1)
    foreign = leave_one_out(make_plain([(0, 1, 0)], num_users=1, num_items=1))
    with pytest.raises(DataError, match="does not belong"):
        cloud_view(toy, foreign)
