"""Own files that are as they should be: what is read, filtered, counted."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecct_tf.data import Side, leave_one_out, load_files, split_report
from ecct_tf.errors import DataError

RATINGS = """user,item,rating,timestamp
ann,7,5,30
bob,7,2,10
ann,9,4,20
ann,8,1,10
bob,8,5,40
"""


@pytest.fixture
def write(tmp_path):
    """Writes files into a folder and returns the path of its schema."""

    def write(schema, **files):
        for name, content in files.items():
            path = tmp_path / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path = tmp_path / "schema.yaml"
        path.write_text(schema)
        return path

    return write


@pytest.fixture
def far_east(monkeypatch):
    """Puts the machine's clock into another zone, which must not matter."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _rows(dataset):
    """The interactions as (user id, item id, second), in the data set's order."""
    return [
        (dataset.user_tokens[user], dataset.item_tokens[item - 1], second)
        for user, item, second in zip(
            dataset.users.tolist(),
            dataset.items.tolist(),
            dataset.timestamps.tolist(),
            strict=True,
        )
    ]


def test_a_plain_csv_needs_two_lines(write):
    dataset, report = load_files(
        write("name: plain\ninteractions: {path: ratings.csv}\n", ratings_csv=RATINGS)
    )
    assert _rows(dataset) == [
        ("bob", "7", 10),
        ("ann", "8", 10),
        ("ann", "9", 20),
        ("ann", "7", 30),
        ("bob", "8", 40),
    ]
    assert dataset.schema.columns == ()
    assert (report.users, report.items, report.interactions) == (2, 3, 5)
    assert (report.first_second, report.last_second) == (10, 40)
    assert [(file.section, file.rows) for file in report.files] == [("interactions", 5)]
    assert report.columns == ()
    assert json.loads(json.dumps(report.as_dict()))["name"] == "plain"


def test_filters_are_applied_in_order_and_counted(write):
    # After the rating filter, c has 1 row; without it i3 has 1 row; then a has 2.
    lines = ["a,i1,5,1", "a,i2,5,2", "a,i3,5,3", "a,i1,5,4", "b,i1,5,1", "b,i2,5,2"]
    lines += ["c,i1,5,1", "c,i2,1,2", "d,i4,1,9"]
    schema = """
name: s
interactions: {path: r.csv, rating: stars, min_rating: 2}
filters: {min_user_interactions: 2, min_item_interactions: 2}
"""
    dataset, report = load_files(
        write(schema, r_csv="user,item,stars,timestamp\n" + "\n".join(lines))
    )
    assert _rows(dataset) == [("a", "i1", 1), ("b", "i1", 1), ("a", "i2", 2), ("b", "i2", 2)]
    assert [(c.rule, c.rows, c.users, c.items) for c in report.filters] == [
        ("rating below 2", 2, 1, 1),
        ("repeated item of a user (keep_first)", 1, 0, 0),
        ("user with fewer than 2 interactions", 1, 1, 0),
        ("item with fewer than 2 interactions", 1, 0, 1),
    ]
    assert report.files[0].rows - sum(c.rows for c in report.filters) == report.interactions


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("keep_first", [("1", "x", 10), ("1", "y", 15)]),
        ("keep_last", [("1", "y", 15), ("1", "x", 20)]),
        ("keep_all", [("1", "x", 10), ("1", "y", 15), ("1", "x", 20)]),
    ],
)
def test_repeated_items_by_time_not_by_line(write, rule, expected):
    schema = f"name: s\ninteractions: {{path: r.csv}}\nfilters: {{duplicates: {rule}}}\n"
    dataset, report = load_files(
        write(schema, r_csv="user,item,timestamp\n1,x,20\n1,y,15\n1,x,10\n")
    )
    assert _rows(dataset) == expected
    assert sum(count.rows for count in report.filters) == 3 - len(expected)


@pytest.mark.usefixtures("far_east")
@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("s", ["86401", "86400.0", "0"]),
        ("ms", ["86401999", "86400000", "999"]),
        ("us", ["86401999999", "86400000000", "999999"]),
        ("ns", ["86401999999999", "86400000000000", "999999999"]),
        ("iso8601", ["1970-01-02T00:00:01Z", "1970-01-02", "1970-01-01T02:00:00+02:00"]),
    ],
)
def test_units_of_time(write, unit, times):
    schema = f"name: s\ninteractions: {{path: r.csv, timestamp_unit: {unit}}}\n"
    text = "user,item,timestamp\n" + "".join(f"1,{n},{t}\n" for n, t in enumerate(times))
    dataset, _ = load_files(write(schema, r_csv=text))
    assert dataset.timestamps.tolist() == [0, 86400, 86401]


@pytest.mark.parametrize(("unit", "zeros"), [("ms", ""), ("us", "000"), ("ns", "000000")])
def test_order_within_a_second_is_not_lost(write, unit, zeros):
    schema = f"name: s\ninteractions: {{path: r.csv, timestamp_unit: {unit}}}\n"
    rows = ["late,1900", "early,1100", "middle,1500"]
    text = "user,item,timestamp\n" + "".join(f"1,{row}{zeros}\n" for row in rows)
    dataset, _ = load_files(write(schema, r_csv=text))
    assert [item for _, item, _ in _rows(dataset)] == ["early", "middle", "late"]
    split = leave_one_out(dataset)
    assert [dataset.item_tokens[i - 1] for i in split.touched(0)] == ["early", "middle", "late"]


FULL = """
name: shop
interactions: {path: r.tsv, user: who, item: sku, timestamp: when}
users:
  path: u.csv
  id: who
  separator: ";"
  encoding: latin-1
  columns:
    age: {kind: numeric, borders: [18, 65]}
    town: {kind: categorical, header: Ort}
    plan: {kind: categorical, side: centralized, values: [free, pro]}
items:
  path: i.csv
  id: sku
  columns:
    price: {kind: numeric}
    tags: {kind: multi_categorical, separator: "|"}
"""
TABLES = {
    "r_tsv": "\ufeffwhen\twho\tsku\n1\tu1\ta\n2\tu2\tb\n",
    "u_csv": "who;Ort;plan;age;secret\nu2;Köln;pro;18;x\nu1;;free;17.5;y\nu3;Ulm;;65;z\n".encode(
        "latin-1"
    ),
    "i_csv": 'sku,tags,price\nb,on sale|new,2\n\na,"new| two\nlines",4\nc,,\n',
}


def test_tables_of_users_and_items(write):
    dataset, report = load_files(write(FULL, **TABLES))
    assert dataset.user_tokens == ("u1", "u2", "u3")
    assert dataset.item_tokens == ("a", "b", "c")
    age, town, plan = dataset.user_columns
    assert [column.column.side for column in dataset.user_columns] == [
        Side.FEDERATED,
        Side.FEDERATED,
        Side.CENTRALIZED,
    ]
    assert [age.vocabulary[code - 1] for code in age.values] == [
        "below 18",
        "18 to below 65",
        "65 and above",
    ]
    assert town.vocabulary == ("Köln", "Ulm")
    assert town.values.tolist() == [0, 1, 2]
    assert plan.values.tolist() == [1, 2, 0]
    price, tags = dataset.item_columns
    assert price.values.tolist() == [0, 4, 2, 3]
    assert tags.vocabulary == ("new", "on sale", "two\nlines")
    assert tags.values.tolist() == [[0, 0, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert (report.idle_users, report.idle_items, report.removed_table_rows) == (1, 1, 0)
    assert [(c.name, c.side, c.kind, c.vocabulary, c.missing) for c in report.columns] == [
        ("age", "federated", "categorical", 3, 0),
        ("town", "federated", "categorical", 2, 1),
        ("plan", "centralized", "categorical", 2, 1),
        ("price", "centralized", "numeric", 0, 1),
        ("tags", "centralized", "multi_categorical", 3, 1),
    ]


def test_a_minimum_removes_table_rows_too(write):
    schema = FULL + "filters: {min_item_interactions: 1, min_user_interactions: 1}\n"
    dataset, report = load_files(write(schema, **TABLES))
    assert dataset.user_tokens == ("u1", "u2")
    assert dataset.item_tokens == ("a", "b")
    assert report.removed_table_rows == 2
    assert dataset.item_columns[0].values.tolist() == [0, 4, 2]


def test_parquet_gives_the_same_as_csv(write, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "user": ["ann", "bob", "ann"],
            "item": [7, 7, 9],
            "timestamp": pd.to_datetime([30, 10, 20], unit="s"),
        }
    )
    frame.to_parquet(tmp_path / "r.parquet")
    pd.DataFrame(
        {"item": [7, 9], "tags": [["new", "on sale"], []], "price": [1.5, None]}
    ).to_parquet(tmp_path / "i.parquet")
    schema = """
name: s
interactions: {path: r.parquet, timestamp_unit: iso8601}
items:
  path: i.parquet
  id: item
  columns: {tags: {kind: multi_categorical}, price: {kind: numeric}}
"""
    dataset, report = load_files(write(schema))
    assert _rows(dataset) == [("bob", "7", 10), ("ann", "9", 20), ("ann", "7", 30)]
    tags, price = dataset.item_columns
    assert tags.vocabulary == ("new", "on sale")
    assert tags.values.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert price.values.tolist() == [0, 1.5, 1.5]
    assert report.files[0].rows == 3


def test_what_leave_one_out_leaves_out_is_reported(write):
    dataset, _ = load_files(
        write("name: s\ninteractions: {path: ratings.csv}\n", ratings_csv=RATINGS + "ann,1,1,9\n")
    )
    report = split_report(dataset, leave_one_out(dataset))
    assert report.devices == 1
    assert report.needed == "4 interactions"
    assert report.excluded_examples == (("bob", 2),)
    assert report.excluded_interactions == 2


def test_what_is_left_out_in_words(write):
    schema = "name: s\ninteractions: {path: ratings.csv, rating: rating, min_rating: 2}\n"
    _, report = load_files(write(schema, ratings_csv=RATINGS))
    assert report.left_out == ("rating below 2: 1 interaction left out",)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=40
    ),
    least=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    rule=st.sampled_from(["keep_first", "keep_last", "keep_all"]),
)
def test_every_row_is_kept_or_counted(write, rows, least, rule):
    schema = f"""
name: s
interactions: {{path: r.csv}}
filters: {{min_user_interactions: {least[0]}, min_item_interactions: {least[1]},
  duplicates: {rule}}}
"""
    text = "user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows)
    path = write(schema, r_csv=text)
    try:
        dataset, report = load_files(path)
    except DataError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert "left no interaction" in message
        return
    assert report.interactions + sum(c.rows for c in report.filters) == len(rows)
    kept = _rows(dataset)
    assert not set(kept) - {(str(u), str(i), t) for u, i, t in rows}
    assert (np.bincount(dataset.users) >= max(least[0], 1)).all()
    assert (np.bincount(dataset.items)[1:] >= max(least[1], 1)).all()
    if rule != "keep_all":
        assert len({(user, item) for user, item, _ in kept}) == len(kept)
