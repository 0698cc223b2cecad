"""No numeric setting takes an infinity, NaN or a number beyond 64 bits, present or future."""

import dataclasses
import math
from typing import get_type_hints

import pytest
import yaml

from cloud.retraining.config import JobConfig, load_job_config
from ecct_tf.config import RunConfig, load_config
from ecct_tf.config.checks import numbers
from ecct_tf.config.parsing import build
from ecct_tf.cycle.config import CycleConfig, load_cycle_config
from ecct_tf.errors import ConfigError

TREES = {RunConfig: load_config, JobConfig: load_job_config, CycleConfig: load_cycle_config}


def numeric_fields(config, path=()):
    """Path, owner and kind of each numeric field of a tree of configurations."""
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        here = (*path, field.name)
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from numeric_fields(value, here)
        elif hints[field.name] in (int, int | None):
            yield here, config, int
        elif hints[field.name] in (float, float | None):
            yield here, config, float


FIELDS = [
    pytest.param(tree, path, owner, kind, id=f"{tree.__name__}.{'.'.join(path)}")
    for tree in TREES
    for path, owner, kind in numeric_fields(tree())
]


def test_control_the_trees_are_walked():
    paths = {(param.values[0], ".".join(param.values[1])) for param in FIELDS}
    assert {
        (RunConfig, "seed"),
        (RunConfig, "cloud.next_item.dropout"),
        (RunConfig, "federated_baseline.server.learning_rate"),
        (RunConfig, "participation.devices_per_round"),
        (JobConfig, "gate.minimum_gain"),
        (CycleConfig, "exchange.noise_multiplier"),
    } <= paths
    assert len(paths) > 150


@pytest.mark.parametrize(("tree", "path", "owner", "kind"), FIELDS)
def test_a_field_refuses_what_it_cannot_mean(tree, path, owner, kind):
    del tree  # In the id only.
    bad = [2**63, -(2**63) - 1, 1.5, True] if kind is int else [math.inf, -math.inf, math.nan]
    for value in bad:
        with pytest.raises(ConfigError, match=rf"{path[-1]}\b.*got"):
            dataclasses.replace(owner, **{path[-1]: value})


@pytest.mark.parametrize("load", TREES.values(), ids=lambda load: load.__name__)
@pytest.mark.parametrize(
    "override",
    ["cloud.learning_rate=.inf", "cloud.l2=.nan", "cloud.next_item.weight_decay=.inf",
     "seed=9223372036854775808", "seed=-1", "seed=1.5", "seed=true", "features.decays=[.nan]"],
)  # fmt: skip
def test_files_and_overrides_are_refused_with_their_source(load, override):
    with pytest.raises(ConfigError, match=rf"^--set {override.split('=')[0]}=") as caught:
        load(None, overrides=[override])
    assert "\n" not in str(caught.value)


def test_a_share_in_a_mapping_is_named(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"edge": {"tiers": {"mlp": math.inf}}}))
    with pytest.raises(ConfigError, match=r"edge\.tiers\.mlp: expected a finite number, got inf"):
        load_config(path)


def test_the_largest_seed_is_taken():
    assert load_config(overrides=[f"seed={2**63 - 1}"]).seed == 2**63 - 1


def test_a_class_without_checks_of_its_own_is_checked_when_it_is_read():
    @dataclasses.dataclass(frozen=True)
    class Future:
        rate: float = 0.1
        rates: tuple[float, ...] = ()
        limit: int | None = None

    for values, name in (
        ({"rate": math.inf}, "future.rate"),
        ({"rates": [0.5, math.nan]}, "future.rates"),
        ({"limit": 2**63}, "future.limit"),
    ):
        with pytest.raises(ConfigError, match=rf"^{name}: expected"):
            build(Future, values, prefix="future.")
    numbers(Future(), "future")
