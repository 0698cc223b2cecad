"""Private columns of interactions: read, coded by public values, and kept from the cloud."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import FeatureConfig
from ecct_tf.data import (
    Column,
    FeatureSchema,
    Kind,
    Side,
    cloud_view,
    device_view,
    from_frames,
    leave_one_out,
    load_files,
)
from ecct_tf.data.clock import clock_reading, clock_readings, request_readings
from ecct_tf.data.context import with_context
from ecct_tf.data.short_histories import shortened
from ecct_tf.errors import ConfigError, DataError

# Of the words in the data `tablet` is none that a model knows.
FEATURES = FeatureConfig(
    history_length=2, last_items=1, clock=False, context={"network": ("wifi", "mobile")}
)
WORDS = ["mobile", "wifi", None, "tablet", "wifi", "mobile"]
CODES = [2, 1, 0, 0, 1, 2]


def _data(words=WORDS):
    # In the file's order: the newest first.
    clicks = {
        "user": ["ann"] * len(words),
        "item": [f"i{place}" for place in range(len(words))],
        "timestamp": list(range(len(words), 0, -1)),
        "network": words,
    }
    return from_frames(
        clicks, schema={"interactions": {"columns": {"network": {"kind": "categorical"}}}}
    )


def test_codes_are_those_of_the_public_values_in_time_order():
    data = _data()
    split = with_context(leave_one_out(data), data, FEATURES)
    assert split.context.ravel().tolist() == CODES[::-1]
    assert split.train_context(0).ravel().tolist() == CODES[::-1][:4]
    assert split.context_of(0, 5).tolist() == [2]
    view = device_view(data, split, 0)
    assert view.context.ravel().tolist() == CODES[::-1][:4]
    assert with_context(leave_one_out(data), data, FeatureConfig()).context.shape == (6, 0)


def test_a_column_that_the_data_lack_is_named():
    unknown = dataclasses.replace(FEATURES, context={"place": ("home",)})
    with pytest.raises(DataError, match=r"features\.context\.place: .* it has \['network'\]"):
        with_context(leave_one_out(_data()), _data(), unknown)


def test_readings_end_with_the_codes_of_their_moment():
    data = _data()
    split = with_context(leave_one_out(data), data, FEATURES)
    view = device_view(data, split, 0)
    readings = clock_readings(view.times, np.array([1, 3]), config=FEATURES, context=view.context)
    assert readings.tolist() == [[1.0], [0.0]]
    timed = dataclasses.replace(FEATURES, clock=True)
    reading = clock_reading(view.times, now=5, config=timed, context=[2])
    assert reading.shape == (timed.clock_width,) == (6 + 2 + 1,)
    assert reading[-1] == 2
    assert not reading[:-1].any()
    assert clock_reading(view.times, now=5, config=timed)[-1] == 0
    asked = request_readings(split, np.array([0, 0]), np.array([4, 5]), config=FEATURES)
    assert asked.tolist() == [[1.0], [2.0]]
    with pytest.raises(DataError, match="that has gone through"):
        clock_readings(view.times, np.array([1]), config=FEATURES, context=view.context[:, :0])
    later = request_readings(split, np.array([0]), np.array([6]), config=FEATURES)
    assert later.tolist() == [[0.0]]


def test_the_cloud_sees_none_of_it():
    """Whatever the context was, its view is the same to the last bit."""
    views = []
    for words in (WORDS, ["wifi"] * 6):
        data = _data(words)
        views.append(cloud_view(data, with_context(leave_one_out(data), data, FEATURES)))
    one, other = (
        [
            *vars(view.older).values(),
            *(c.values for c in (*view.items.columns, *view.users.columns)),
        ]
        for view in views
    )
    assert len(one) == len(other) == 3
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
    assert not views[0].items.names
    assert not views[0].users.names


def test_files_have_columns_of_interactions(tmp_path):
    (tmp_path / "clicks.csv").write_text(
        "user,item,timestamp,net\nann,tea,3,wifi\nann,cup,5,\nbob,cup,6,mobile\n"
    )
    schema = tmp_path / "schema.yaml"
    text = "name: shop\ninteractions:\n  path: clicks.csv\n  columns:\n    network: "
    schema.write_text(text + "{kind: categorical, header: net}\n")
    data, report = load_files(schema)
    (column,) = data.interaction_columns
    assert column.vocabulary == ("mobile", "wifi")
    assert column.values.tolist() == [2, 0, 1]
    assert column.column == Column("network", "interaction", Side.FEDERATED, Kind.CATEGORICAL)
    assert [(each.table, each.missing) for each in report.columns] == [("interaction", 1)]
    short, _ = shortened(data, keep_first=1)
    assert short.interaction_columns[0].values.tolist() == [2, 1]
    assert short.fingerprint() != data.fingerprint()
    for wrong, said in (
        ("{kind: categorical, side: centralized}", "expected a categorical federated column"),
        ("{kind: numeric}", "expected a categorical federated column"),
        ("{kind: categorical, header: none}", "none"),
    ):
        schema.write_text(text + wrong + "\n")
        with pytest.raises((ConfigError, DataError), match=said):
            load_files(schema)


def test_schemas_keep_them():
    schema = FeatureSchema("shop", (Column("network", "interaction", "federated", "categorical"),))
    assert _data().schema.columns == schema.columns
    with pytest.raises(ConfigError, match="expected side federated and kind categorical"):
        Column("network", "interaction", "centralized", "categorical")
