"""Grades and weights of interactions: from a private column, by a public table."""

import numpy as np
import pytest

from ecct_tf.config import FeatureConfig, GradeConfig, SampleConfig, TargetConfig, WeightConfig
from ecct_tf.data import cloud_view, device_view, from_frames, leave_one_out
from ecct_tf.data.context import context_codes, with_context
from ecct_tf.data.outcomes import (
    outcome_columns,
    outcome_weights,
    sample_labels,
    target_labels,
)
from ecct_tf.errors import ConfigError, DataError

STARS = GradeConfig("stars", {"5": 1.0, "4": 0.75, "1": 0.0}, unknown=0.5, negatives=0.25)
DWELL = WeightConfig("dwell", {"short": 0.25, "long": 1.0}, unknown=0.5)
SAMPLES = SampleConfig(negatives=2, grade=STARS, weight=DWELL)


@pytest.fixture(scope="module")
def data():
    count = 6
    clicks = {
        "user": ["ann"] * count,
        "item": [f"i{place}" for place in range(count)],
        "timestamp": list(range(count)),
        "place": ["home", "work"] * 3,
        "stars": ["5", "1", "4", None, "2", "5"],
        "dwell": ["long", "short", None, "long", "short", "long"],
    }
    columns = {name: {"kind": "categorical"} for name in ("place", "stars", "dwell")}
    return from_frames(clicks, schema={"name": "shop", "interactions": {"columns": columns}})


def test_a_table_of_values_says_grade_and_weight():
    assert outcome_columns(SAMPLES) == {"stars": ("1", "4", "5"), "dwell": ("long", "short")}
    # A column of context before them, then the stars, then the time spent.
    codes = np.array([[9, 3, 1], [9, 1, 2], [9, 0, 0]], np.int32)
    assert sample_labels(codes, SAMPLES).tolist() == [
        [1.0, 0.25, 0.25],
        [0.0, 0.25, 0.25],
        [0.5, 0.25, 0.25],
    ]
    assert outcome_weights(codes, SAMPLES).tolist() == [1.0, 0.25, 0.5]


def test_views_without_codes_are_refused():
    for function in (sample_labels, outcome_weights):
        with pytest.raises(DataError, match=r"expected codes of stars, dwell of each .* 1 columns"):
            function(np.zeros((2, 1), np.int32), SAMPLES)


def test_without_them_labels_are_as_before():
    codes = np.zeros((2, 0), np.int32)
    labels = sample_labels(codes, SampleConfig(negatives=2))
    assert (labels.dtype, labels.tolist()) == (np.uint8, [[1, 0, 0], [1, 0, 0]])
    assert outcome_weights(codes, SampleConfig()).tolist() == [1.0, 1.0]


def test_the_device_has_their_codes_behind_those_of_the_context_and_the_cloud_none(data):
    features = FeatureConfig(context={"place": ("home",)})
    split = with_context(leave_one_out(data), data, features, SAMPLES)
    view = device_view(data, split, 0)
    # Home, stars out of 1, 4 and 5, then long and short; two interactions are held out.
    assert view.context.tolist() == [[1, 3, 1], [0, 1, 2], [1, 2, 0], [0, 0, 1]]
    assert sample_labels(view.context, SAMPLES)[:, 0].tolist() == [1.0, 0.0, 0.75, 0.5]
    assert context_codes(view.context, rows=4, features=features).tolist() == [[1], [0], [1], [0]]
    cloud = cloud_view(data, split)
    assert not {"stars", "dwell"} & {*cloud.users.names, *cloud.items.names}
    assert set(vars(cloud.older)) == {"items", "offsets", "timestamps"}


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (
            SampleConfig(grade=GradeConfig("rank", {"1": 1.0})),
            r"samples\.grade\.column: data set .shop. has no column .rank.",
        ),
        (
            SampleConfig(weight=WeightConfig("t", {"1": 1.0})),
            r"samples\.weight\.column: data set .shop. has no column .t.",
        ),
    ],
)
def test_a_column_that_the_data_lack_is_named(data, samples, told):
    with pytest.raises(DataError, match=told):
        with_context(leave_one_out(data), data, FeatureConfig(), samples)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: GradeConfig("stars"), r"samples\.grade\.values: missing"),
        (lambda: WeightConfig(values={"a": 1.0}), r"samples\.weight\.column: missing"),
        (lambda: GradeConfig("s", {"5": 5.0}), r"samples\.grade\.values\.5: .* in 0\.\.1.*got 5"),
        (lambda: GradeConfig("s", {"5": 1.0}, negatives=-1.0), r"samples\.grade\.negatives: "),
        (lambda: WeightConfig("s", {"5": 1.0}, unknown=2.0), r"samples\.weight\.unknown: "),
        (
            lambda: SampleConfig(
                grade=GradeConfig("s", {"5": 1.0}), weight=WeightConfig("s", {"5": 1.0})
            ),
            r"expected another column than samples\.grade\.column",
        ),
    ],
)
def test_tables_that_mean_nothing_are_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


LIKE = TargetConfig("stars", {"5": 1.0, "4": 1.0, "2": 0.0, "1": 0.0})
READ = TargetConfig("dwell", {"long": 1.0, "short": 0.25}, negatives=0.0)


def test_further_targets_have_labels_of_their_own_beside_the_first():
    both = SampleConfig(negatives=2, grade=STARS, targets={"read": READ, "like": LIKE})
    # The grade's column and a target's are one, with the values of both.
    assert outcome_columns(both) == {"stars": ("1", "2", "4", "5"), "dwell": ("long", "short")}
    codes = np.array([[9, 4, 2], [9, 2, 0], [9, 0, 1]], np.int32)
    # By name: like, then read. Nobody asked whether a negative is liked.
    assert target_labels(codes, both)[:, :, 0].tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1]]
    # A position without a label says nothing of its negatives either.
    assert target_labels(codes, both)[:, :, 1].tolist() == [[0.25, 0, 0], [-1, -1, -1], [1, 0, 0]]
    # The grade of 2 is not in its table: unknown.
    assert sample_labels(codes, both)[:, 0].tolist() == [1.0, 0.5, 0.5]
    assert target_labels(codes, SAMPLES).shape == (3, 3, 0)


def test_the_setting_of_a_missing_column_is_named(data):
    samples = SampleConfig(targets={"like": TargetConfig("thumbs", {"up": 1.0})})
    with pytest.raises(DataError, match=r"samples\.targets\.like\.column: data set 'shop' has no"):
        with_context(leave_one_out(data), data, FeatureConfig(), samples)
