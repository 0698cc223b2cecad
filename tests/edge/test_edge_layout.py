import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import TIERS
from ecct_tf.edge import EdgeSpec, Weight, WeightLayout, build_edge_model
from ecct_tf.errors import ConfigError

LAYOUT = WeightLayout(
    (
        Weight("kernel", (2, 3), "backbone", 0.5),
        Weight("bias", (3,), "backbone"),
        Weight("out", (3,), "head", 1.0),
    )
)


@pytest.mark.parametrize(("sharing", "size"), [("none", 0), ("backbone", 9), ("all", 12)])
def test_shared_prefix(sharing, size):
    assert LAYOUT.size == 12
    assert LAYOUT.shared_size(sharing) == size


@pytest.mark.parametrize("tier", TIERS)
def test_the_private_rest_of_a_tier_is_its_head(tier, spec):
    layout = build_edge_model(tier, spec).layout
    head = sum(weight.size for weight in layout.weights if weight.name.startswith("head/"))
    assert layout.size - layout.shared_size("backbone") == head > 0


def test_to_dict_by_hand():
    named = LAYOUT.to_dict(np.arange(12, dtype=np.float32))
    assert list(named) == ["kernel", "bias", "out"]
    assert named["kernel"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert named["bias"].tolist() == [6, 7, 8]
    assert named["out"].tolist() == [9, 10, 11]


@pytest.mark.parametrize("tier", TIERS)
def test_to_dict_equals_unpack(tier, spec):
    layout = build_edge_model(tier, spec).layout
    flat = layout.initial(3)
    tensors = layout.unpack(tf.constant(flat))
    for name, array in layout.to_dict(flat).items():
        np.testing.assert_array_equal(array, tensors[name])


def test_to_dict_refuses_another_length():
    with pytest.raises(ConfigError, match=r"\(12,\), got \(11,\); it belongs to another tier"):
        LAYOUT.to_dict(np.zeros(11, np.float32))


def test_head_before_backbone_is_refused():
    with pytest.raises(ConfigError, match="backbone first"):
        WeightLayout((Weight("out", (1,), "head"), Weight("in", (1,), "backbone")))


def test_names_are_unique():
    with pytest.raises(ConfigError, match=r"unique.*twice"):
        WeightLayout((Weight("twice", (1,), "head"), Weight("twice", (2,), "head")))


def test_initial_weights():
    flat = LAYOUT.initial(7)
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat, LAYOUT.initial(7))
    assert not np.array_equal(flat, LAYOUT.initial(8))
    named = LAYOUT.to_dict(flat)
    assert not named["bias"].any()  # scale 0
    assert named["kernel"].all()
    wide = WeightLayout((Weight("kernel", (100, 100), "backbone", 0.5),))
    assert wide.initial(0).std() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cloud_dim": 0}, "EdgeSpec.cloud_dim must be at least 1, got 0"),
        ({"heads": -1}, "EdgeSpec.heads"),
        ({"profile_sizes": (3, 1)}, r"unknown row.*\(3, 1\)"),
    ],
)
def test_spec_refuses(change, message):
    sizes = {"interaction_dim": 5, "history_length": 4, "num_blocks": 2, "profile_sizes": (3,)}
    with pytest.raises(ConfigError, match=message):
        EdgeSpec(**{**sizes, "cloud_dim": 3, **change})
