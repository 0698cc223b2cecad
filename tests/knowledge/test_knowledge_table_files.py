"""The item table crosses in a file as it crosses in a simulation."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import table_names
from ecct_tf.errors import CodecError
from ecct_tf.knowledge import Block, ItemTable
from ecct_tf.knowledge.table_files import item_table_file, read_item_table_file, transmit
from ecct_tf.wire import ItemTableFile, Section


@pytest.fixture
def table():
    rng = np.random.default_rng(0)

    def rows(width):
        return rng.normal(size=(6, width)).astype(np.float32)

    genres = rows(3)
    return ItemTable(
        blocks=(Block("é", rows(4), rows(4)), Block("category", genres, genres)),
        attributes=rows(2),
        cloud=rows(5),
        bias=rows(1)[:, 0],
        feature_mean=np.array([0.5, 1], np.float32),
        feature_scale=np.array([2, 4], np.float32),
        logit_mean=0.25,
        logit_scale=0.5,
    )


@pytest.mark.parametrize("codec", ["float32", "float16", "int8"])
def test_a_device_reads_what_the_simulation_transmits(table, codec):
    content = item_table_file(table, codec).to_bytes()
    read = read_item_table_file(ItemTableFile.from_bytes(content))
    expected = table.transmitted(codec)
    for one, other in zip(read.blocks, expected.blocks, strict=True):
        assert (one.name, one.is_symmetric) == (other.name, other.is_symmetric)
        np.testing.assert_array_equal(one.source, other.source)
        np.testing.assert_array_equal(one.target, other.target)
    for name in ("attributes", "cloud", "bias", "feature_mean", "feature_scale"):
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))
    assert (read.logit_mean, read.logit_scale) == (0.25, 0.5)
    # What is accounted for, the padding row, and the layout.
    file = item_table_file(table, codec)
    row_bytes = file.rows.dtype.itemsize
    assert row_bytes * table.num_items + 4 * (2 * 2 + 2) == table.encoded_bytes(codec)
    assert len(content) == len(file.head()) + 6 * row_bytes + 32


@pytest.mark.parametrize(
    ("codec", "whole", "largest", "told"),
    [
        ("int8", True, 5, "compact"),
        ("int8", True, 4, "fine"),
        ("my_codecs:signs", True, 5, "compact"),
        ("float16", True, 5, ""),
        ("int8", False, 4, ""),
        ("my_codecs:signs", False, 4, "int8"),
    ],
)
def test_the_form_suits_catalog_and_codec(table, codec, whole, largest, told, monkeypatch):
    assert table.num_items == 5
    monkeypatch.setattr(table_names, "LARGE_CATALOG", largest)
    found = transmit(table, "auto", codec, whole=whole)
    named = transmit(table, told or codec, codec, whole=whole)
    assert (found.table.form, found.num_bytes) == (told, named.num_bytes)
    np.testing.assert_array_equal(found.table.cloud, named.table.cloud)


def test_sections_that_make_no_table_are_refused(table):
    file = item_table_file(table, "int8")
    sections = (dataclasses.replace(file.sections[0], kind="target"), *file.sections[1:])
    with pytest.raises(CodecError, match="pairs of source and target"):
        read_item_table_file(dataclasses.replace(file, sections=sections))
    with pytest.raises(CodecError, match="kind"):
        Section("other", "", 1)
