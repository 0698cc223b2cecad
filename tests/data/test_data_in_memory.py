"""Tables of a program as a data set: read as files are, and told apart where no schema says."""

import datetime
import decimal
import re

import pandas as pd
import pyarrow as pa
import pytest

from ecct_tf.data import (
    Column,
    FeatureSchema,
    Kind,
    Side,
    build_dataset,
    from_frames,
    load_files,
)
from ecct_tf.errors import ConfigError, DataError

CLICKS = {
    "customer_id": ["ann", "bob", "ann", "bob"],
    "SKU": [7, 7, 9, 8],
    "stars": [5, 4, 1, 3],
    "when": [30, 10, 20, 40],
}
USERS = {"customer_id": ["ann", "bob"], "town": ["Rome", None], "plan": [1, 2]}
GOODS = {
    "sku": [7, 8, 9],
    "name": ["Tea", "Cup", None],
    "price": [2.5, None, 4.0],
    "tags": [["hot", "green"], [], ["hot"]],
    "shelf": ["a", "b", "a"],
}
SCHEMA = {
    "name": "shop",
    "interactions": {"rating": "stars", "min_rating": 3},
    "users": {"columns": {"town": {"kind": "categorical", "side": "centralized"}}},
    "items": {"columns": {"price": {"kind": "numeric", "borders": [3]}}, "title": "name"},
}


def _same(one, other):
    assert one.fingerprint() == other.fingerprint()
    assert (one.name, one.item_titles) == (other.name, other.item_titles)


@pytest.mark.parametrize("form", [pd.DataFrame, pa.table, dict])
def test_pandas_arrow_and_dictionaries_are_one(form):
    found = from_frames(form(CLICKS), users=form(USERS), items=form(GOODS))
    assert (found.name, found.user_tokens, found.item_tokens) == (
        "data",
        ("ann", "bob"),
        ("7", "8", "9"),
    )
    # In time order, as files are read.
    assert found.timestamps.tolist() == [10, 20, 30, 40]
    assert found.item_titles == ("Tea", "Cup", "")
    kinds = {each.column.name: each.column.kind for each in found.item_columns}
    assert kinds == {
        "price": Kind.NUMERIC,
        "tags": Kind.MULTI_CATEGORICAL,
        "shelf": Kind.CATEGORICAL,
    }
    town, plan = found.user_columns
    assert {town.column.side, plan.column.side} == {Side.FEDERATED}
    assert (town.vocabulary, town.missing, plan.vocabulary) == (("Rome",), 1, ("1", "2"))


def test_a_schema_means_what_it_means_for_files(tmp_path):
    pd.DataFrame(CLICKS).to_csv(tmp_path / "clicks.csv", index=False)
    pd.DataFrame(USERS).to_csv(tmp_path / "users.csv", index=False)
    pd.DataFrame(GOODS).to_csv(tmp_path / "goods.csv", index=False)
    (tmp_path / "schema.yaml").write_text(
        """
name: shop
interactions: {path: clicks.csv, user: customer_id, item: SKU, timestamp: when, rating: stars,
  min_rating: 3}
users: {path: users.csv, id: customer_id, columns: {town: {kind: categorical, side: centralized}}}
items: {path: goods.csv, id: sku, title: name, columns: {price: {kind: numeric, borders: [3]}}}
""",
        encoding="utf-8",
    )
    tables = {"users": pd.DataFrame(USERS), "items": pd.DataFrame(GOODS)}
    expected, _ = load_files(tmp_path / "schema.yaml")
    assert expected.num_interactions == 3
    _same(from_frames(pd.DataFrame(CLICKS), **tables, schema=SCHEMA), expected)
    _same(from_frames(CLICKS, **tables, schema=tmp_path / "schema.yaml"), expected)
    other = from_frames(CLICKS, **tables, schema=SCHEMA, name="other")
    assert (other.name, other.fingerprint()) == ("other", expected.fingerprint())


def test_a_schema_of_feature_columns_is_one_too(tmp_path):
    schema = FeatureSchema("shop", (Column("shelf", "item", Side.CENTRALIZED, Kind.CATEGORICAL),))
    frame = pd.DataFrame(CLICKS).rename(
        columns={"customer_id": "user", "SKU": "item", "when": "timestamp"}
    )
    goods = pd.DataFrame(GOODS).rename(columns={"sku": "item"})
    expected = build_dataset(
        name="shop", schema=schema, interactions=frame.sort_values("timestamp"), items=goods
    )
    assert from_frames(frame, items=goods, schema=schema).fingerprint() == expected.fingerprint()
    (tmp_path / "features.yaml").write_text(schema.to_yaml(), encoding="utf-8")
    found = from_frames(frame, items=goods, schema=tmp_path / "features.yaml")
    assert found.fingerprint() == expected.fingerprint()


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([1_600_000_000, 1_600_000_060], [1_600_000_000, 1_600_000_060]),
        ([1_600_000_000_500, 1_600_000_060_500], [1_600_000_000, 1_600_000_060]),
        (["2020-09-13T12:26:40", "2020-09-13T12:27:40+00:00"], [1_600_000_000, 1_600_000_060]),
        (pd.to_datetime([1_600_000_000, 1_600_000_060], unit="s"), [1_600_000_000, 1_600_000_060]),
        ([datetime.date(1970, 1, 2), datetime.date(1970, 1, 3)], [86_400, 172_800]),
        (["30", "40"], [30, 40]),
        (["1600000000500", "1600000060500"], [1_600_000_000, 1_600_000_060]),
        ([1_600_000_000_500_000, 1_600_000_060_000_000], [1_600_000_000, 1_600_000_060]),
        ([1_600_000_000 * 10**9, 1_600_000_060 * 10**9 + 999], [1_600_000_000, 1_600_000_060]),
    ],
)
def test_the_unit_of_times_is_told(times, seconds):
    frame = pd.DataFrame({"user": ["a", "a"], "item": ["x", "y"], "timestamp": times})
    assert from_frames(frame).timestamps.tolist() == seconds


def test_a_unit_that_was_given_decides_over_a_number():
    frame = {"user": ["a"], "item": ["x"], "timestamp": [200_000_000_000]}
    schema = {"interactions": {"timestamp_unit": "s"}}
    assert from_frames(frame, schema=schema).timestamps.tolist() == [200_000_000_000]


def test_what_becomes_no_feature_is_named(caplog):
    users = {"user": [f"u{n}" for n in range(101)], "mail": [f"m{n}" for n in range(101)]}
    users["seen"] = [[f"x{n}"] for n in range(101)]
    users["taste"] = [[0.5, n / 7] for n in range(101)]
    frame = {"user": ["u1"], "item": ["x"], "timestamp": [1]}
    assert from_frames(frame, users=users).user_columns == ()
    assert "the column 'mail' has 101 different values" in caplog.text
    assert "the column 'seen' holds lists of 101 different values, above 100" in caplog.text
    assert "the column 'taste' holds lists of fractions" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"interactions": {"who": ["a"], "item": ["x"], "time": [1]}}, DataError, "who, item"),
        (
            {"interactions": {"uid": ["a"], "customer": ["b"], "item": ["x"], "time": [1]}},
            DataError,
            r"'uid' and 'customer' have one.*\{'interactions': \{'user': \.\.\.\}\}",
        ),
        ({"interactions": {**CLICKS, "SKU": [7, "x", 9, 8]}}, DataError, "interactions: expected"),
        ({"interactions": {name: [] for name in CLICKS}}, DataError, "at least one row"),
        ({"interactions": 7}, DataError, "expected a table such as a pandas frame.*int"),
        ({"interactions": {**CLICKS, "when": [1, 2, 3, -4]}}, DataError, "row 4, column 'when'"),
        ({"items": {"sku": [7, 7], "price": [1, 2]}}, DataError, "items: row 2, column 'sku'"),
        ({"schema": {"interactions": {"usr": "x"}}}, ConfigError, "schema.*usr.*did you mean"),
        ({"schema": {}, "users": USERS}, ConfigError, "expected a section users"),
        ({"schema": SCHEMA, "users": USERS}, ConfigError, "section items describes a table"),
        ({"schema": 7}, ConfigError, "schema: expected a dictionary"),
        (
            {"schema": {"interactions": {"timestamp": "whne"}}},
            DataError,
            "'whne' is missing.*did you mean when",
        ),
    ],
)
def test_what_is_wrong_is_named(arguments, error, words):
    with pytest.raises(error, match=words):
        from_frames(**{"interactions": CLICKS, **arguments})


def test_where_pyarrow_is_missing_the_other_way_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"from_frames needs pyarrow.*or use build_dataset"):
        from_frames(CLICKS)


def goods(**columns):
    """The items of `CLICKS` with `columns` of three values each."""
    return {"sku": [7, 8, 9], **columns}


def kinds(items):
    columns = from_frames(CLICKS, items=items).item_columns
    return {each.column.name: each.column.kind for each in columns}


@pytest.mark.parametrize("values", [["a", "b", None], [1, 2, 1]])
def test_categories_of_pandas_are_categories(values):
    items = pd.DataFrame(goods(shelf=pd.Categorical(values)))
    assert kinds(items) == {"shelf": Kind.CATEGORICAL}
    users = pd.DataFrame({"customer_id": ["ann", "bob"], "town": pd.Categorical(["Rome", "Oslo"])})
    (town,) = from_frames(CLICKS, users=users).user_columns
    assert town.vocabulary == ("Oslo", "Rome")


def test_decimals_of_items_are_numbers():
    price = [decimal.Decimal("2.50"), None, decimal.Decimal("4.00")]
    assert kinds(goods(price=price)) == {"price": Kind.NUMERIC}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([{"a": 1}] * 3, r"holds struct<a: int64>, neither texts nor numbers nor times, and is"),
        ([[["a"]]] * 3, "holds list<item: list<item: string>>, neither"),
        ([datetime.timedelta(1)] * 3, r"holds duration\[us\], neither"),
        ([None] * 3, "has no values and is left out"),
        (pa.array([float("nan")] * 3), "has no values and is left out"),
    ],
)
def test_a_column_that_can_be_no_feature_is_left_out(values, why, caplog):
    assert kinds(goods(extra=values)) == {}
    assert re.search(f"items: the column 'extra' {why}", caplog.text)


def test_lists_are_no_titles():
    items = goods(name=[["a"], ["b"], ["a"]])
    assert kinds(items) == {"name": Kind.MULTI_CATEGORICAL}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"interactions": 3}, "schema: interactions is a section, expected keys and values, got 3"),
        ({"interactions": ["a"]}, "schema: interactions is a section"),
        ({"items": "sku"}, "schema: items is a section"),
    ],
)
def test_a_section_that_is_none_is_refused(schema, words):
    with pytest.raises(ConfigError, match=words):
        from_frames(CLICKS, items=goods(), schema=schema)


@pytest.mark.parametrize("table", [pd.Series([1]), pd.Index([1]), "clicks.csv"])
def test_what_is_no_table_is_refused(table):
    with pytest.raises(DataError, match=r"interactions: expected a table such as a pandas frame"):
        from_frames(table)


def test_all_columns_without_a_telling_name_are_named_at_once():
    with pytest.raises(DataError) as caught:
        from_frames({"Kunde": ["a"], "sku": ["b"], "Zeit": [1]})
    message = str(caught.value)
    assert "holds the user and the timestamp; there are Kunde, sku, Zeit" in message
    assert "{'interactions': {'user': ..., 'timestamp': ...}}" in message
