"""Proof that the cloud's view cannot depend on what is federated.

The fingerprint walks everything reachable from a view. Controls show that it
does notice what the cloud may know, and that a leaking view would be caught.
"""

import dataclasses
import enum
import hashlib

import numpy as np
import pytest

from ecct_tf.data import (
    CentralizedTable,
    CloudView,
    Dataset,
    Side,
    SyntheticConfig,
    cloud_view,
    device_view,
    leave_one_out,
    synthetic_dataset,
)
from ecct_tf.errors import PrivacyError


def _leaves(value, path="view"):
    if value is None or isinstance(value, (np.ndarray, str, int, float, enum.Enum)):
        yield path, value
    elif dataclasses.is_dataclass(value):
        # vars, not fields: an attribute smuggled past the fields counts too.
        for name, part in vars(value).items():
            yield from _leaves(part, f"{path}.{name}")
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from _leaves(part, f"{path}[{index}]")
    else:
        raise TypeError(f"{path} holds a {type(value).__name__}: teach the test to look inside")


def _arrays(value):
    return {path: leaf for path, leaf in _leaves(value) if isinstance(leaf, np.ndarray)}


def _fingerprint(value):
    digest = hashlib.sha256()
    for path, leaf in _leaves(value):
        array = isinstance(leaf, np.ndarray)
        digest.update(f"{path} {leaf.dtype if array else leaf!r}".encode())
        digest.update(leaf.tobytes() if array else b"")
    return digest.hexdigest()


@pytest.fixture(scope="module")
def dataset():
    return synthetic_dataset(SyntheticConfig(users=40, items=90, interactions=20, seed=3))


def _with_other_items(dataset, chosen):
    """Gives every interaction in the mask `chosen` (in file order) another item."""
    items = dataset.items.copy()
    items[chosen] = items[chosen] % dataset.num_items + 1
    return dataclasses.replace(dataset, items=items)


def _held_back(dataset, split):
    """Mask in file order: all interactions that the cloud may not see."""
    order = np.lexsort((np.arange(len(dataset.users)), dataset.timestamps, dataset.users))
    mask = np.ones(len(order), bool)
    for user in split.users:
        start = split.offsets[user]
        mask[order[start : start + len(split.older(user))]] = False
    return mask


def _with_other_federated_values(dataset):
    changed = []
    for encoded in dataset.user_columns:
        if encoded.column.side is Side.FEDERATED:
            size = len(encoded.vocabulary)
            encoded = dataclasses.replace(
                encoded,
                values=(encoded.values % size + 1).astype(np.int32),
                vocabulary=tuple(f"other-{word}" for word in encoded.vocabulary),
            )
        changed.append(encoded)
    return dataclasses.replace(dataset, user_columns=tuple(changed))


def test_cloud_view_does_not_depend_on_anything_federated(dataset):
    split = leave_one_out(dataset)
    mask = _held_back(dataset, split)
    assert 0.2 < mask.mean() < 0.5
    changed = _with_other_federated_values(_with_other_items(dataset, mask))
    for before, after in zip(dataset.user_columns, changed.user_columns, strict=True):
        assert (before.values != after.values).all()
    other = leave_one_out(changed)
    for user in split.users:
        assert (split.recent(user) != other.recent(user)).all()
        assert split.validation(user) != other.validation(user)
        assert split.test(user) != other.test(user)
    assert _fingerprint(cloud_view(changed, other)) == _fingerprint(cloud_view(dataset, split))


def test_control_the_fingerprint_sees_what_the_cloud_may_know(dataset):
    split = leave_one_out(dataset)
    plain = _fingerprint(cloud_view(dataset, split))
    one = np.zeros(len(dataset.items), bool)
    one[np.flatnonzero(~_held_back(dataset, split))[0]] = True
    changed = _with_other_items(dataset, one)
    assert _fingerprint(cloud_view(changed, leave_one_out(changed))) != plain
    (category,) = dataset.item_columns
    flipped = category.values.copy()
    flipped[1] = 1 - flipped[1]
    changed = dataclasses.replace(
        dataset, item_columns=(dataclasses.replace(category, values=flipped),)
    )
    assert _fingerprint(cloud_view(changed, split)) != plain


def test_control_a_leaking_view_is_caught(dataset):
    # With recent_fraction 0 the recent items do reach the cloud: the view must differ.
    split = leave_one_out(dataset)
    changed = _with_other_items(dataset, _held_back(dataset, split))
    leaky = [
        _fingerprint(cloud_view(data, leave_one_out(data, recent_fraction=0.0)))
        for data in (dataset, changed)
    ]
    assert leaky[0] != leaky[1]


def test_routing_a_column_of_the_other_side_is_refused(dataset):
    split = leave_one_out(dataset)
    view = cloud_view(dataset, split)
    federated = [c for c in dataset.user_columns if c.column.side is Side.FEDERATED]
    assert federated
    for column in federated:
        with pytest.raises(PrivacyError, match=column.column.name):
            CentralizedTable(dataset.schema, (column,))
    device = device_view(dataset, split, int(split.users[0]))
    for part in ("users", "items", "older"):
        with pytest.raises(PrivacyError):
            dataclasses.replace(view, **{part: device.profile})


def test_a_new_tag_moves_a_column_to_the_other_side(dataset):
    """The tag alone decides: re-tagging `category` federated takes it from the cloud."""
    columns = tuple(
        dataclasses.replace(c, side=Side.FEDERATED) if c.name == "category" else c
        for c in dataset.schema.columns
    )
    (category,) = dataset.item_columns
    retagged = dataclasses.replace(
        dataset,
        schema=dataclasses.replace(dataset.schema, columns=columns),
        item_columns=(dataclasses.replace(category, column=columns[-1]),),
    )
    view = cloud_view(retagged, leave_one_out(retagged))
    assert view.items.names == ()
    with pytest.raises(PrivacyError):
        view.items["category"]


def test_no_array_of_a_view_reaches_outside(dataset):
    split = leave_one_out(dataset)
    outside = {**_arrays(dataset), **{f"split.{k}": v for k, v in _arrays(split).items()}}
    views = [cloud_view(dataset, split), device_view(dataset, split, int(split.users[0]))]
    for view in views:
        arrays = _arrays(view)
        assert arrays
        for path, array in arrays.items():
            assert array.base is None, path
            assert not array.flags.writeable, path
            for name, other in outside.items():
                assert not np.shares_memory(array, other), (path, name)


def test_cloud_view_holds_the_declared_fields_only():
    names = [field.name for field in dataclasses.fields(CloudView)]
    assert names == ["num_users", "num_items", "older", "items", "users"]
    assert not any(f.type in ("Dataset", Dataset) for f in dataclasses.fields(CloudView))


def test_device_view_does_not_depend_on_other_devices(dataset):
    split = leave_one_out(dataset)
    user = int(split.users[0])
    changed = _with_other_items(dataset, dataset.users != user)
    other = device_view(changed, leave_one_out(changed), user)
    assert _fingerprint(other) == _fingerprint(device_view(dataset, split, user))


def test_device_view_does_not_depend_on_validation_and_test(dataset):
    split = leave_one_out(dataset)
    user = int(split.users[0])
    rows = np.flatnonzero(dataset.users == user)
    last_two = rows[np.argsort(dataset.timestamps[rows], kind="stable")[-2:]]
    changed = _with_other_items(dataset, np.isin(np.arange(len(dataset.users)), last_two))
    other = device_view(changed, leave_one_out(changed), user)
    assert _fingerprint(other) == _fingerprint(device_view(dataset, split, user))
