"""Files with the rows of some items."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import CodecError
from ecct_tf.wire import ItemTableFile, Section
from ecct_tf.wire.item_rows import ItemRows, ItemRowsFile, shared_rows

TABLE = "ab" * 32


@pytest.fixture
def table():
    values = np.arange(21, dtype=np.int8).reshape(7, 3)
    return ItemTableFile.build(
        codec="int8",
        sections=((Section("cloud", "", 3), (values, np.ones((7, 1), np.float16))),),
        bias=np.arange(7, dtype=np.float16),
        feature_mean=np.zeros(1, np.float32),
        feature_scale=np.ones(1, np.float32),
        logit_mean=0.0,
        logit_scale=1.0,
    )


@pytest.fixture
def file(table):
    own = np.array([[2, 5], [3, 0]], np.int32)
    return ItemRowsFile.build(table, table_sha256=TABLE, users=np.array([1, 4]), own=own)


def test_a_row_is_that_of_the_table(table, file):
    rows = file.of(1)
    assert rows.items.tolist() == [2, 5]
    assert rows.rows.tobytes() == table.rows[[2, 5]].tobytes()
    assert file.of(4).items.tolist() == [3]


def test_a_row_that_several_users_have_is_in_a_file_once(table):
    own = np.array([[2, 5], [2, 5]], np.int32)
    file = ItemRowsFile.build(table, table_sha256=TABLE, users=np.array([0, 1]), own=own)
    assert file.rows.items.tolist() == [2, 5]


def test_what_is_written_is_read(file):
    read = ItemRowsFile.from_bytes(file.to_bytes())
    assert read.to_bytes() == file.to_bytes()
    np.testing.assert_array_equal(read.of(4).rows, file.of(4).rows)


def test_a_device_fetches_the_rows_of_its_user_alone(file):
    own = ItemRowsFile.from_bytes(file.only(4).to_bytes())
    assert (own.users.tolist(), own.rows.items.tolist()) == ([4], [3])
    with pytest.raises(CodecError, match="none for user 1"):
        own.of(1)


def test_the_shared_file_has_the_padding_row(table):
    file = ItemRowsFile.from_bytes(shared_rows(table, [6, 2], table_sha256=TABLE).to_bytes())
    assert file.rows.items.tolist() == [0, 2, 6]


def test_shared_and_own_rows_join_each_once(table, file):
    shared = shared_rows(table, [2, 6], table_sha256=TABLE)
    both = shared.rows.joined(file.of(1))
    assert both.items.tolist() == [0, 2, 5, 6]
    assert both.rows.tobytes() == table.rows[[0, 2, 5, 6]].tobytes()


def test_rows_of_two_tables_do_not_join(file):
    other = dataclasses.replace(file.of(4), table_sha256="cd" * 32)
    with pytest.raises(CodecError, match="of one publication"):
        file.of(1).joined(other)


def test_a_damaged_file_is_refused(file):
    content = bytearray(file.to_bytes())
    content[60] ^= 1
    with pytest.raises(CodecError, match="damaged"):
        ItemRowsFile.from_bytes(bytes(content))


def test_rows_without_their_items_are_refused():
    with pytest.raises(CodecError, match="ascending"):
        ItemRows(TABLE, np.array([3, 1]), np.zeros((2, 4), np.uint8))
    rows = ItemRows(TABLE, np.array([1]), np.zeros((1, 4), np.uint8))
    with pytest.raises(CodecError, match="whose rows the file has"):
        ItemRowsFile(rows, np.array([0]), np.array([[2]]))
