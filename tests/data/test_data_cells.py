"""Columns of Parquet files as arrays: what they say is what the rows of a CSV file say."""

import numpy as np
import pandas as pd
import pytest

from ecct_tf.data import load_files
from ecct_tf.data._cells import CodedTexts, NumberCells, joined_cells
from ecct_tf.data._frames import as_category, frame_ids, texts_of
from ecct_tf.data._ids import canonical_ids
from ecct_tf.data._parquet_files import read_parquet
from ecct_tf.errors import DataError

pytest.importorskip("pyarrow")


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "user": rng.integers(1, 12, 200),
            "item": [f"i{number}" for number in rng.integers(1, 9, 200)],
            "timestamp": rng.integers(10**9, 2 * 10**9, 200),
            "rating": rng.integers(1, 6, 200) / 2,
        }
    )


def _schema(folder, path, *, more=""):
    text = f"""
name: shop
interactions: {{path: {path}, user: user, item: item, timestamp: timestamp, rating: rating,
  min_rating: 1.5}}
filters: {{duplicates: keep_last, min_user_interactions: 4, min_item_interactions: 3{more}}}
"""
    (folder / f"{path}.yaml").write_text(text)
    return folder / f"{path}.yaml"


def test_a_parquet_file_gives_the_data_of_a_csv_file(rows, tmp_path):
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.to_parquet(tmp_path / "a.parquet", index=False)
    parts = tmp_path / "parts"
    parts.mkdir()
    rows[:70].to_parquet(parts / "1.parquet", index=False)
    rows[70:].to_parquet(parts / "2.parquet", index=False)
    expected, report = load_files(_schema(tmp_path, "a.csv"))
    for path in ("a.parquet", "parts"):
        schema = _schema(tmp_path, path)
        if path == "parts":
            schema.write_text(
                schema.read_text().replace("min_rating", "format: parquet, min_rating")
            )
        found, told = load_files(schema)
        assert found.fingerprint() == expected.fingerprint()
        assert (told.filters, told.interactions) == (report.filters, report.interactions)
    assert report.filters[0].rows


def test_no_object_is_made_for_a_row(rows, tmp_path):
    rows.to_parquet(tmp_path / "a.parquet", index=False)
    table = read_parquet(tmp_path / "a.parquet", list(rows))
    assert {name: type(cells) for name, cells in table.columns.items()} == {
        "user": NumberCells,
        "item": CodedTexts,
        "timestamp": NumberCells,
        "rating": NumberCells,
    }
    for name, cells in table.columns.items():
        expected = [str(value) for value in rows[name].tolist()]
        assert list(cells) == cells[:] == expected
        assert [cells[row] for row in range(len(cells))] == expected


def test_missing_texts_and_numbers_are_empty(tmp_path):
    frame = pd.DataFrame({"text": ["b", None, "", "b"], "number": [1.5, None, 2.0, -0.0]})
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    table = read_parquet(tmp_path / "a.parquet", ["text", "number"])
    assert list(table.columns["text"]) == ["b", "", "", "b"]
    assert list(table.columns["number"]) == ["1.5", "", "2.0", "-0.0"]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("timestamp", [3, -1, 4], r"row 2, column 'timestamp'.*received '-1'"),
        ("timestamp", [3, 4, 253_402_300_800], r"row 3, column 'timestamp'.*'253402300800'"),
        ("item", ["a", "b", None], r"row 3, column 'item': expected an id, received ''"),
        ("item", ["a", "b\nc", "b\nc"], r"row 2, column 'item'.*2 rows are wrong"),
        ("user", [1.5, 2.0, 3.0], r"column 'user': expected ids as text or whole numbers"),
    ],
)
def test_the_row_of_a_wrong_value_is_named(tmp_path, column, values, message):
    columns = {"user": [1, 2, 3], "item": ["a", "b", "c"], "timestamp": [1, 2, 3], column: values}
    pd.DataFrame(columns).to_parquet(tmp_path / "a.parquet", index=False)
    (tmp_path / "s.yaml").write_text("name: shop\ninteractions: {path: a.parquet}")
    with pytest.raises(DataError, match=message):
        load_files(tmp_path / "s.yaml")


def test_the_last_second_of_all_is_one(tmp_path):
    last = 253_402_300_799
    columns = {"user": [1, 2], "item": ["a", "b"], "timestamp": [0, last * 1000 + 999]}
    pd.DataFrame(columns).to_parquet(tmp_path / "a.parquet", index=False)
    text = "name: shop\ninteractions: {path: a.parquet, timestamp_unit: ms}"
    (tmp_path / "s.yaml").write_text(text)
    assert load_files(tmp_path / "s.yaml")[0].timestamps.tolist() == [0, last]


def test_ids_in_one_form_are_counted_by_rows():
    cells = CodedTexts([" u1", "u1", "u2"], np.array([0, 1, 2, 0]))
    texts, notes = canonical_ids(cells)
    assert (list(texts), notes.rewritten) == (["u1", "u1", "u2", "u1"], 2)
    assert (list(canonical_ids(list(cells))[0]), notes) == (list(texts), canonical_ids([*cells])[1])
    floats, told = canonical_ids(NumberCells(np.array([7.0, 30.0, 7.0])).coded())
    assert (list(floats), told.floats) == (["7", "30", "7"], True)


def test_texts_that_stand_in_no_row_are_none():
    frame = pd.DataFrame({"user": as_category(CodedTexts(["a", "b", "c"], np.array([2, 0, 1])))})
    left = frame[frame["user"] != "a"]
    assert (texts_of(left["user"]).texts, list(texts_of(left["user"]))) == (["b", "c"], ["c", "b"])
    assert list(frame_ids(left, "user", table="interactions")) == ["c", "b"]


def test_columns_of_several_files_are_joined():
    texts = joined_cells([CodedTexts(["a", "b"], np.array([1, 0])), ["c"]])
    assert texts == ["b", "a", "c"]
    coded = joined_cells(
        [CodedTexts(["a"], np.array([0])), CodedTexts(["b", "a"], np.array([1, 0]))]
    )
    assert (list(coded), coded.texts) == (["a", "a", "b"], ["a", "b"])
    mixed = joined_cells([NumberCells(np.array([1])), NumberCells(np.array([0.5]))])
    assert list(mixed) == ["1", "0.5"]
