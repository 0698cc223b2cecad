"""What says that it is a cloud is one, down to the names of the arguments: the tests' stub too."""

import inspect

import pytest

from cloud import CloudRecommender
from ecct_tf.baselines.silent_cloud import SilentCloud
from ecct_tf.federated import Cloud, DownlinkSource, TrainableCloud


def _methods(protocol):
    return {
        name: value
        for name, value in inspect.getmembers(protocol, inspect.isfunction)
        if not name.startswith("_")
    }


def _arguments(function):
    return [(each.name, each.kind) for each in inspect.signature(function).parameters.values()]


def _check(kind, protocol):
    for name, declared in _methods(protocol).items():
        assert _arguments(getattr(kind, name)) == _arguments(declared), f"{kind.__name__}.{name}"


def test_a_round_needs_three_methods_and_a_run_five_more():
    assert sorted(_methods(DownlinkSource)) == ["downlinks"]
    assert sorted(_methods(Cloud)) == ["downlinks", "queries", "update"]
    assert sorted(set(_methods(TrainableCloud)) - set(_methods(Cloud))) == [
        "publish",
        "restore",
        "scores",
        "snapshot",
        "user_embeddings",
    ]


@pytest.mark.parametrize(
    ("kind", "protocol"), [(CloudRecommender, TrainableCloud), (SilentCloud, Cloud)]
)
def test_the_library_s_clouds_are_what_they_say(kind, protocol):
    assert issubclass(kind, protocol)
    _check(kind, protocol)


def test_the_stub_of_the_tests_is_a_cloud_of_a_round_and_no_more(stub_cloud):
    assert issubclass(stub_cloud, Cloud)
    assert not issubclass(stub_cloud, TrainableCloud)
    _check(stub_cloud, Cloud)
