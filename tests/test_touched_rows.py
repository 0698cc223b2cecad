"""Arrays of which few rows were written: the same as plain ones, whatever is written to them."""

import numpy as np
import pytest

from ecct_tf import touched_rows
from ecct_tf.touched_rows import TouchedRows, parts_of, touched_of, with_rows


@pytest.mark.parametrize("block_bytes", [1, 64, 1 << 22])
def test_rows_are_those_of_a_plain_array_after_many_writes(monkeypatch, block_bytes):
    monkeypatch.setattr(touched_rows, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    default = rng.normal(size=(2, 3)).astype(np.float32)
    rows, plain, states = TouchedRows(default, length=20), np.tile(default, (20, 1, 1)), []
    for _ in range(30):
        members = rng.permutation(20)[: rng.integers(0, 7)]
        values = rng.normal(size=(len(members), 2, 3)).astype(np.float32)
        states.append((rows, plain))
        rows, plain = with_rows(rows, members, values), with_rows(plain, members, values)
    states.append((rows, plain))
    # Earlier values stay as they were.
    for found, expected in states:
        np.testing.assert_array_equal(np.asarray(found), expected)
        np.testing.assert_array_equal(np.concatenate([*parts_of(found)]), expected)
    chosen = rng.permutation(20)[:9]
    for where in (chosen, slice(3, 15, 2), plain[:, 0, 0] > 0, 7, -1, np.int64(4)):
        np.testing.assert_array_equal(rows[where], plain[where])
    assert (rows.shape, rows.dtype, len(rows)) == (plain.shape, plain.dtype, 20)


def test_what_was_written_anew_does_not_pile_up(monkeypatch):
    monkeypatch.setattr(touched_rows, "_BLOCK_BYTES", 80)
    rows = TouchedRows(np.zeros(1), length=100)
    for turn in range(50):
        rows = rows.with_rows(np.arange(10), np.full((10, 1), turn))
    assert rows.touched.tolist() == list(range(10))
    assert rows._written.count <= 2 * 10 + 10


def test_what_is_stored_comes_back():
    rows = TouchedRows(np.array([5.0]), length=4).with_rows(np.array([2, 0]), [[1.0], [2.0]])
    again = TouchedRows.stored(
        rows.default, rows=rows.touched, values=rows[rows.touched], length=len(rows)
    )
    assert np.asarray(again).ravel().tolist() == [2.0, 5.0, 1.0, 5.0]


def test_a_row_cannot_be_written_beyond_the_end():
    with pytest.raises(IndexError):
        TouchedRows(np.zeros(1), length=4).with_rows(np.array([4]), [[1.0]])


@pytest.mark.parametrize(
    ("array", "default", "touched"),
    [
        (np.array([-1, 3, -1, 0], np.int32), -1, [1, 3]),
        (np.array([False, True]), False, [1]),
        (np.array([np.nan, 0.5, np.nan], np.float32), np.nan, [1]),
    ],
)
def test_an_array_is_kept_by_what_differs(array, default, touched):
    kept = touched_of(array, default)
    assert kept.touched.tolist() == touched
    np.testing.assert_array_equal(np.asarray(kept), array)
    assert kept.dtype == array.dtype
