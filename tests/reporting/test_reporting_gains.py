"""Gains of single devices, computed by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.reporting import compare_runs, read_runs
from ecct_tf.reporting.gains import device_gains


def models(paths):
    found = compare_runs(read_runs(paths)).models
    ours = next(model for model in found if model.name == "ECCT edge")
    return ours, next(model for model in found if model.name == "FedAvg")


@pytest.fixture
def pair(make_run, result):
    """ECCT and FedAvg with given ranks by seed."""

    def make(ours, theirs, **more):
        edge, averaged = ("ECCT edge", "edge"), ("FedAvg", "edge")
        for seed, (first, second) in enumerate(zip(ours, theirs, strict=True)):
            rows = [result(*edge, 0.7)]
            yield make_run(f"e{seed}", seed=seed, results=rows, ranks={edge: first}, **more)
            more_of_it = {"method": "fedavg", "ranks": {averaged: second}, **more}
            rows = [result(*averaged, 0.6, method="fedavg")]
            yield make_run(f"f{seed}", seed=seed, results=rows, **more_of_it)

    return lambda *ranks, **more: list(make(*ranks, **more))


def test_the_gain_of_a_device_is_its_difference_in_ndcg(pair) -> None:
    # Rank 3 has NDCG 1 / log2(4) = 0.5, rank 1 has 1, beyond 10 it is 0.
    gains = device_gains(*models(pair([(1, 3, 11, 3)], [(3, 1, 50, 3)])))
    np.testing.assert_allclose(gains.by_device, [0.5, -0.5, 0.0, 0.0])
    assert gains.gain.mean == 0.0
    assert (gains.better, gains.worse) == (0.25, 0.25)
    assert (gains.subject, gains.baseline, gains.seeds) == ("ECCT edge", "FedAvg", (0,))


def test_the_last_place_of_the_list_counts_and_the_next_does_not(pair) -> None:
    gains = device_gains(*models(pair([(10, 11, 10, 100)], [(11, 11, 10, 100)])))
    np.testing.assert_allclose(gains.by_device, [1 / math.log2(11), 0.0, 0.0, 0.0])


def test_devices_are_averaged_over_seeds_and_interactions(pair) -> None:
    # User 7 is tested twice in each seed; the first and the second keep their order.
    paths = pair(
        [(1, 3, 1), (3, 3, 1)],
        [(3, 3, 1), (3, 1, 11)],
        users=(7, 7, 9),
        interactions=(10, 10, 30),
    )
    gains = device_gains(*models(paths))
    # User 7: mean of 0.5, 0, 0, -0.5; user 9: mean of 0, 1.
    np.testing.assert_allclose(gains.by_device, [0.0, 0.5])
    assert gains.seeds == (0, 1)


def test_activity_groups_are_quartiles_of_training_interactions(pair) -> None:
    users = tuple(range(1, 9))
    paths = pair(
        [(1, 1, 1, 1, 3, 3, 3, 3)],
        [(3, 3, 1, 1, 3, 3, 1, 1)],
        users=users,
        interactions=(5, 6, 7, 8, 9, 10, 11, 12),
    )
    groups = device_gains(*models(paths)).groups
    # Borders at 6.75, 8.5 and 10.25.
    assert [(group.fewest, group.most, group.devices) for group in groups] == [
        (5, 6, 2),
        (7, 8, 2),
        (9, 10, 2),
        (11, 12, 2),
    ]
    assert [group.gain.mean for group in groups] == [0.5, 0.0, 0.0, -0.5]
    assert (groups[0].subject, groups[0].baseline) == (1.0, 0.5)


def test_equally_active_devices_stay_together(pair) -> None:
    gains = device_gains(*models(pair([(1, 1, 1, 1)], [(1, 2, 3, 4)], interactions=(5, 5, 5, 5))))
    (group,) = gains.groups
    assert (group.fewest, group.most, group.devices) == (5, 5, 4)


def test_a_device_on_a_border_belongs_below_it(pair) -> None:
    paths = pair([(1,) * 5], [(1,) * 5], users=tuple(range(5)), interactions=(10, 20, 30, 40, 50))
    # The borders are 20, 30 and 40.
    groups = device_gains(*models(paths)).groups
    assert [(group.fewest, group.most) for group in groups] == [
        (10, 20),
        (30, 30),
        (40, 40),
        (50, 50),
    ]


def test_the_test_is_paired_and_there_is_none_without_a_difference(pair) -> None:
    twelve = {"users": tuple(range(12)), "interactions": (10,) * 12}
    # One device stays, one loses, ten gain.
    ours, theirs = (1, 2, *range(1, 11)), (1, 1, *range(2, 12))
    gains = device_gains(*models(pair([ours], [theirs], **twelve)))
    expected = stats.wilcoxon(gains.by_device, zero_method="pratt", method="approx").pvalue
    assert gains.p_value == pytest.approx(expected)
    assert gains.p_value < 0.05


def test_a_few_devices_are_not_tested(pair) -> None:
    assert device_gains(*models(pair([(1, 2, 3, 4)], [(2, 3, 4, 5)]))).p_value is None


def test_equal_models_differ_in_nothing(pair) -> None:
    gains = device_gains(*models(pair([(1, 2, 3, 4)], [(1, 2, 3, 4)])))
    assert gains.p_value is None
    assert (gains.gain.mean, gains.gain.low, gains.gain.high) == (0.0, 0.0, 0.0)


def test_devices_that_do_not_match_are_refused(pair) -> None:
    paths = pair([(1, 2, 3, 4)], [(1, 2, 3, 4)])
    devices = pd.read_csv(paths[1] / "devices.csv")
    devices.assign(user=[1, 2, 3, 5]).to_csv(paths[1] / "devices.csv", index=False)
    with pytest.raises(RunFolderError, match="hold different test interactions"):
        device_gains(*models(paths))


def test_a_rank_beyond_the_candidates_is_refused(pair) -> None:
    with pytest.raises(RunFolderError, match=r"f0/devices\.csv: expected ranks from 1 to 100"):
        device_gains(*models(pair([(1, 2, 3, 4)], [(1, 2, 3, 101)])))


def test_without_a_common_seed_there_is_no_pair(pair) -> None:
    first, _, _, last = pair([(1, 2, 3, 4)] * 2, [(1, 2, 3, 4)] * 2)
    with pytest.raises(ConfigError, match=r"ECCT edge has seeds \[0\], FedAvg has \[1\]"):
        device_gains(*models([first, last]))


def test_without_ranks_there_is_no_pair(pair) -> None:
    paths = pair([(1, 2, 3, 4)], [(1, 2, 3, 4)])
    (paths[1] / "devices.csv").unlink()
    with pytest.raises(ConfigError, match=r"f0/devices\.csv is missing; copy it too"):
        device_gains(*models(paths))
