import re

import pytest

from ecct_tf.config import DataConfig
from ecct_tf.data import MOVIELENS_100K_SCHEMA, Column, FeatureSchema, Kind, Side
from ecct_tf.errors import ConfigError


def test_yaml_round_trip(tmp_path):
    path = tmp_path / "schema.yaml"
    path.write_text(MOVIELENS_100K_SCHEMA.to_yaml())
    assert FeatureSchema.from_yaml(path) == MOVIELENS_100K_SCHEMA


def test_recent_interactions_may_be_left_out_of_the_yaml(tmp_path):
    path = tmp_path / "schema.yaml"
    path.write_text(
        "name: x\ncolumns:\n- {name: g, table: user, side: federated, kind: categorical}\n"
    )
    schema = FeatureSchema.from_yaml(path)
    assert schema.recent_interactions is Side.FEDERATED
    assert schema.column("g").kind is Kind.CATEGORICAL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\ncolumns: []\ncolour: red\n", "'colour'"),
        ("name: x\n", "'columns'"),
        ("name: x\ncolumns: 3\n", "columns"),
        ("- 1\n", "name"),
        ("name: [x\n", "not valid YAML"),
        (
            "name: x\ncolumns: [{name: g, table: user, side: federated, kind: text}]\n",
            "kind must be one of",
        ),
        (
            "name: x\ncolumns: [{name: g, table: shop, side: federated, kind: numeric}]\n",
            "table must be one of",
        ),
        (
            "name: x\ncolumns: [{name: g, tabel: user, side: federated, kind: numeric}]\n",
            r"columns\[0\].*'tabel'",
        ),
        ("name: x\nrecent_interactions: centralized\ncolumns: []\n", "recent_fraction"),
    ],
)
def test_bad_yaml_is_refused_with_file_and_key(tmp_path, text, expected):
    path = tmp_path / "schema.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        FeatureSchema.from_yaml(path)
    assert "schema.yaml" in str(caught.value)


def test_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        FeatureSchema.from_yaml(tmp_path / "none.yaml")


def test_repeated_names_are_refused():
    columns = (
        Column("x", "user", Side.FEDERATED, Kind.NUMERIC),
        Column("x", "item", Side.CENTRALIZED, Kind.NUMERIC),
    )
    with pytest.raises(ConfigError, match="unique"):
        FeatureSchema("s", columns)


def test_unknown_column_names_the_known_ones():
    with pytest.raises(ConfigError, match="gender"):
        MOVIELENS_100K_SCHEMA.column("zip")


def test_select_by_table_and_side():
    def names(**by):
        return [column.name for column in MOVIELENS_100K_SCHEMA.select(**by)]

    assert names(side=Side.FEDERATED) == ["gender", "age", "occupation"]
    assert names(table="item") == ["release_year", "genres"]
    assert names(table="user", side=Side.CENTRALIZED) == []
    assert len(names()) == 5


def test_what_is_advised_about_recent_interactions_is_accepted(tmp_path):
    path = tmp_path / "schema.yaml"
    path.write_text("name: x\nrecent_interactions: centralized\ncolumns: []\n")
    with pytest.raises(ConfigError) as refused:
        FeatureSchema.from_yaml(path)
    (advised,) = re.findall(r"such as ([0-9.]+)", str(refused.value))
    assert DataConfig(recent_fraction=float(advised)).recent_fraction == float(advised)
