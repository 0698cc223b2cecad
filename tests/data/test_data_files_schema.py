"""The schema file itself: what it may say, and what it is told when it says otherwise."""

import pytest
import yaml

from ecct_tf.data import Kind, Side, read_files_schema
from ecct_tf.errors import ConfigError

BASE = {
    "name": "shop",
    "interactions": {"path": "r.csv"},
    "users": {"path": "u.csv", "id": "who", "columns": {"plan": {"kind": "categorical"}}},
    "items": {"path": "i.pq", "id": "sku", "columns": {"price": {"kind": "numeric"}}},
    "filters": {"duplicates": "keep_all"},
}


def _changed(key, value):
    values = yaml.safe_load(yaml.safe_dump(BASE))
    *parents, last = key.split(".")
    target = values
    for name in parents:
        target = target[name]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return values


@pytest.fixture
def read(tmp_path):
    def read(values):
        path = tmp_path / "schema.yaml"
        path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
        return read_files_schema(path)

    return read


def test_tags_and_defaults(read):
    schema = read(BASE)
    plan, price = schema.features().columns
    assert (plan.name, plan.table, plan.side, plan.kind) == (
        "plan",
        "user",
        Side.FEDERATED,
        Kind.CATEGORICAL,
    )
    assert (price.table, price.side, price.kind) == ("item", Side.CENTRALIZED, Kind.NUMERIC)
    assert schema.interactions.timestamp_unit == "s"
    assert read({"name": "s", "interactions": {"path": "r.csv"}}).features().columns == ()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("interaction", {}, "unknown key interaction; did you mean interactions?"),
        ("interactions.usr", "who", "unknown key interactions.usr; did you mean interactions.user"),
        ("users.columns.plan.sde", "x", "unknown key users.columns.plan.sde; did you mean"),
        ("users.columns", ["plan"], "users.columns is a section"),
        ("users.columns.plan", "categorical", "users.columns.plan is a section"),
        ("name", None, "name: missing"),
        ("interactions", None, "interactions: missing"),
        ("interactions.path", None, "interactions.path: missing"),
        ("users.columns.plan.kind", None, "users.columns.plan.kind: missing"),
        ("name", [5], "name: expected text, got [5]"),
        ("name", "", "name: expected a name"),
        ("filters.duplicates", "drop", "filters.duplicates: expected one of keep_first, keep_last"),
        ("filters.min_user_interactions", 1.5, "expected a whole number, got 1.5"),
        ("filters.min_user_interactions", -1, "filters.min_user_interactions: expected at least 0"),
        ("filters.short_users", "refuse", "filters.min_user_interactions: expected at least 1"),
        ("interactions.rating", "stars", "interactions.min_rating: missing"),
        ("interactions.min_rating", 3, "interactions.rating: missing"),
        ("interactions.item", "user", "expected four different columns"),
        ("interactions.timestamp_unit", "min", "expected one of s, ms, us, ns, iso8601"),
        ("interactions.path", "r.xlsx", "interactions.format: cannot be told from 'r.xlsx'"),
        ("interactions.separator", ";\n", "interactions.separator: expected characters such as"),
        ("interactions.separator", "", "interactions.separator: expected characters such as"),
        ("interactions.names", ["a", "a"], "interactions.names: expected different names"),
        ("items.names", ["a", "b"], "items.names: a Parquet file has none"),
        ("items.separator", ";", "items.separator: a Parquet file has none"),
        ("items.columns.price.side", "federated", "items.columns.price.side: expected centralized"),
        ("items.columns.price.side", "cloud", "expected one of federated, centralized or null"),
        ("items.columns.plan", {"kind": "numeric"}, "items.columns.plan: users.columns has the"),
        ("users.columns.plan.kind", "vector", "users.columns.plan.kind: expected cat"),
        ("users.columns.plan.kind", "ordinal", "users.columns.plan.kind: expected one of cat"),
        ("users.columns.plan.separator", "|", "plan.separator: has no meaning for a categorical"),
        ("items.columns.price.values", ["1"], "price.values: has no meaning for a numeric"),
        ("users.columns.plan.borders", [1], "plan.borders: has no meaning for a categorical"),
        ("items.columns.price.borders", [2, 1], "price.borders: expected rising numbers"),
        ("items.columns.price.borders", [], "price.borders: expected rising numbers"),
        (
            "users.columns.plan.values",
            [None],
            "users.columns.plan.values: expected a list of texts",
        ),
        ("users.columns.user", {"kind": "categorical"}, "users.columns.user: this name stands"),
    ],
)
def test_refused(read, key, value, expected):
    with pytest.raises(ConfigError) as caught:
        read(_changed(key, value))
    assert "schema.yaml" in str(caught.value)
    assert expected in str(caught.value)


def test_not_a_mapping_not_yaml_not_there(read, tmp_path):
    with pytest.raises(ConfigError, match="expected keys and values, got list"):
        read("- a\n")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read("name: [\n")
    with pytest.raises(ConfigError, match=r"cannot read the data schema .*none\.yaml"):
        read_files_schema(tmp_path / "none.yaml")


def test_a_data_file_in_place_of_the_schema(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)received a data file.*path: clicks\.csv"):
        read_files_schema(tmp_path / "clicks.csv")


def test_the_column_of_ids_is_asked_for(read):
    with pytest.raises(ConfigError, match=r"users\.id: missing; give the header of the column"):
        read("name: a\ninteractions: {path: r.csv}\nusers: {path: u.csv}\n")
