import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecct_tf.data import dirichlet_devices, leave_one_out, user_devices
from ecct_tf.errors import ConfigError, DataError


def test_one_device_per_included_user(toy):
    devices = user_devices(leave_one_out(toy))
    assert [device.tolist() for device in devices] == [[0]]


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    share=st.floats(0.01, 1.0),
    alpha=st.sampled_from([0.01, 0.3, 1.0, 100.0]),
    seed=st.integers(0, 1000),
)
def test_every_user_once_and_no_empty_node(labels, share, alpha, seed):
    users = np.arange(len(labels), dtype=np.int32) * 3
    nodes = max(1, int(share * len(labels)))
    devices = dirichlet_devices(np.array(labels), users, nodes=nodes, alpha=alpha, seed=seed)
    assert len(devices) == nodes
    assert all(len(device) for device in devices)
    assert sorted(np.concatenate(devices).tolist()) == users.tolist()


def _skew(alpha):
    labels = np.arange(2000) % 2
    devices = dirichlet_devices(labels, np.arange(2000), nodes=10, alpha=alpha, seed=0)
    return np.mean([abs(labels[device].mean() - 0.5) for device in devices])


def test_small_alpha_makes_nodes_differ():
    assert _skew(1000.0) < 0.1
    assert _skew(0.05) > 0.3


def test_seed_decides():
    arguments = {"nodes": 4, "alpha": 0.5}
    labels, users = np.zeros(50), np.arange(50)
    one, same, other = (
        [d.tolist() for d in dirichlet_devices(labels, users, **arguments, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_bad_arguments():
    labels, users = np.zeros(3), np.arange(3)
    for wrong in ({"nodes": 4}, {"nodes": 0}, {"alpha": 0.0}, {"alpha": np.nan}, {"seed": -1}):
        with pytest.raises(ConfigError):
            dirichlet_devices(labels, users, **{"nodes": 2, "alpha": 1.0, "seed": 0, **wrong})
    with pytest.raises(DataError, match="alike"):
        dirichlet_devices(labels[:2], users, nodes=2, alpha=1.0, seed=0)
    with pytest.raises(DataError, match="distinct"):
        dirichlet_devices(labels, users * 0, nodes=2, alpha=1.0, seed=0)
