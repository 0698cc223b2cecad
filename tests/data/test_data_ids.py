"""One user is one id, whatever a program made of it on the way."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from ecct_tf.data import Column, FeatureSchema, Kind, Side, build_dataset, load_files
from ecct_tf.errors import DataError

# One name in its composed and its decomposed form.
COMPOSED, DECOMPOSED = "J\u00fcrgen", "Ju\u0308rgen"


@pytest.fixture
def load(tmp_path):
    """Loads interactions of the given users, from CSV, or Parquet for a column with a type."""

    def load(users, kind=None, *, table=""):
        if kind is None:
            lines = [f'"{user}",{row},{row}' for row, user in enumerate(users)]
            (tmp_path / "r.csv").write_text("\n".join(["user,item,timestamp", *lines]))
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            numbers = pa.array(range(len(users)))
            column = pa.array(users, kind)
            whole = pa.table({"user": column, "item": numbers, "timestamp": numbers})
            pq.write_table(whole, tmp_path / "r.parquet")
        suffix = "csv" if kind is None else "parquet"
        schema = tmp_path / "schema.yaml"
        schema.write_text(f"name: x\ninteractions: {{path: r.{suffix}}}\n{table}")
        return load_files(schema)

    return load


@pytest.mark.parametrize(
    "forms",
    [
        [COMPOSED, DECOMPOSED],
        ["u1", " u1", "u1 ", "\tu1"],
        ["u1", "u1\u00a0", "\u2003u1"],
        ["u1", "\u200bu1", "u1\ufeff", "u1\u2060 "],
    ],
)
def test_forms_of_one_id_are_one_user_and_counted(load, forms):
    dataset, report = load([*forms, "other"])
    assert dataset.num_users == 2
    assert set(dataset.user_tokens) == {forms[0], "other"}
    (note,) = report.notes
    assert f"r.csv: column 'user': {len(forms) - 1} ids had blanks or invisible marks" in note


def test_ids_that_only_look_alike_are_refused_and_not_joined(load):
    with pytest.raises(DataError) as caught:
        load(["ann\u200blee", "annlee"])
    assert "expected ids that can be told apart" in str(caught.value)
    assert "'ann\\u200blee'" in str(caught.value)
    # Alone such a character is part of a name, as in Persian.
    assert load(["ann\u200clee", "bob"])[0].user_tokens == ("ann\u200clee", "bob")


@pytest.mark.parametrize("character", ["\n", "\r", "\x00", "\x1b", "\x0b"])
def test_line_breaks_in_ids_are_refused_when_they_are_read(load, character):
    with pytest.raises(DataError) as caught:
        load(["u0", f"u{character}1"])
    assert "r.csv: line 3, column 'user': expected an id without line breaks" in str(caught.value)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085"])
def test_other_separators_of_unicode_may_be_part_of_an_id(load, character):
    assert load([f"a{character}b", "c"])[0].user_tokens == (f"a{character}b", "c")


def test_line_breaks_in_a_private_value_are_refused_too(load, tmp_path):
    (tmp_path / "u.csv").write_text('user,town\na,"New\nYork"\nb,Rome\n')
    table = "users: {path: u.csv, id: user, columns: {town: {kind: categorical}}}\n"
    with pytest.raises(DataError, match=r"u\.csv: line 2, column 'town': expected a value without"):
        load(["a", "b"], table=table)


def test_whole_numbers_that_became_floats_are_read_as_they_were(load, tmp_path):
    (tmp_path / "u.csv").write_text("user,town\n1,Rome\n2,Oslo\n")
    table = "users: {path: u.csv, id: user, columns: {town: {kind: categorical}}}\n"
    dataset, report = load(["1.0", "2.0", "1.0"], table=table)
    assert dataset.user_tokens == ("1", "2")
    assert [note for note in report.notes if "made 7.0 of" in note]
    # One that is no whole number shows that they are names.
    assert load(["1.0", "2.5"])[0].user_tokens == ("1.0", "2.5")
    with pytest.raises(DataError, match="at most 15 digits"):
        load(["12345678901234567.0"])


def test_parquet_ids_of_other_types(load):
    pa = pytest.importorskip("pyarrow")
    for users, kind, expected in (
        ([b"u1", b"u2"], pa.binary(), ("u1", "u2")),
        ([1.0, 2.0], pa.float64(), ("1", "2")),
        ([decimal.Decimal("1.00"), decimal.Decimal("2.00")], pa.decimal128(9, 2), ("1", "2")),
        ([7, 8], pa.uint8(), ("7", "8")),
        (["a", "b"], pa.dictionary(pa.int8(), pa.string()), ("a", "b")),
        (["a", "b"], pa.large_string(), ("a", "b")),
    ):
        assert load(users, kind)[0].user_tokens == expected


def test_parquet_ids_that_are_none(load):
    pa = pytest.importorskip("pyarrow")
    day = datetime.date(2024, 5, 31)
    for users, kind, message in (
        ([{"a": "u1"}], pa.struct({"a": pa.string()}), "received struct<a: string>"),
        ([[("k", "v")]], pa.map_(pa.string(), pa.string()), "received map<string, string"),
        ([[["u1"]]], pa.list_(pa.list_(pa.string())), "expected texts, numbers or times"),
        ([["u1"]], pa.list_(pa.string()), "row 1, column 'user': expected one value"),
        ([b"u1", b"\xff"], pa.binary(), "row 2, column 'user': expected bytes that are UTF-8"),
        ([b"0123456789abcdef"], pa.binary(16), "received fixed_size_binary"),
        ([decimal.Decimal("1.50")], pa.decimal128(9, 2), "received decimal128(9, 2)"),
        ([1.5, 2.0], pa.float32(), "expected ids as text or whole numbers, received float"),
        ([1e15 + 1], pa.float64(), "at most 15 digits"),
        ([True, False], pa.bool_(), "received bool"),
        ([day], pa.date32(), "received date32"),
        ([datetime.timedelta(1)], pa.duration("s"), "received duration"),
        ([None], pa.null(), "row 1, column 'user': expected an id"),
    ):
        with pytest.raises(DataError) as caught:
            load(users, kind)
        assert message in str(caught.value), kind


def _in_memory(users, columns=(), **extra):
    interactions = pd.DataFrame({"user": users, "item": range(len(users))}).assign(
        timestamp=np.arange(len(users))
    )
    frame = pd.DataFrame({"user": list(dict.fromkeys(users)), **extra}) if extra else None
    return build_dataset(
        name="x", schema=FeatureSchema("x", columns), interactions=interactions, users=frame
    )


def test_ids_in_memory_are_read_alike():
    assert _in_memory([b"u1", "u1 ", COMPOSED, DECOMPOSED]).user_tokens == ("Jürgen", "u1")
    assert _in_memory([np.int64(3), 4]).user_tokens == ("3", "4")
    for wrong in ([("a", "b")], [{"a": 1}], [decimal.Decimal("0.00")], [True], [b"\xff"]):
        with pytest.raises(DataError, match=r"row 0 .*expected text or whole numbers as ids"):
            _in_memory(wrong)
    for wrong in (["a\nb"], ["  "], ["\u200b"]):
        with pytest.raises(DataError, match="expected an id without line breaks"):
            _in_memory(wrong)
    with pytest.raises(DataError, match="can be told apart"):
        _in_memory(["ann\u200blee", "annlee"])
    town = Column("town", "user", Side.FEDERATED, Kind.CATEGORICAL)
    with pytest.raises(DataError, match=r"column 'town': expected values without line breaks"):
        _in_memory(["a"], (town,), town=["New\nYork"])


def test_times_that_put_nothing_in_order_are_told(tmp_path):
    lines = ["a,1,7", "a,2,7", "b,1,5", "b,2,6"]
    (tmp_path / "r.csv").write_text("\n".join(["user,item,timestamp", *lines]))
    (tmp_path / "schema.yaml").write_text("name: x\ninteractions: {path: r.csv}\n")
    (note,) = load_files(tmp_path / "schema.yaml")[1].notes
    assert "1 user has one time for all their interactions" in note
    lines = ["a,1,1700000000", "a,2,0", "b,1,0", "b,2,1700000005"]
    (tmp_path / "r.csv").write_text("\n".join(["user,item,timestamp", *lines]))
    (note,) = load_files(tmp_path / "schema.yaml")[1].notes
    assert "2 rows have the time 0 (1970)" in note
