"""`data.keep_first` and `data.keep_last`: short histories of any source."""

import dataclasses
import logging

import numpy as np
import pytest

from cloud.retraining import JobConfig
from cloud.retraining.history import load_history
from ecct_tf.config import DataConfig, RunConfig, load_config
from ecct_tf.data import (
    described,
    leave_one_out,
    load_dataset,
    shortened,
    split_dataset,
)
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.simulation.experiment import build_experiment

SYNTHETIC = DataConfig(dataset="synthetic", synthetic_users=12, synthetic_items=120)


@pytest.fixture
def plain(make_plain):
    """User 0 has six interactions with a tie at time 3, user 1 two, user 2 none."""
    rows = [(0, 1, 9), (1, 7, 1), (0, 2, 3), (0, 3, 3), (0, 4, 1), (1, 1, 5), (0, 5, 8), (0, 6, 3)]
    return make_plain(rows, num_users=3, num_items=8)


@pytest.mark.parametrize(
    ("keep", "items", "lost"),
    [
        # In time order user 0 has 4, 2, 3, 6, 5, 1; what is kept stays in file order.
        ({"keep_first": 3}, [7, 2, 3, 4, 1], 2),
        ({"keep_first": 1}, [7, 4], 5),
        ({"keep_last": 3}, [1, 7, 1, 5, 6], 3),
        ({"keep_last": 5}, [1, 7, 2, 3, 1, 5, 6], 1),
    ],
)
def test_which_interactions_are_kept_by_hand(plain, keep, items, lost):
    short, count = shortened(plain, **keep)
    assert short.items.tolist() == items
    assert (count.rows, count.users, count.items) == (8 - len(items), 0, lost)
    # The catalogue and the users stay.
    assert (short.num_items, short.num_users) == (8, 3)
    again, nothing = shortened(short, **keep)
    assert again is short
    assert nothing is None


def test_the_parts_are_those_of_the_short_history(plain):
    split = leave_one_out(shortened(plain, keep_first=5)[0])
    assert split.touched(0).tolist() == [4, 2, 3, 6, 5]
    assert (split.validation(0), split.test(0)) == (6, 5)


@pytest.mark.parametrize("keep", [{}, {"keep_first": 6}, {"keep_last": 6}])
def test_what_is_short_enough_stays_as_it_is(plain, keep):
    assert shortened(plain, **keep) == (plain, None)


def test_numbers_that_mean_nothing_are_refused(plain):
    with pytest.raises(ConfigError, match="keep_last: expected at least 1, got 0"):
        shortened(plain, keep_last=0)
    with pytest.raises(ConfigError, match="keep_first or keep_last, got both: 5 and 6"):
        shortened(plain, keep_first=5, keep_last=6)
    for key in ("keep_first", "keep_last"):
        with pytest.raises(ConfigError, match=rf"data\.{key}: expected at least 4, .* got 3"):
            DataConfig(**{key: 3})
        with pytest.raises(ConfigError, match=rf"data\.{key}: expected at least 2, .* got 1"):
            DataConfig(**{key: 1}, split="temporal")
        assert getattr(DataConfig(**{key: 2}, split="temporal"), key) == 2
    with pytest.raises(ConfigError, match=r"data\.keep_last: expected null beside .*first=5"):
        DataConfig(keep_first=5, keep_last=5)
    with pytest.raises(ConfigError, match=r"data\.keep_first: expected a whole number, got 4\.5"):
        load_config(None, overrides=["data.keep_first=4.5"])


@pytest.mark.parametrize("key", ["keep_first", "keep_last"])
def test_loaded_data_is_shortened_and_counted(key, caplog):
    config = dataclasses.replace(SYNTHETIC, **{key: 5})
    whole = load_dataset(SYNTHETIC, seed=1)
    with caplog.at_level(logging.WARNING):
        short = load_dataset(config, seed=1)
    assert short.num_interactions == 12 * 5
    assert (
        f"all but the {key[5:]} 5 of each user (data.{key}): {whole.num_interactions - 60:,} "
        "interactions left out"
    ) in caplog.text
    mine, theirs = leave_one_out(whole).touched(0), leave_one_out(short).touched(0)
    assert theirs.tolist() == (mine[:5] if key == "keep_first" else mine[-5:]).tolist()
    # Loaded as the configuration says, and not taken for the whole data.
    assert described(config, short, seed=1) is config
    assert described(SYNTHETIC, short, seed=1).dataset == "in-memory"


def test_data_in_memory_is_shortened_too():
    whole = dataclasses.replace(load_dataset(SYNTHETIC, seed=1), source=None)
    config = RunConfig(data=dataclasses.replace(SYNTHETIC, keep_last=6), seed=1)
    experiment = build_experiment(config, dataset=whole)
    assert experiment.dataset.num_interactions == 12 * 6
    assert np.diff(experiment.split.offsets).tolist() == [6] * 12
    # It is filed as what was handed over, which resuming then asks for.
    assert described(config.data, whole, seed=1).fingerprint == whole.fingerprint()
    assert described(config.data, whole, seed=1).keep_last == 6


def test_a_retraining_job_learns_from_short_histories():
    for history, expected in (("all", 12 * 6), ("older", 12 * 3)):
        job = JobConfig(history=history, data=dataclasses.replace(SYNTHETIC, keep_first=6))
        assert len(load_history(job, known=None, progress=False).view.older.items) == expected


def test_long_histories_are_not_split_by_a_configuration_that_keeps_short_ones(plain):
    config = DataConfig(dataset="in-memory", keep_first=5)
    with pytest.raises(DataError, match=r"at most 5 .* data\.keep_first says, received 6"):
        split_dataset(config, plain)
