"""Where a run's devices have their noise from: the run's seed, and never a file."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from ecct_tf.data.profile import ProfileShape
from ecct_tf.edge import DeviceTask
from ecct_tf.simulation.builder import device_work

TABLE = SimpleNamespace(
    feature_mean=np.zeros(3),
    cloud_dim=2,
    row_dim=2,
    counts_newest=False,
    blocks=[SimpleNamespace(source=np.zeros((5, 4)))],
)


def work(config):
    return device_work(config, "linear", table=TABLE, profile=ProfileShape((2,)))


def test_each_run_has_a_stream_of_its_own_and_each_stage_too(small_config):
    one, other = (work(small_config(f"seed={n}", "exchange.noise_multiplier=1")) for n in (0, 1))
    seeds = [tuple(each.in_stage(s).noise_seed(4).numpy()) for each in (one, other) for s in (1, 2)]
    seeds.append(tuple(one.noise_seed(5).numpy()))
    assert len(set(seeds)) == 5
    again = work(small_config("seed=0", "exchange.noise_multiplier=1"))
    assert tuple(again.noise_seed(5).numpy()) == seeds[-1]


def test_without_noise_nothing_is_drawn(small_config):
    assert work(small_config()).noise_seed(0) is None


def test_what_an_exported_file_is_made_of_holds_no_stream(small_config):
    made = work(small_config("exchange.noise_multiplier=1"))
    task = made.task
    words = repr(dataclasses.asdict(task))
    assert not any(str(number) in words for number in made.noise_stream)
    with pytest.raises(TypeError):
        DeviceTask(**{f.name: None for f in dataclasses.fields(task)}, noise_stream=(0, 0))
