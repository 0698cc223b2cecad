"""What people call items: read where a table has it, and known to no model."""

import dataclasses

import pandas as pd
import pytest

from ecct_tf.data import FeatureSchema, build_dataset, load_files, read_files_schema
from ecct_tf.errors import ConfigError, DataError

CLICKS = pd.DataFrame({"user": ["u", "u", "u"], "item": ["b", "a", "c"], "timestamp": [1, 2, 3]})
ITEMS = pd.DataFrame({"item": ["c", "b"], "name": ["The  third\none", None]})


def _build(title, items=ITEMS):
    return build_dataset(
        name="shop", schema=FeatureSchema("shop", ()), interactions=CLICKS, items=items, title=title
    )


def test_titles_follow_the_numbers_of_the_items_and_are_one_line():
    dataset = _build("name")
    assert dataset.item_tokens == ("a", "b", "c")
    # `a` has no row, `b` no name.
    assert dataset.item_titles == ("", "", "The third one")
    assert [dataset.title(item) for item in (1, 2, 3)] == ["", "", "The third one"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Tea\x1b[2J \x07& milk", "Tea [2J & milk"),
        ("a\r\n\tb\x85", "a b"),
        # Letters of several signs stay whole.
        ("\U0001f469\u200d\U0001f692 <b>é</b>", "\U0001f469\u200d\U0001f692 <b>é</b>"),
    ],
)
def test_a_title_has_nothing_that_a_terminal_would_obey(title, expected):
    items = pd.DataFrame({"item": ["a"], "name": [title]})
    assert _build("name", items).title(1) == expected


def test_titles_are_no_part_of_what_a_model_learns_from():
    titled, plain = _build("name"), _build(None)
    assert (plain.item_titles, plain.title(3)) == ((), "")
    assert titled.fingerprint() == plain.fingerprint()
    assert titled.item_columns == ()


@pytest.mark.parametrize(
    ("title", "items", "words"),
    [("label", ITEMS, "'label' is missing"), ("name", None, "an items table with the column")],
)
def test_a_title_that_is_not_there_is_an_error(title, items, words):
    with pytest.raises(DataError, match=words):
        _build(title, items)


def test_a_data_set_has_a_title_of_each_item_or_none():
    with pytest.raises(DataError, match="a title of each of the 3 items, received 1"):
        dataclasses.replace(_build(None), item_titles=("x",))


SCHEMA = """name: films
interactions: {path: clicks.csv}
items: {path: films.csv, id: film, title: name, columns: {}}
"""


@pytest.fixture
def files(tmp_path):
    CLICKS.to_csv(tmp_path / "clicks.csv", index=False)
    (tmp_path / "films.csv").write_text('film,name\na,"One, two"\nc,\n', encoding="utf-8")
    (tmp_path / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
    return tmp_path / "schema.yaml"


def test_a_schema_of_files_names_the_column_of_titles(files):
    dataset, report = load_files(files)
    assert dataset.item_titles == ("One, two", "", "")
    assert report.columns == ()


def test_a_title_that_the_file_lacks_is_named(files):
    files.write_text(SCHEMA.replace("title: name", "title: nam"), encoding="utf-8")
    with pytest.raises(DataError, match=r"'nam' is missing.*did you mean name"):
        load_files(files)


def test_users_have_no_titles(files):
    files.write_text(
        SCHEMA + "users: {path: films.csv, id: film, title: name, columns: {}}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"users\.title: only items have titles"):
        read_files_schema(files)
