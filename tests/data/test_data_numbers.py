"""Private numbers: scaled by a public rule, held as whole steps, unknown where they are missing."""

import math

import numpy as np
import pandas as pd
import pytest

from ecct_tf.data import Column, FeatureSchema, Kind, Side, from_frames
from ecct_tf.data.encoding import encode_column
from ecct_tf.data.numbers import NUMBER_ROWS, STEPS, Scaling, number_code, number_values
from ecct_tf.data.profile import ProfileShape, device_profile, private_numbers, profile_shape
from ecct_tf.data.views import DeviceView
from ecct_tf.errors import ConfigError, DataError

AGE = Column("age", "user", Side.FEDERATED, Kind.NUMERIC, Scaling(min=20, max=60))
PAY = Column("pay", "user", Side.FEDERATED, Kind.NUMERIC)


@pytest.mark.parametrize(
    ("scaling", "number", "value"),
    [
        (Scaling(min=20, max=60), 20.0, -1.0),
        (Scaling(min=20, max=60), 60.0, 1.0),
        (Scaling(min=20, max=60), 80.0, 2.0),
        (Scaling(min=20, max=60), 1e9, 8.0),
        (Scaling(mean=3, scale=0.5), 2.0, -2.0),
        (Scaling(log=True), math.e - 1, 0.25),
        (Scaling(log=True), 1 - math.e, -0.25),
        (Scaling(log=True, mean=1, scale=2), math.e - 1, 0.0),
        (Scaling(log=True, min=0, max=math.e - 1), math.e - 1, 1.0),
    ],
)
def test_a_number_is_scaled_by_its_rule_alone(scaling, number, value):
    code = number_code(number, scaling)
    assert code == 1 + round((value + 8) * STEPS)
    assert number_values(np.array([code], np.int32))[0] == pytest.approx(value, abs=1 / STEPS)


def test_codes_fill_their_range_and_zero_is_unknown():
    rule = Scaling(mean=0, scale=1)
    assert [number_code(x, rule) for x in (-9.0, 9.0, math.nan)] == [1, NUMBER_ROWS - 1, 0]
    # Halves go up, as in Kotlin's floor, whatever the sign.
    assert number_code(0.5 / STEPS, rule) - number_code(0.0, rule) == 1
    assert number_code(-0.5 / STEPS, rule) == number_code(0.0, rule)
    with pytest.raises(DataError, match="finite"):
        number_code(math.inf, rule)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "expected min and max, mean and scale, or log"),
        ({"min": 1}, "scaling.max: missing"),
        ({"scale": 1}, "scaling.mean: missing"),
        ({"min": 1, "max": 1}, "above min"),
        ({"mean": 0, "scale": 0}, "above 0"),
        ({"min": 0, "max": 1, "mean": 0, "scale": 1}, "got both"),
        ({"mean": 0, "scale": math.inf}, "finite"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(given, told):
    with pytest.raises(ConfigError, match=told):
        Scaling(**given)


@pytest.mark.parametrize("kind", [Kind.CATEGORICAL, Kind.NUMERIC])
def test_only_private_numbers_have_a_rule(kind):
    side = Side.FEDERATED if kind is Kind.CATEGORICAL else Side.CENTRALIZED
    with pytest.raises(ConfigError, match="scaling has a meaning for a numeric column"):
        Column("x", "user", side, kind, Scaling(log=True))


def test_a_schema_file_keeps_rules(tmp_path):
    schema = FeatureSchema("s", (AGE, PAY))
    (tmp_path / "s.yaml").write_text(schema.to_yaml())
    assert FeatureSchema.from_yaml(tmp_path / "s.yaml") == schema
    (tmp_path / "s.yaml").write_text(schema.to_yaml().replace("max: 60", "most: 60"))
    with pytest.raises(ConfigError, match=r"unknown key scaling\.most"):
        FeatureSchema.from_yaml(tmp_path / "s.yaml")


def test_no_statistic_of_others_decides_a_private_number():
    alone = encode_column(AGE, [30.0], padding=False).values[0]
    among = encode_column(AGE, [30.0, 90.0, None, "41"], padding=False)
    assert among.values.tolist() == [
        alone,
        *(number_code(x, AGE.scaling) for x in (90, math.nan, 41)),
    ]
    assert (among.values[2], among.missing, among.values.dtype) == (0, 1, np.int32)


def shop(**users):
    size = len(next(iter(users.values())))
    clicks = pd.DataFrame({"user": range(size), "item": range(size), "timestamp": range(size)})
    return {"interactions": clicks, "users": pd.DataFrame({"user": range(size), **users})}


def test_numbers_of_users_in_memory_are_private_numbers_unless_they_are_few():
    data = from_frames(**shop(pay=np.arange(150) * 100.0, kids=[0, 1, 2] * 50))
    assert [(c.column.name, c.column.kind) for c in data.user_columns] == [
        ("pay", Kind.NUMERIC),
        ("kids", Kind.CATEGORICAL),
    ]
    assert data.user_columns[0].values[1] == number_code(100.0, Scaling(log=True))
    assert private_numbers(data.user_columns) == {"pay": Scaling(log=True)}


def test_a_profile_is_a_row_of_categories_and_then_numbers():
    schema = {
        "users": {
            "columns": {
                "age": {"kind": "numeric", "scaling": {"min": 20, "max": 60}},
                "town": {"kind": "categorical"},
                "tall": {"kind": "numeric", "borders": [180]},
                "plan": {"kind": "numeric", "side": "centralized"},
            }
        }
    }
    frames = shop(age=[40, None], town=["b", "a"], tall=[190, 170], plan=[1.5, 2.5])
    data = from_frames(**frames, schema=schema)
    shape = profile_shape(data.user_columns)
    assert (shape.sizes, shape.numbers) == ((3, 3), 1)
    assert shape.rows == (3, 3, NUMBER_ROWS)

    def profile(user, **options):
        from ecct_tf.data import FederatedTable

        own = tuple(
            c.take(user, user + 1) for c in data.user_columns if c.column.side is Side.FEDERATED
        )
        none = np.zeros(0, np.int32)
        view = DeviceView(user, none, 0, FederatedTable(data.schema, own), none.astype(np.int64))
        return device_profile(view, **options).tolist()

    assert profile(0) == [2, 1, 1 + 8 * STEPS]
    assert profile(1) == [1, 2, 0]
    assert profile(0, shape=ProfileShape((3, 3))) == [2, 1]


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "numeric", "borders": [1], "scaling": {"log": True}},
        {"kind": "numeric", "side": "centralized", "scaling": {"log": True}},
        {"kind": "categorical", "scaling": {"log": True}},
    ],
)
def test_a_schema_of_files_refuses_a_rule_that_nothing_reads(spec):
    with pytest.raises(ConfigError, match=r"users\.columns\.age\.scaling: has"):
        from_frames(**shop(age=[1, 2]), schema={"users": {"columns": {"age": spec}}})
