"""Own files that are not as they should be: each message is read."""

import pandas as pd
import pytest

from ecct_tf.data import load_files
from ecct_tf.errors import ConfigError, DataError

SCHEMA = """
name: shop
interactions: {path: r.csv, user: who, item: sku, timestamp: when}
"""
STARS = "name: shop\ninteractions: {path: r.csv, rating: stars, min_rating: 3}\n"
TABLES = (
    SCHEMA
    + """
users:
  path: u.csv
  id: who
  columns:
    plan: {kind: categorical, values: [free, pro]}
    age: {kind: numeric, borders: [18]}
items:
  path: i.csv
  id: sku
  columns:
    price: {kind: numeric}
    tags: {kind: multi_categorical, separator: "|", values: [new, old]}
"""
)
HEADER = "who,sku,when\n"
USERS = "who,plan,age\nu1,free,20\nu2,pro,\n"
ITEMS = "sku,price,tags\na,1,new\nb,2,\n"
ROWS = f"{HEADER}u1,a,1\nu2,b,2\n"


@pytest.fixture
def refused(tmp_path):
    """Loads what is written and returns the message of the refusal."""

    def refused(schema, error=DataError, **files):
        for name, content in files.items():
            path = tmp_path / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        (tmp_path / "schema.yaml").write_text(schema)
        with pytest.raises(error) as caught:
            load_files(tmp_path / "schema.yaml")
        return str(caught.value)

    return refused


def _has(message, *parts):
    for part in parts:
        assert part in message


def test_missing_file(refused):
    _has(
        refused(SCHEMA.replace("r.csv", "rows.csv"), row_csv=ROWS),
        "rows.csv: cannot be read: No such file",
        "did you mean row.csv?",
        "schema file's folder",
    )


def test_empty_file(refused):
    for content in ("", "\n\n"):
        _has(refused(SCHEMA, r_csv=content), "r.csv: the file is empty", "who, sku, when")


def test_header_only(refused):
    _has(refused(SCHEMA, r_csv=HEADER), "r.csv: the file has a header and no rows")


def test_missing_column(refused):
    message = refused(SCHEMA, r_csv="who,skuu,when,more\nu1,a,1,x\n")
    _has(message, "r.csv: the column 'sku' is missing", "the file has who, skuu, when, more")
    _has(message, "did you mean skuu?")


def test_a_column_twice_in_the_header(refused):
    _has(refused(SCHEMA, r_csv="who,sku,when,sku\n1,2,3,4\n"), "the column 'sku' 2 times")


def test_another_separator(refused):
    message = refused(SCHEMA, r_csv=ROWS.replace(",", ";"))
    _has(message, "'who' is missing", "who;sku;when; is the separator ';'?")


def test_missing_id_after_a_blank_line_and_a_line_break(refused):
    text = f'{HEADER}u1,"a\nb",1\n\nNaN,a,2\nu3,a,3\n,a,4\n'
    message = refused(SCHEMA, r_csv=text)
    # Lines as an editor shows them: the first row takes 2 and 3, 4 is blank.
    _has(message, "r.csv: line 5, column 'who': expected an id, received 'NaN'")
    _has(message, "2 rows are wrong, the first: line 5 'NaN', line 7 ''")


@pytest.mark.parametrize("value", ["", "-5", "12.5", "soon", "1e9", "nan", "1700000000000", "1_0"])
def test_bad_seconds(refused, value):
    message = refused(SCHEMA, r_csv=f"{HEADER}u1,a,7\nu1,b,{value}\n")
    _has(message, "r.csv: line 3, column 'when': expected whole seconds since 1970, from 0")
    _has(message, f"received {value!r}. Fix the rows", "timestamp_unit")


@pytest.mark.parametrize(
    ("unit", "value", "way_out"),
    [
        ("s", "", "Fix the rows: fill in their time, or remove them."),
        ("s", "1700000000000", "give timestamp_unit: ms, which '1700000000000' may be."),
        ("ms", "1700000000000000", "give timestamp_unit: us, which"),
        ("us", "1700000000000000000", "give timestamp_unit: ns, which"),
        ("s", "2024-05-31 12:00", "give timestamp_unit: iso8601, which"),
        ("iso8601", "1700000000", "give timestamp_unit: s, which"),
        ("iso8601", "31.12.2024 12:00", "(dates as year-month-day), or give the timestamp_unit"),
    ],
)
def test_the_unit_that_a_time_may_have_is_named(refused, unit, value, way_out):
    schema = SCHEMA.replace("when}", f"when, timestamp_unit: {unit}}}")
    _has(refused(schema, r_csv=f"{HEADER}u1,a,{value}\n"), way_out)


@pytest.mark.parametrize("value", ["", "1969-12-31", "2024-13-01", "31.12.2024", "7"])
def test_bad_dates(refused, value):
    schema = SCHEMA.replace("when}", "when, timestamp_unit: iso8601}")
    message = refused(schema, r_csv=f"{HEADER}u1,a,{value}\n")
    _has(message, "line 2, column 'when': expected a date from 1970 on", f"received {value!r}")


def test_milliseconds_must_be_whole(refused):
    schema = SCHEMA.replace("when}", "when, timestamp_unit: ms}")
    message = refused(schema, r_csv=f"{HEADER}u1,a,1.5\n")
    _has(message, "expected whole milliseconds since 1970", "received '1.5'")


@pytest.mark.parametrize("value", ["", "good", "nan", "inf"])
def test_bad_rating(refused, value):
    message = refused(STARS, r_csv=f"user,item,stars,timestamp\n1,2,3,4\n1,3,{value},4\n")
    _has(message, f"r.csv: line 3, column 'stars': expected a number, received {value!r}")


def test_no_rating_is_high_enough(refused):
    message = refused(STARS, r_csv="user,item,stars,timestamp\n1,2,2,4\n")
    _has(message, "schema.yaml: the filters left no interaction", "rating below 3: 1")


def test_duplicates_refused(refused):
    text = f"{HEADER}u1,a,1\nu2,a,1\nu1,a,5\nu2,a,1\n"
    message = refused(SCHEMA + "filters: {duplicates: refuse}\n", r_csv=text)
    _has(message, "r.csv: line 4, column 'sku': expected each item once a user")
    _has(message, "received 'a' of user 'u1' (first on line 2)")
    _has(message, "2 rows are wrong", "line 5 'a' of user 'u2' (first on line 3)", "keep_all")


def test_users_with_too_few_interactions_refused(refused):
    schema = SCHEMA + "filters: {min_user_interactions: 2, short_users: refuse}\n"
    text = f"{HEADER}u1,a,9\nu2,b,2\nu1,b,3\nu3,b,1\n"
    message = refused(schema, r_csv=text)
    _has(message, "r.csv: line 3, column 'who': expected a user with 2 or more interactions")
    _has(message, "received 'u2' with 1 rows. 2 rows are wrong", "line 5 'u3' with 1 rows")
    _has(message, "short_users: remove")


def test_ragged_rows(refused):
    text = f"{HEADER}u1,a,1\nu1,b\nu1,c,3,4\nu1,d,4\n"
    message = refused(SCHEMA, r_csv=text)
    _has(message, "r.csv: line 3: expected 3 fields as the header has, received 2")
    _has(message, "2 rows are of another length: line 3 has 2, line 4 has 4", "double quotes")


def test_a_lone_quote(refused):
    message = refused(SCHEMA, r_csv=f'{HEADER}u1,a,1\nu1,"b,2\nu1,c,3\n')
    _has(message, "r.csv: line 3: expected fields that are quoted correctly")


def test_wrong_encoding(refused):
    message = refused(SCHEMA, r_csv=f"{HEADER}u1,a,1\nJürgen,b,2\n".encode("latin-1"))
    _has(message, "r.csv: line 3, byte b'\\xfc': expected text in utf-8", "latin-1")


def test_unknown_encoding(refused):
    schema = SCHEMA.replace("when}", "when, encoding: utf-9}")
    message = refused(schema, error=ConfigError, r_csv=ROWS)
    _has(message, "r.csv: encoding: expected one that Python knows", "'utf-9'")


def test_user_and_item_that_are_not_in_their_table(refused):
    files = {"u_csv": USERS, "i_csv": ITEMS}
    required = TABLES.replace("  id:", "  required: true\n  id:")
    message = refused(required, r_csv=f"{ROWS}u9,a,3\n", **files)
    _has(message, "r.csv: line 4, column 'who': expected an id of ", "u.csv (required: true)")
    _has(message, "received 'u9'", "leave required out of the schema")
    message = refused(required, r_csv=f"{ROWS}u1,z,3\nu2,y,4\n", **files)
    _has(message, "line 4, column 'sku': expected an id of ", "received 'z'. 2 rows")
    message = refused(required, r_csv=f"{ROWS}u9,a,3\n", u_csv="who,plan,age\n", i_csv=ITEMS)
    _has(message, "u.csv")


def test_a_table_that_has_none_of_the_ids(refused):
    other = ITEMS.replace("a,", "A-1,").replace("b,", "B-2,")
    message = refused(TABLES, r_csv=ROWS, u_csv=USERS, i_csv=other)
    _has(message, "r.csv: column 'sku': expected ids of ", "i.csv, such as 'A-1', 'B-2'")
    _has(message, "2 other ids and none of these, the first 'a' on line 2")


def test_an_id_twice_in_a_table(refused):
    message = refused(TABLES, r_csv=ROWS, u_csv=f"{USERS}u1,free,3\n", i_csv=ITEMS)
    _has(message, "u.csv: line 4, column 'who': expected each id once")
    _has(message, "received 'u1' (first on line 2). Keep one row")


def test_unknown_category(refused):
    message = refused(TABLES, r_csv=ROWS, u_csv=USERS.replace("pro", "gold"), i_csv=ITEMS)
    _has(message, "u.csv: line 3, column 'plan': expected one of free, pro, received 'gold'")
    message = refused(TABLES, r_csv=ROWS, u_csv=USERS, i_csv=ITEMS.replace("new", "new|odd"))
    _has(message, "i.csv: line 2, column 'tags': expected one of new, old, received 'new|odd'")


@pytest.mark.parametrize("value", ["cheap", "nan", "1,5"])
def test_bad_number_in_a_table(refused, value):
    cell = f'"{value}"'
    message = refused(TABLES, r_csv=ROWS, u_csv=USERS, i_csv=ITEMS.replace("a,1", f"a,{cell}"))
    _has(message, "i.csv: line 2, column 'price': expected a number, or nothing")
    _has(message, f"received {value!r}")
    assert ("(a decimal point, not a comma)" in message) == ("," in value)


def test_a_numeric_column_without_a_number(refused):
    message = refused(TABLES, r_csv=ROWS, u_csv=USERS, i_csv="sku,price,tags\na,,\nb,,\n")
    _has(message, "schema.yaml: column 'price': expected at least one number")


def test_parquet(refused, tmp_path):
    pytest.importorskip("pyarrow")
    schema = SCHEMA.replace("r.csv", "r.parquet")

    def message(**columns):
        pd.DataFrame(columns).to_parquet(tmp_path / "r.parquet")
        return refused(schema)

    good = {"who": ["a", "b"], "sku": [1, 2], "when": [1, 2]}
    _has(message(**{**good, "when": [1, -2]}), "r.parquet: row 2, column 'when'", "'-2'")
    _has(message(**{**good, "who": ["a", None]}), "row 2, column 'who': expected an id")
    _has(message(**{**good, "sku": [1.5, 2.0]}), "column 'sku': expected ids as text", "1.5")
    _has(message(who=["a"], when=[1]), "the column 'sku' is missing, the file has who, when")
    _has(message(who=[], sku=[], when=[]), "the file has columns and no rows")
    _has(message(**{**good, "sku": [[1], [2]]}), "row 1, column 'sku': expected one value")
    times = pd.to_datetime([1, 2], unit="s")
    _has(message(**{**good, "when": times}), "timestamp_unit: s", "1970-01-01T00:00:01")
    (tmp_path / "r.parquet").write_text("who,sku,when\n")
    _has(refused(schema), "r.parquet: expected a Parquet file", "format: csv")


def test_parquet_without_pyarrow(refused, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    message = refused(SCHEMA.replace("r.csv", "r.parquet"), r_parquet="x")
    _has(message, "needs pyarrow, which is not installed", "pip install 'pyarrow")
