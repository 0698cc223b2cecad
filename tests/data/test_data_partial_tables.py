"""Tables of users and items that lack rows: what lacks one is unknown, and counted."""

import logging

import pytest

from ecct_tf.data import build_dataset, cloud_view, device_view, leave_one_out, load_files
from ecct_tf.data.numbers import Scaling, number_code
from ecct_tf.errors import DataError

SCHEMA = """
name: shop
interactions: {path: r.csv}
users:
  path: u.csv
  id: user
  columns:
    age: {kind: numeric, borders: [18]}
    plan: {kind: categorical, side: centralized}
    likes: {kind: multi_categorical, side: centralized}
items:
  path: i.csv
  id: item
  columns:
    price: {kind: numeric}
    tags: {kind: multi_categorical, separator: "|"}
    brand: {kind: categorical}
"""
ROWS = "user,item,timestamp\n" + "".join(
    f"{user},{item},{time}\n" for user in ("u1", "u2", "u3") for time, item in enumerate("abcde")
)
FILES = {
    "r.csv": ROWS,
    "u.csv": "user,age,plan,likes\nu2,30,pro,x y\nu9,12,,y\n",
    "i.csv": "item,price,tags,brand\nb,1,new,B\nd,,old|new,D\nz,5,,B\n",
}


@pytest.fixture
def load(tmp_path):
    def load(schema=SCHEMA, **files):
        for name, text in {**FILES, **files}.items():
            (tmp_path / name).write_text(text)
        (tmp_path / "schema.yaml").write_text(schema)
        return load_files(tmp_path / "schema.yaml")

    return load


def test_a_missing_row_is_the_unknown_value_of_each_column(load):
    dataset, _ = load()
    assert dataset.user_tokens == ("u1", "u2", "u3", "u9")
    age, plan, likes = dataset.user_columns
    assert age.vocabulary == ("18 and above", "below 18")
    assert age.values.tolist() == [0, 1, 0, 2]
    assert plan.values.tolist() == [0, 1, 0, 0]
    assert likes.values.tolist() == [[0, 0], [1, 1], [0, 0], [0, 1]]
    assert dataset.item_tokens == ("a", "b", "c", "d", "e", "z")
    price, tags, brand = dataset.item_columns
    # Unknown numbers are the mean of those that are known, (1 + 5) / 2; row 0 is padding.
    assert price.values.tolist() == [0, 3, 1, 3, 3, 3, 5]
    assert tags.values.tolist() == [[0, 0]] * 2 + [[1, 0], [0, 0], [1, 1], [0, 0], [0, 0]]
    assert brand.values.tolist() == [0, 0, 1, 0, 2, 0, 1]
    # u1 and u3 have no row, u9 no plan; a, c and e have no row, d no price, z no tag.
    assert [column.missing for column in dataset.user_columns] == [2, 3, 2]
    assert [column.missing for column in dataset.item_columns] == [4, 4, 3]


def test_both_sides_see_the_unknown_value(load):
    dataset, _ = load()
    split = leave_one_out(dataset)
    assert device_view(dataset, split, 0).profile["age"].values.tolist() == [0]
    assert device_view(dataset, split, 1).profile["age"].values.tolist() == [1]
    assert cloud_view(dataset, split).users["plan"].values.tolist() == [0, 1, 0, 0]


def test_missing_rows_are_counted_and_named(load, tmp_path):
    _, report = load()
    assert (report.absent_users, report.absent_items) == (2, 3)
    assert (report.idle_users, report.idle_items) == (1, 1)
    assert report.notes == (
        f"{tmp_path / 'u.csv'}: 2 of the 3 users with interactions have no row ('u1', 'u3'); "
        "their columns are unknown",
        f"{tmp_path / 'i.csv'}: 3 of the 5 items with interactions have no row ('a', 'c', 'e'); "
        "their columns are unknown",
    )


def test_whom_a_minimum_removes_is_not_counted(load):
    rows = ROWS + "u4,a,9\n"
    _, report = load(SCHEMA + "filters: {min_user_interactions: 2}\n", **{"r.csv": rows})
    assert (report.absent_users, report.users) == (2, 3)


@pytest.mark.parametrize(("section", "id"), [("users", "u1"), ("items", "a")])
def test_a_table_that_is_required_to_be_whole(load, section, id):
    schema = SCHEMA.replace(f"{section}:\n", f"{section}:\n  required: true\n")
    with pytest.raises(DataError, match=rf"r\.csv: line 2, .*required: true.*received '{id}'"):
        load(schema)


def test_tables_in_memory(toy_schema, toy_frames, caplog):
    interactions, users, items = toy_frames
    users, items = users[users["user"] == "2"], items[items["item"] != "b"]

    def build(**options):
        return build_dataset(
            name="toy",
            schema=toy_schema,
            interactions=interactions,
            users=users,
            items=items,
            **options,
        )

    with caplog.at_level(logging.WARNING):
        dataset = build()
    assert dataset.user_tokens == ("2", "10")
    income = number_code(3.0, Scaling(log=True))
    found = [column.values.tolist() for column in dataset.user_columns]
    # A mean of private numbers is nobody's to know.
    assert found == [[0, 0], [income, 0], [1, 0]]
    assert dataset.item_tokens == tuple("abcdefgh")
    year, genres = dataset.item_columns
    assert year.values[2] == pytest.approx((2002 + 1998 + 1996 + 1994 + 1992 + 1990) / 6)
    assert not genres.values[2].any()
    assert (year.missing, genres.missing) == (2, 2)
    assert [record.getMessage() for record in caplog.records] == [
        "data set 'toy': the users table: 1 of the 2 users with interactions has no row ('10'); "
        "its columns are unknown",
        "data set 'toy': the items table: 1 of the 7 items with interactions has no row ('b'); "
        "its columns are unknown",
    ]
    with pytest.raises(DataError, match=r"row 3 .*'10' is not in the users table.*lacks 1\."):
        build(required=("user",))
    with pytest.raises(DataError, match=r"row 1 .*'b' is not in the items table"):
        build(required=("item",))


def test_a_table_in_memory_that_has_none_of_the_ids(toy_schema, toy_frames):
    interactions, users, items = toy_frames
    with pytest.raises(DataError, match=r"none of the 2 ids, such as '2', .* are '10x', '2x'\. "):
        build_dataset(
            name="toy",
            schema=toy_schema,
            interactions=interactions,
            users=users.assign(user=users["user"] + "x"),
            items=items,
        )
