"""The sum of pairs of items as a federated computation: what the server sees, and its bits."""

from types import SimpleNamespace

import numpy as np
import pytest

from ecct_tf.config import IncrementConfig
from ecct_tf.federated.device_sums import build_device_sum, sum_federated, sum_here
from ecct_tf.knowledge.increments import IncrementSpec

SEED = np.array([3, 4], np.int64)


def spec_of(**settings):
    return IncrementSpec(20, IncrementConfig(positions=4, rows=2, width=64, **settings), 0.5)


def groups(users=150, seed=0):
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(users):
        history = rng.integers(1, 21, rng.integers(1, 9)).astype(np.int32)
        views.append(SimpleNamespace(history=history, recent=history[-2:]))
    return [views[:2], *([view] for view in views[2:])]


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_tff_adds_to_the_same_bits(runtime, noise):
    del runtime
    spec = spec_of(noise_multiplier=noise)
    here = sum_here(spec, groups(), SEED)
    np.testing.assert_array_equal(sum_federated(spec, groups(), SEED), here)
    assert here.any()


def test_nobody_is_a_sum_of_nothing(runtime):
    del runtime
    assert not sum_federated(spec_of(), [], SEED).any()


def test_nothing_leaves_a_client_but_through_the_secure_sum():
    spec = spec_of()
    computation = build_device_sum(spec, users=9)
    assert str(computation.type_signature.result) == f"int64[{spec.size}]@SERVER"
    body = computation.to_building_block().compact_representation()
    assert body.count("federated_secure_sum_bitwidth") == 1
    others = ("federated_sum", "federated_aggregate", "federated_collect", "federated_mean")
    assert not any(other in body for other in others)
