"""Models over their seeds: means, spreads, bytes, and what may not be compared."""

import math

import numpy as np
import pytest

from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.reporting import compare_runs, read_run, read_runs


def model(comparison, name: str):
    (found,) = [model for model in comparison.models if model.name == name]
    return found


def test_seeds_are_averaged_with_the_sample_standard_deviation(make_run, result) -> None:
    paths = [
        make_run(
            f"run{seed}", seed=seed, seconds=10.0 + seed, results=[result("ECCT edge", "edge", hr)]
        )
        for seed, hr in ((2, 0.9), (0, 0.5), (1, 0.7))
    ]
    (edge,) = compare_runs(read_runs(paths)).models
    assert edge.seeds == (0, 1, 2)
    assert edge.quality["hr"].values == (0.5, 0.7, 0.9)
    assert edge.quality["hr"].mean == pytest.approx(0.7)
    # Squared distances 0.04, 0, 0.04 over n - 1 = 2.
    assert edge.quality["hr"].deviation == pytest.approx(0.2)
    assert edge.seconds.mean == pytest.approx(11.0)


def test_one_seed_has_no_spread_and_a_missing_figure_no_mean(make_run, result) -> None:
    path = make_run(method="ease", results=[
        result("EASE", "everything", 0.6, method="ease", auc="", log_loss=""),
    ], metrics=())  # fmt: skip
    (ease,) = compare_runs([read_run(path)]).models
    assert ease.quality["hr"].deviation is None
    assert ease.quality["auc"] is None
    assert ease.traffic is None


def test_models_are_grouped_by_kind_then_by_falling_quality(campaign) -> None:
    comparison = compare_runs(read_runs(campaign))
    assert [found.name for found in comparison.models] == [
        "ECCT edge",
        "ECCT cloud",
        "down only edge",
        "no exchange edge",
        "down only cloud",
        "FedAvg",
        "cloud only",
        "popularity",
    ]
    # Rows for reference belong to no run of their own.
    assert model(comparison, "popularity").runs == ()
    assert model(comparison, "popularity").seeds == (0, 1)
    assert model(comparison, "ECCT edge").quality["hr"].mean == pytest.approx(0.76)
    assert comparison.notes == ()


def test_a_run_of_its_own_replaces_rows_for_reference(make_run, result, campaign) -> None:
    own = make_run("pop", method="popularity", metrics=(), results=[
        result("popularity", "everything", 0.41, method="popularity"),
    ])  # fmt: skip
    comparison = compare_runs(read_runs([*campaign, own]))
    assert model(comparison, "popularity").quality["hr"].values == (0.41,)
    (note,) = comparison.notes
    assert "Most models have seeds 0, 1; not so popularity (0)" in note


def test_bytes_are_per_device_and_round_and_the_item_table_once(make_run, course) -> None:
    # Five devices, of which two take part in a round.
    metrics = course(
        0.5, 0.6, 0.7, devices=2,
        downlink_bytes=20, uplink_bytes=60, weights_bytes=200, item_table_bytes=1000,
    )  # fmt: skip
    settings = {"data.nodes": 5, "rounds": 3}
    traffic = (
        compare_runs([read_run(make_run(metrics=metrics, settings=settings))]).models[0].traffic
    )
    assert traffic.parts == {"downlink": 10.0, "uplink": 30.0, "weights": 100.0}
    assert traffic.per_round.mean == 140.0
    assert traffic.knowledge == 40.0
    assert traffic.item_table == 1000 / 5
    assert traffic.total.mean == (3 * 280 + 1000) / 5
    assert traffic.rounds == 3


def test_one_name_with_two_settings_is_two_models(make_run) -> None:
    paths = [
        make_run("a"),
        make_run("b", seed=1),
        make_run("c", settings={"exchange.codec": "float32", "runtime.threads": 2}),
    ]
    names = {(found.name, found.seeds) for found in compare_runs(read_runs(paths)).models}
    assert names == {
        ("ECCT edge (exchange.codec=int8)", (0, 1)),
        ("ECCT cloud (exchange.codec=int8)", (0, 1)),
        ("ECCT edge (exchange.codec=float32)", (0,)),
        ("ECCT cloud (exchange.codec=float32)", (0,)),
    }
    paths = [make_run("d"), make_run("e", settings={"data.nodes": 2})]
    names = {found.name for found in compare_runs(read_runs(paths)).models}
    assert {f"ECCT edge (data.nodes={nodes})" for nodes in ("null", "2")} < names


def test_the_same_run_twice_is_refused(make_run) -> None:
    paths = [make_run("a"), make_run("b", settings={"runtime.threads": 2, "baselines": False})]
    with pytest.raises(ConfigError, match=r"a and .*b are the same run \(ECCT edge, seed 0"):
        compare_runs(read_runs(paths))


@pytest.mark.parametrize(
    ("key", "ours", "theirs"),
    [
        ("data.dataset", "movielens-100k", "synthetic"),
        ("data.split", "leave_one_out", "temporal"),
        ("data.keep_first", "null", 8),
        ("data.keep_last", "null", 8),
        ("evaluation.negatives", 99, 49),
        ("evaluation.k", 10, 5),
    ],
)
def test_other_data_is_refused(make_run, key: str, ours: object, theirs: object) -> None:
    paths = [make_run("a"), make_run("b", seed=1, settings={key: theirs})]
    with pytest.raises(ConfigError, match=f"{key} is {ours} in .*a and {theirs} in .*b"):
        compare_runs(read_runs(paths))


def test_other_synthetic_data_is_refused(make_run) -> None:
    paths = [
        make_run(
            str(users),
            seed=users,
            settings={"data.dataset": "synthetic", "data.synthetic_users": users},
        )
        for users in (64, 128)
    ]
    with pytest.raises(ConfigError, match=r"data\.synthetic_users is 64 in .* and 128"):
        compare_runs(read_runs(paths))


def test_other_candidates_at_the_same_seed_are_refused(make_run) -> None:
    paths = [make_run("a"), make_run("b", settings={"exchange.codec": "float32"})]
    items = np.ones((4, 100))
    np.savez(paths[1] / "candidates_test.npz", users=np.arange(1, 5), items=items)
    with pytest.raises(ConfigError, match="hold different candidates though both runs have seed 0"):
        compare_runs(read_runs(paths))
    (paths[1] / "candidates_test.npz").write_bytes(b"PK\x03\x04 rubbish")
    with pytest.raises(RunFolderError, match=r"b/candidates_test\.npz is damaged"):
        compare_runs(read_runs(paths))
    (paths[1] / "candidates_test.npz").unlink()
    assert len(compare_runs(read_runs(paths)).runs) == 2


def test_incomplete_runs_are_left_out_and_told(make_run) -> None:
    paths = [make_run("a"), make_run("b", seed=1, status="interrupted")]
    comparison = compare_runs(read_runs(paths))
    ((run, reason),) = comparison.left_out
    assert run.path == paths[1]
    assert reason == f"interrupted after 2 rounds; `ecct resume {paths[1]}` resumes it"
    assert comparison.models[0].seeds == (0,)


def test_without_a_complete_run_there_is_nothing_to_compare(make_run) -> None:
    path = make_run(status="running")
    with pytest.raises(RunFolderError, match=f"at least one complete run.*ecct resume {path}"):
        compare_runs([read_run(path)])


def test_the_name_without_a_side_joins_the_two_sides(campaign) -> None:
    comparison = compare_runs(read_runs(campaign))
    names = [found.name_without_side for found in comparison.models]
    assert names[:3] == ["ECCT", "ECCT", "down only"]
    assert model(comparison, "cloud only").name_without_side == "cloud only"
    assert all(math.isfinite(found.quality["hr"].mean) for found in comparison.models)
