"""A run's models over the whole catalog, by group, and beside their start."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from ecct_tf.config import EvaluationConfig, RunConfig
from ecct_tf.data import Candidates, Dataset, FeatureSchema, evaluation_candidates, leave_one_out
from ecct_tf.data.temporal import temporal_split
from ecct_tf.simulation import catalog
from ecct_tf.simulation.catalog import catalog_plan, item_users, rank_catalog
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.group_quality import group_rows
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.results import measured_rows, rank_rows, start_line, start_places
from ecct_tf.simulation.simulate import simulate

NUM_ITEMS = 7


def _dataset(histories, times=None):
    rows = [(user, item) for user, items in enumerate(histories) for item in items]
    stamps = [time for user, items in enumerate(histories) for time in range(len(items))]
    return Dataset(
        name="plain",
        schema=FeatureSchema("plain", ()),
        user_tokens=tuple(map(str, range(len(histories)))),
        item_tokens=tuple(map(str, range(NUM_ITEMS))),
        users=np.array([user for user, _ in rows], np.int32),
        items=np.array([item for _, item in rows], np.int32),
        timestamps=np.array(stamps if times is None else times, np.int64),
    )


def _experiment(split, **evaluation):
    config = RunConfig(evaluation=EvaluationConfig(negatives=2, k=2, **evaluation))
    test = evaluation_candidates(split, part="test", negatives=2, seed=0)
    return SimpleNamespace(config=config, split=split, test=test, met_before=split.before)


class Fixed:
    """An algorithm whose scores are item numbers: 7 is best. Remembers what it was asked."""

    rounds = 2
    num_devices = 2

    def __init__(self):
        self.asked = []

    def initialize(self):
        return 1.0

    def scores(self, state, candidates):
        self.asked.append(candidates)
        return {
            "edge": state * candidates.items.astype(np.float32),
            "cloud": -candidates.items.astype(np.float32),
        }


# The last is tested, the one before it is for validation.
HISTORIES = ([7, 1, 2, 3], [1, 2, 7, 6], [5, 4, 3, 7, 5])


@pytest.fixture
def experiment():
    return _experiment(leave_one_out(_dataset(HISTORIES)))


def test_training_and_validation_items_are_left_out_and_the_test_item_never(experiment):
    found = rank_catalog(experiment, Fixed(), 1.0)
    # User 0 ranks 3 4 5 6; user 1 ranks 3 4 5 6; user 2 met its test item 5 before and ranks
    # 1 2 5 6.
    assert found["edge"].places.tolist() == [3, 0, 1]
    assert found["edge"].top.tolist() == [[6, 5], [6, 5], [6, 5]]
    assert found["cloud"].places.tolist() == [0, 3, 2]
    assert found["cloud"].top.tolist() == [[3, 4], [3, 4], [1, 2]]


def test_in_the_temporal_split_earlier_test_items_are_left_out_too_and_later_ones_not():
    dataset = _dataset([[1, 2, 3, 4, 5]], times=[0, 1, 2, 3, 4])
    split = temporal_split(dataset, validation_fraction=0.2, test_fraction=0.4)
    experiment = _experiment(split)
    assert experiment.test.items[:, 0].tolist() == [4, 5]
    found = rank_catalog(experiment, Fixed(), 1.0)["edge"]
    # With item 4 stand 5 6 7; with 5, when 4 is known, 6 and 7.
    assert found.places.tolist() == [3, 2]
    assert catalog.rank_catalog(experiment, Fixed(), 1.0)["cloud"].places.tolist() == [0, 0]


def test_one_call_stays_within_its_bound(experiment, monkeypatch):
    monkeypatch.setattr(catalog, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(catalog, "_FEWEST_AT_ONCE", 3)
    whole, algorithm = rank_catalog(experiment, Fixed(), 1.0)["edge"], Fixed()
    found = rank_catalog(experiment, algorithm, 1.0)["edge"]
    # Two rows, then one; blocks of three items beside the tested one: 1-3, 4-6, 7.
    assert [asked.items.shape for asked in algorithm.asked] == [(2, 4)] * 3 + [(1, 4)] * 3
    np.testing.assert_array_equal(found.places, whole.places)
    np.testing.assert_array_equal(found.top, whole.top)


def test_items_count_their_users_in_training_alone():
    # 5 comes twice in the training of user 2: as one user. Test and validation do not count.
    split = leave_one_out(_dataset((*HISTORIES[:2], [5, 5, 4, 3, 7])))
    assert item_users(split).tolist() == [0, 2, 1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("asked", "own", "references"),
    [
        ("none", False, False),
        ("own", True, False),
        ("all", True, True),
        ("auto", True, False),
    ],
)
def test_who_is_ranked_over_the_catalog(asked, own, references):
    experiment = _experiment(leave_one_out(_dataset(HISTORIES)), catalog=asked)
    plan = catalog_plan(experiment)
    assert (plan.own, plan.references, plan.note) == (own, references, "")


def test_by_itself_a_large_catalog_is_not_ranked_and_the_run_says_so(experiment, monkeypatch):
    pairs = len(experiment.test.users) * NUM_ITEMS
    monkeypatch.setattr(catalog, "_AUTO_PAIRS", pairs)
    assert catalog_plan(experiment).own
    monkeypatch.setattr(catalog, "_AUTO_PAIRS", pairs - 1)
    plan = catalog_plan(experiment)
    assert not plan.own
    assert "3 test interactions with 7 items" in plan.note
    assert "evaluation.catalog=own" in plan.note


def test_rows_of_a_run_have_catalog_groups_and_start(experiment):
    algorithm = Fixed()
    starts = start_places(experiment, algorithm)
    assert list(starts) == ["edge"]
    # Training turned the ranking around.
    edge, cloud = measured_rows(experiment, algorithm, -1.0, starts=starts, catalog=True)
    assert edge.start is not None
    assert cloud.start is None
    np.testing.assert_array_equal(edge.start_places, starts["edge"])
    assert "ECCT edge against its own start: NDCG@2" in start_line(edge)
    assert start_line(cloud) == ""
    filed = edge.as_dict()
    assert filed["catalog_hr"] == pytest.approx(1 / 3)
    assert filed["coverage"] == pytest.approx(4 / NUM_ITEMS)  # 3 4 and 1 2
    assert filed["start_better"] + filed["start_equal"] + filed["start_worse"] == 1
    assert (cloud.as_dict()["start_better"], list(cloud.as_dict())) == ("", list(filed))
    ranks = rank_rows(experiment, [edge, cloud])
    assert [row["catalog_rank"] for row in ranks[:3]] == [1, 4, 3]
    assert [row["start_rank"] for row in ranks[:3]] == (starts["edge"] + 1).tolist()
    assert {row["start_rank"] for row in ranks[3:]} == {""}


def test_without_either_the_ranks_have_no_further_columns(experiment):
    rows = measured_rows(experiment, Fixed(), 1.0, starts={}, catalog=False)
    assert list(rank_rows(experiment, rows)[0]) == ["model", "side", "user", "interactions", "rank"]
    assert rows[0].as_dict()["catalog_hr"] == ""


def test_what_has_no_rounds_or_no_devices_has_no_start(experiment):
    for without in ({"rounds": 0}, {"num_devices": 0}):
        algorithm = Fixed()
        vars(algorithm).update(without)
        assert start_places(experiment, algorithm) == {}
        assert not algorithm.asked


def test_quality_by_group_by_hand():
    # Training interactions: 2, 2 and 3.
    experiment = _experiment(leave_one_out(_dataset(HISTORIES)), cold_interactions=2)
    edge, _ = measured_rows(experiment, Fixed(), 1.0, starts={}, catalog=True)
    rows = group_rows(experiment, [edge])
    assert [(row["group"], row["fewest"], row["most"], row["users"]) for row in rows] == [
        ("activity", 2, 2, 2),
        ("activity", 3, 3, 1),
        ("cold", 2, 2, 2),
    ]
    # Places in the catalog: 3 and 0 of the first two, 1 of the third.
    assert [row["catalog_hr"] for row in rows] == [0.5, 1.0, 0.5]
    assert [row["catalog_mrr"] for row in rows] == [(1 / 4 + 1) / 2, 1 / 2, (1 / 4 + 1) / 2]


def test_a_group_of_nobody_is_there_without_figures():
    experiment = _experiment(leave_one_out(_dataset(HISTORIES)), cold_interactions=1)
    rows = measured_rows(experiment, Fixed(), 1.0, starts={}, catalog=False)
    last = group_rows(experiment, rows[:1])[-1]
    assert (last["group"], last["users"], last["tests"]) == ("cold", 0, 0)
    assert {last[name] for name in ("fewest", "hr", "ndcg", "mrr", "catalog_hr")} == {""}


def test_a_run_files_what_it_measured(small_config, tmp_path):
    result = simulate(small_config("method=popularity"), out=tmp_path / "run")
    (row,) = result.rows
    with (tmp_path / "run" / "results.csv").open() as file:
        (filed,) = csv.DictReader(file)
    assert float(filed["catalog_ndcg"]) == row.catalog.metrics.ndcg
    assert float(filed["novelty"]) == row.catalog.metrics.novelty
    assert filed["start_worse"] == ""
    with (tmp_path / "run" / "quality_by_group.csv").open() as file:
        groups = list(csv.DictReader(file))
    assert sum(int(each["users"]) for each in groups if each["group"] == "activity") == 24
    with (tmp_path / "run" / "devices.csv").open() as file:
        ranks = [int(each["catalog_rank"]) for each in csv.DictReader(file)]
    assert ranks == (row.catalog.places + 1).tolist()
    assert result.notes == ()


@pytest.mark.parametrize("split", ["leave_one_out", "temporal"])
def test_a_baseline_ranks_in_blocks_as_at_once(small_config, split):
    experiment = build_experiment(small_config("method=ease-recency", f"data.split={split}"))
    algorithm, test = build_algorithm(experiment), experiment.test
    everything = np.arange(1, experiment.split.num_items + 1, dtype=np.int32)
    items = np.concatenate([test.items[:, :1], np.tile(everything, (len(test.users), 1))], axis=1)
    scores = algorithm.scores(None, Candidates(test.users, test.positions, items))["everything"]
    found = rank_catalog(experiment, algorithm, None)["everything"]
    for row, (user, position) in enumerate(zip(test.users, test.positions, strict=True)):
        scores[row, [*experiment.split.before(int(user), int(position)), test.items[row, 0]]] = -9e9
    assert found.places.tolist() == (scores[:, 1:] >= scores[:, :1]).sum(axis=1).tolist()
