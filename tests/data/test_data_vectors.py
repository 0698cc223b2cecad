"""Dense vectors of items, such as embeddings of texts: in Parquet lists, `.npy`, CSV and frames."""

import numpy as np
import pytest

from ecct_tf.data import Column, FeatureSchema, build_dataset, from_frames, load_files
from ecct_tf.errors import ConfigError, DataError

CLICKS = "user,item,timestamp\nann,tea,3\nann,cup,5\nbob,tea,1\n"
VECTORS = np.array([[0.5, -1.0, 2.25], [3.0, 0.125, 0.0]], np.float32)


@pytest.fixture
def load(tmp_path):
    """Reads a shop whose items, tea and cup, have a column `text` of vectors."""

    def load(items, column):
        (tmp_path / "clicks.csv").write_text(CLICKS)
        (tmp_path / "schema.yaml").write_text(
            "name: shop\ninteractions: {path: clicks.csv}\n"
            f"items: {{path: {items}, id: item, columns: {{text: {column}}}}}\n"
        )
        dataset, _ = load_files(tmp_path / "schema.yaml")
        return dict(zip(("", *dataset.item_tokens), dataset.item_columns[0].values, strict=True))

    return load


def _assert_read(found):
    np.testing.assert_array_equal(found["tea"], VECTORS[0])
    np.testing.assert_array_equal(found["cup"], VECTORS[1])
    np.testing.assert_array_equal(found[""], np.zeros(3, np.float32))


@pytest.mark.parametrize("fixed", [False, True])
def test_a_list_column_of_parquet_is_read(load, tmp_path, fixed):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    kind = pa.list_(pa.float32(), 3) if fixed else pa.list_(pa.float32())
    table = pa.table(
        {"item": ["tea", "cup"], "text": pa.array(VECTORS.tolist(), type=kind)},
    )
    pq.write_table(table, tmp_path / "items.parquet")
    _assert_read(load("items.parquet", "{kind: vector}"))


def test_a_numpy_file_beside_the_table_is_read(load, tmp_path):
    (tmp_path / "items.csv").write_text("item\ntea\ncup\n")
    np.save(tmp_path / "text.npy", VECTORS)
    _assert_read(load("items.csv", "{kind: vector, array: text.npy}"))


def test_numbers_in_a_cell_are_read_and_a_blank_one_is_zeros(load, tmp_path):
    (tmp_path / "items.csv").write_text("item,text\ntea,0.5|-1|2.25\ncup,\n")
    found = load("items.csv", "{kind: vector, separator: '|'}")
    np.testing.assert_array_equal(found["tea"], VECTORS[0])
    np.testing.assert_array_equal(found["cup"], np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("cell", "received"),
    [
        ("1 2", "2 numbers"),
        ("1 2 3 4", "4 numbers"),
        ("1 2 x", r"'x' at place 2 \(from 0\) of 3"),
        ("1 inf 2", r"'inf' at place 1 \(from 0\) of 3"),
    ],
)
def test_a_row_of_another_form_is_named(load, tmp_path, cell, received):
    (tmp_path / "items.csv").write_text(f"item,text\ntea,1 2 3\ncup,{cell}\n")
    with pytest.raises(DataError, match=rf"line 3.*3 numbers.*received {received}\. Fix"):
        load("items.csv", "{kind: vector}")


@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("first", [False, True])
def test_what_is_missing_within_a_list_is_named_by_its_place(load, tmp_path, missing, first):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [[1.0, missing, 3.0], [1.0, 2.0, 3.0]]
    table = pa.table({"item": ["tea", "cup"], "text": rows if first else rows[::-1]})
    pq.write_table(table, tmp_path / "items.parquet")
    told = r"expected 3 numbers.*received a missing number or NaN at place 1 \(from 0\) of 3\. Fix"
    with pytest.raises(DataError, match=f"row {1 if first else 2}.*{told}"):
        load("items.parquet", "{kind: vector}")


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (VECTORS[:1], "expected 2 rows"),
        (VECTORS[0], "of shape"),
        (np.full((2, 3), np.nan, np.float32), "not finite"),
        (np.array([["a"], ["b"]]), "of shape"),
    ],
)
def test_a_numpy_file_of_another_form_is_refused(load, tmp_path, array, told):
    (tmp_path / "items.csv").write_text("item\ntea\ncup\n")
    np.save(tmp_path / "text.npy", array)
    with pytest.raises(DataError, match=told):
        load("items.csv", "{kind: vector, array: text.npy}")


def test_a_frame_s_lists_of_fractions_are_vectors():
    items = {"item": ["tea", "cup"], "text": VECTORS.tolist(), "tags": [["a"], ["b", "c"]]}
    clicks = {"user": ["ann", "bob"], "item": ["tea", "cup"], "timestamp": [1, 2]}
    data = from_frames(clicks, items=items)
    assert {c.column.name: c.column.kind.value for c in data.item_columns} == {
        "text": "vector",
        "tags": "multi_categorical",
    }


def test_build_dataset_names_a_row_of_another_width():
    pd = pytest.importorskip("pandas")
    schema = FeatureSchema("shop", (Column("text", "item", "centralized", "vector"),))
    with pytest.raises(DataError, match=r"row 1 \(from 0\): expected 3 finite numbers"):
        build_dataset(
            name="shop",
            schema=schema,
            interactions=pd.DataFrame({"user": ["a"], "item": ["tea"], "timestamp": [1]}),
            items=pd.DataFrame({"item": ["tea", "cup"], "text": [[1.0, 2, 3], [1.0, 2]]}),
        )


def test_no_device_has_vectors():
    with pytest.raises(ConfigError, match="expected side centralized for a column of vectors"):
        Column("face", "user", "federated", "vector")
