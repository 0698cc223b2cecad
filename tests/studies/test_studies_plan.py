"""Studies as values, by name, and the runs that they plan."""

import importlib.metadata

import pytest

from ecct_tf.config.study_names import study_names
from ecct_tf.errors import ConfigError
from ecct_tf.studies import Point, Study, find_study, parse_study_seeds, plan_study


def test_every_study_of_the_library_is_found_and_plans_runs(small) -> None:
    assert "ablation" in study_names()
    for name in study_names():
        study = find_study(name)
        assert study.name == name
        plan = plan_study(study, seeds=(0, 1), overrides=small)
        assert len(plan.points) == len(study.points)
        assert {config.seed for config in plan.runs.values()} == {0, 1}


def test_a_module_of_ones_own_has_a_study(tmp_path, monkeypatch) -> None:
    (tmp_path / "own_study_module.py").write_text(
        "from ecct_tf.studies import Point, Study\n"
        "def batches():\n"
        "    return Study(name='batches', question='?', axis='size', methods=('ecct',),\n"
        "                 points=(Point('8', ('training.batch_size=8',)),))\n"
        "def number():\n    return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert find_study("own_study_module:batches").name == "batches"
    with pytest.raises(ConfigError, match=r"to return an ecct_tf\.studies\.Study, got int"):
        find_study("own_study_module:number")
    with pytest.raises(ConfigError, match="did you mean own_study_module:batches"):
        find_study("own_study_module:batchs")


def test_a_package_registers_a_study(monkeypatch) -> None:
    point = importlib.metadata.EntryPoint(
        "mine", "ecct_tf.studies.ablation:ablation", "ecct_tf.studies"
    )
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: (point,) if "studies" in group else ()
    )
    assert find_study("mine").name == "ablation"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ablatoin", "a study out of .*ablation, .*did you mean ablation"),
        ("no module", "NAME: expected a name such as"),
    ],
)
def test_a_name_that_nothing_has_is_refused(name, words) -> None:
    with pytest.raises(ConfigError, match=words):
        find_study(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": ()}, "at least one point"),
        ({"points": (Point("a b"), Point("a-b"))}, "labels that differ"),
        ({"reference": "none"}, "reference: expected one of its points, a"),
        ({"methods": ()}, "a method at each point"),
        ({"name": "Two words"}, "lower-case"),
    ],
)
def test_a_study_checks_itself(change, words) -> None:
    whole = {"name": "s", "question": "?", "axis": "a", "points": (Point("a"),), "methods": ("x",)}
    with pytest.raises(ConfigError, match=words):
        Study(**{**whole, **change})


@pytest.mark.parametrize(
    ("label", "overrides", "words"),
    [("a,b", (), "without commas"), ("a", ("seed",), r"section\.key=value, got 'seed'")],
)
def test_a_point_checks_itself(label, overrides, words) -> None:
    with pytest.raises(ConfigError, match=words):
        Point(label, overrides)


def test_settings_come_from_the_study_then_the_command_then_the_point(recency, small) -> None:
    plan = plan_study(recency, seeds=(3, 4), overrides=[*small, "evaluation.k=3"])
    # All points of the first seed come first.
    assert list(plan.runs) == [
        f"{point}-seed{seed}"
        for seed in (3, 4)
        for point in (
            *("0.2/popularity", "0.2/ease-recency", "0.5/popularity", "0.5/ease-recency"),
            "cut/popularity",
        )
    ]
    config = plan.runs["0.5/ease-recency-seed4"]
    assert (config.seed, config.method) == (4, "ease-recency")
    assert (config.evaluation.k, config.data.recent_fraction) == (3, 0.5)
    assert plan_study(recency, seeds=(0,)).runs["0.2/popularity-seed0"].evaluation.k == 5


def test_a_point_is_named_by_its_folder_too(small) -> None:
    study = find_study("asynchrony")
    labels = ["up-to-20-rounds-late", "a tenth"]
    plan = plan_study(study, seeds=(0,), overrides=small, labels=labels)
    assert [point.label for point in plan.points] == ["a tenth", "up to 20 rounds late"]


def test_points_and_methods_can_be_cut(recency, small) -> None:
    plan = plan_study(
        recency, seeds=(0,), overrides=small, labels=["cut", " 0.2"], methods=["ease"]
    )
    assert list(plan.runs) == ["0.2/ease-seed0", "cut/popularity-seed0"]
    with pytest.raises(ConfigError, match=r"some of 0\.2, 0\.5, cut, got 'cutt'.*did you mean cut"):
        plan_study(recency, seeds=(0,), labels=["cutt"])


@pytest.mark.parametrize("override", ["data.recent_fraction=0.3", "data={keep_last: 8}"])
def test_a_setting_that_the_axis_decides_is_refused(recency, override) -> None:
    with pytest.raises(ConfigError, match=r"varies data\.\w+ along its axis"):
        plan_study(recency, seeds=(0,), overrides=[override])


@pytest.mark.parametrize("text", ["0", "", "a", "1,1", "-1", "1.5"])
def test_seeds_that_are_none_are_refused(text) -> None:
    with pytest.raises(ConfigError, match="--seeds: expected"):
        parse_study_seeds(text)
