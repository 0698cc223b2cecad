"""Sums over devices as federated computations: what the server sees, and their bits."""

from types import SimpleNamespace

import numpy as np
import pytest

from ecct_tf.config import IncrementConfig, RecentPopularityConfig
from ecct_tf.federated.device_sums import build_device_sum, sum_federated, sum_here
from ecct_tf.knowledge.increments import IncrementSpec
from ecct_tf.knowledge.recent_popularity import PopularitySpec

SEED = np.array([3, 4], np.int64)


def pairs_of(**settings):
    return IncrementSpec(20, IncrementConfig(positions=4, rows=2, width=64, **settings), 0.5)


def items_of(**settings):
    return PopularitySpec(20, RecentPopularityConfig(positions=4, **settings))


SPECS = pytest.mark.parametrize("spec_of", [pairs_of, items_of])


def groups(users=150, seed=0):
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(users):
        history = rng.integers(1, 21, rng.integers(1, 9)).astype(np.int32)
        views.append(SimpleNamespace(history=history, recent=history[-2:]))
    return [views[:2], *([view] for view in views[2:])]


@SPECS
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_tff_adds_to_the_same_bits(runtime, noise, spec_of):
    del runtime
    spec = spec_of(noise_multiplier=noise)
    here = sum_here(spec, groups(), SEED)
    np.testing.assert_array_equal(sum_federated(spec, groups(), SEED), here)
    assert here.any()


@SPECS
def test_nobody_is_a_sum_of_nothing(runtime, spec_of):
    del runtime
    assert not sum_federated(spec_of(), [], SEED).any()


@SPECS
def test_nothing_leaves_a_client_but_through_the_secure_sum(spec_of):
    spec = spec_of()
    computation = build_device_sum(spec, users=9)
    assert str(computation.type_signature.result) == f"int64[{spec.size}]@SERVER"
    body = computation.to_building_block().compact_representation()
    assert body.count("federated_secure_sum_bitwidth") == 1
    others = ("federated_sum", "federated_aggregate", "federated_collect", "federated_mean")
    assert not any(other in body for other in others)


def test_many_devices_are_added_a_few_at_a_time(monkeypatch):
    whole = sum_here(items_of(), groups(), SEED)
    monkeypatch.setattr("ecct_tf.federated.device_sums._DEVICES_AT_ONCE", 7)
    np.testing.assert_array_equal(sum_here(items_of(), groups(), SEED), whole)
