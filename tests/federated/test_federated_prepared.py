"""Devices are prepared once for what their data depends on."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import FeatureConfig, SampleConfig
from ecct_tf.data import device_view
from ecct_tf.federated import prepare_devices
from ecct_tf.federated import prepared as module
from ecct_tf.federated.prepared import PreparedDevices


@pytest.fixture
def ask(items, monkeypatch):
    """Asks for devices, of changed arguments; a new object stands for each set that is computed."""
    monkeypatch.setattr(module, "Preparation", lambda **_: object())
    prepared, views = PreparedDevices(), tuple((object(),) for _ in range(3))

    def ask(groups=views, **changes):
        return prepared.of(
            groups,
            **{
                "items": items, "block_sizes": (2,), "features": FeatureConfig(),
                "samples": SampleConfig(), "with_slots": True, "with_items": False, "seed": 0,
                **changes,
            },
        )  # fmt: skip

    ask.views, ask.prepared = views, prepared
    return ask


def test_the_same_devices_with_an_equal_table_share_a_set(ask, items):
    first = ask()
    copied = type(items)(*(np.array(array) for array in items))
    assert ask(items=copied) is first
    assert ask(list(map(list, ask.views))) is first


def test_what_only_rounds_read_of_a_table_changes_no_data(cohorts, items, dataset, split):
    """The cloud's embeddings and logits, which differ between two clouds of one view."""
    work = cohorts["attention"].work
    given = {
        "block_sizes": work.block_sizes, "features": work.features, "samples": SampleConfig(),
        "with_slots": True, "with_items": True, "seed": 0,
    }  # fmt: skip
    names = ("cloud", "bias", "logit_mean", "logit_scale")
    other = items._replace(**{name: np.asarray(getattr(items, name)) + 1 for name in names})
    prepared, groups = (
        PreparedDevices(),
        [[device_view(dataset, split, int(user))] for user in split.users[:2]],
    )
    shared = prepared.of(groups, items=items, **given)
    assert prepared.of(groups, items=other, **given) is shared
    for one, two in zip(
        shared.devices, prepare_devices(groups, items=other, **given).devices, strict=True
    ):
        for name in one._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"with_slots": False},
        {"with_items": True},
        {"samples": SampleConfig(negatives=1)},
        {"features": dataclasses.replace(FeatureConfig(), clock=False)},
    ],
)
def test_other_samples_or_features_are_prepared_anew(ask, changes):
    first = ask()
    assert ask(**changes) is not first
    assert ask() is first


def test_another_table_or_other_groups_are_prepared_anew(ask, items):
    first = ask()
    names = ("source", "target", "attributes", "feature_mean", "feature_scale")
    others = [
        *(
            {"items": items._replace(**{name: np.asarray(getattr(items, name)) + 1})}
            for name in names
        ),
        {"items": items._replace(bias=np.append(items.bias, 0))},
        {"groups": (ask.views[0], (*ask.views[1], *ask.views[2]))},
        {"groups": ask.views[:2]},
    ]
    for other in others:
        assert ask(**other) is not first
        # Or it would have been dropped for its age.
        assert ask() is first


def test_only_the_newest_two_are_kept(ask):
    first, second = ask(seed=1), ask(seed=2)
    assert ask(seed=1) is first
    ask(seed=3)
    assert len(ask.prepared) == 2
    assert ask(seed=1) is first
    assert ask(seed=2) is not second
