"""YAML files of all kinds: no key twice, and names as they were written."""

import dataclasses
import math
import re

import pytest
import yaml

from cloud.retraining import load_job_config
from ecct_tf.config import load_config
from ecct_tf.config.differences import differences
from ecct_tf.config.yaml_text import dump_yaml, parse_yaml, resolved
from ecct_tf.cycle.config import load_cycle_config
from ecct_tf.data import FeatureSchema, read_files_schema
from ecct_tf.errors import ConfigError


def _schema(columns, name="x"):
    return (
        f"name: {name}\ninteractions: {{path: r.csv}}\nusers:\n  path: u.csv\n  id: user\n{columns}"
    )


@pytest.mark.parametrize(
    ("read", "text", "key", "second", "first"),
    [
        # The first is the example that was met: five epochs, silently one.
        (
            load_config,
            "training: {epochs: 5}\nrounds: 2\ntraining: {batch_size: 16}\n",
            "training",
            3,
            1,
        ),
        (load_config, "rounds: 2\ntraining:\n  epochs: 1\n  epochs: 2\n", "training.epochs", 4, 3),
        (load_job_config, "cloud: {rank: 4}\nstart: warm\ncloud: {rank: 8}\n", "cloud", 3, 1),
        (load_cycle_config, "seed: 1\nseed: 2\n", "seed", 2, 1),
        (
            read_files_schema,
            _schema("  columns:\n    on: {kind: categorical}\n    'on': {kind: categorical}\n"),
            "users.columns.on",
            8,
            7,
        ),
        (FeatureSchema.from_yaml, "name: a\ncolumns: []\nname: b\n", "name", 3, 1),
    ],
)
def test_a_key_that_is_there_twice_is_refused_with_both_lines(
    tmp_path, read, text, key, second, first
):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    message = f"{path}: line {second}: the key {key} is there twice, first on line {first}"
    assert message in str(caught.value)


NAMES = [
    "on",
    "no",
    "Yes",
    "off",
    "007",
    "1e3",
    "1.50",
    "2024-05-31",
    "12:30",
    "0x1F",
    "1_000",
    "=",
]


@pytest.mark.parametrize("name", [*NAMES, "true", "NULL", ".inf", "5"])
def test_a_column_has_the_name_that_was_written(tmp_path, name):
    (tmp_path / "schema.yaml").write_text(
        _schema(f"  columns:\n    {name}: {{kind: categorical}}\n")
    )
    assert list(read_files_schema(tmp_path / "schema.yaml").users.columns) == [name]


@pytest.mark.parametrize("name", [*NAMES, "true", ".inf", "5"])
def test_a_header_a_value_and_a_data_set_are_called_what_was_written(tmp_path, name):
    column = f"  columns:\n    c: {{kind: categorical, header: {name}, values: [{name}]}}\n"
    (tmp_path / "schema.yaml").write_text(_schema(column, name=name))
    schema = read_files_schema(tmp_path / "schema.yaml")
    assert schema.name == name
    assert schema.users.columns["c"].header == name
    assert schema.users.columns["c"].values == (name,)


def test_a_feature_schema_keeps_names_and_reads_back_what_it_writes(tmp_path):
    path = tmp_path / "schema.yaml"
    for name in (*NAMES, "5", "true"):
        path.write_text(
            f"name: {name}\ncolumns:\n"
            f"  - {{name: {name}, table: user, side: federated, kind: numeric}}\n"
        )
        schema = FeatureSchema.from_yaml(path)
        assert (schema.name, schema.columns[0].name) == (name, name)
        path.write_text(schema.to_yaml())
        assert FeatureSchema.from_yaml(path) == schema


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("+7", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-05-31", "2024-05-31"),
        ("yes", "yes"),
        ("TRUE", True),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        ("'5'", "5"),
        ("{<<: {a: 1, b: 2}, a: 3}", {"a": 3, "b": 2}),
        ("[&x {a: 1}, *x]", [{"a": 1}, {"a": 1}]),
    ],
)
def test_what_nothing_else_decides_is_read_by_the_core_schema(text, value):
    got = resolved(parse_yaml(text, where="text"))
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/name:os.system x", "received the tag"),
        ("a: !secret x", "line 1: expected plain keys and values, received the tag '!secret'"),
        ("[1, 2]: 3", "expected a name as key"),
        ("a: &x {b: *x}", "the value of a.b contains itself"),
        ("a: {<<: 5}", "expected keys and values to merge"),
        ("[" * 5000, "nested too deep"),
        ("a: 1\n---\na: 2", "is not valid YAML"),
        ("a:\n b: 1\n  c: 2", "mapping values are not allowed here\n  at line 3, column 4:"),
        (
            "a: &a [0,0,0,0,0,0,0,0,0,0]\n"
            + "".join(
                f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
                for old, new in zip("abcde", "bcdef", strict=True)
            ),
            "expected at most 100,000 values",
        ),
    ],
)
def test_yaml_that_is_no_settings_file_is_refused(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, where="file.yaml")
    assert str(caught.value).startswith("file.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("read", "text", "line"),
    [
        # The first is the example that was met: a traceback when the file is opened.
        (read_files_schema, 'name: x\ninteractions: {path: "r\\0.csv"}\n', 2),
        (load_config, 'data: {folder: "a\\0b"}\n', 1),
        (load_job_config, 'registry: registry\nuplinks: "log\\x00"\n', 2),
        (load_config, '\n"rou\\0nds": 5\n', 2),
    ],
)
def test_a_character_of_value_0_is_refused_with_its_line(tmp_path, read, text, line):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"settings\.yaml: line {line}: .*value 0"):
        read(path)


def test_a_character_of_value_0_in_an_option_is_refused():
    with pytest.raises(ConfigError, match="value 0"):
        load_config(overrides=['data.folder="a\\0b"'])


def test_what_is_written_is_read_alike_by_every_reader():
    values = {name: name for name in (*NAMES, "true", "~", "", "null", ".inf", "plain")}
    text = dump_yaml(values)
    assert resolved(parse_yaml(text, where="text")) == values
    assert yaml.safe_load(text) == values


def _settings(config, prefix=""):
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


@pytest.mark.parametrize(
    ("load", "overrides"),
    [(load_config, []), (load_job_config, ["registry=r"]), (load_cycle_config, [])],
)
@pytest.mark.parametrize("value", ["null", "true", "[null]", "{a: false}"])
def test_what_is_refused_is_named_as_it_is_written(load, overrides, value):
    refused = {}
    for name in _settings(load(None, overrides=overrides)):
        try:
            load(None, overrides=[*overrides, f"{name}={value}"])
        except ConfigError as error:
            refused[name] = str(error)
    assert len(refused) > 40
    assert [each for each in refused.values() if re.search(r"\b(None|True|False)\b", each)] == []


def test_differences_tell_null_from_what_is_absent():
    assert differences("devices: null\nhttp: true", "devices: [null, 5]\nhttp: false") == (
        "devices was null, now [null, 5], http was true, now false"
    )
    assert differences("{a: {}, c: 1}", "{a: {}, b: null, c: 1}") == "b was absent, now null"
    # A text that is no text without its quotes.
    assert differences("name: 'true'", "name: true") == "name was 'true', now true"
