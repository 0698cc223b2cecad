"""Checkpoints: whole or noticed, and the newest whole one serves."""

import logging
import os

import numpy as np
import pytest

from ecct_tf.errors import CheckpointError
from ecct_tf.fixed_arrays import FixedArray
from ecct_tf.simulation import checkpoints
from ecct_tf.simulation.checkpoints import CheckpointStore
from ecct_tf.touched_rows import TouchedRows


def arrays(value):
    return {"a/b": np.full((2, 3), value, np.float32), "rounds": np.array(value, np.int64)}


@pytest.fixture
def store(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for round_number in (1, 2, 3):
        store.save(round_number, arrays(round_number), fingerprint="f00d")
    return store


def test_the_newest_comes_back_as_it_was_and_old_ones_go(store, tmp_path):
    found = store.newest()
    assert (found.round_number, found.fingerprint) == (3, "f00d")
    assert set(found.arrays) == {"a/b", "rounds"}
    np.testing.assert_array_equal(found.arrays["a/b"], np.full((2, 3), 3, np.float32))
    assert found.arrays["a/b"].dtype == np.float32
    assert [path.name[:12] for path in sorted(tmp_path.iterdir())] == [
        "round-000002",
        "round-000003",
    ]


def test_equal_states_make_equal_files(tmp_path):
    names = [
        CheckpointStore(tmp_path / folder).save(1, arrays(7), fingerprint="f").name
        for folder in ("one", "two")
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_newest_one_is_passed_over_and_said(store, tmp_path, caplog, damage):
    newest = sorted(tmp_path.iterdir())[-1]
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    newest.write_bytes(bytes(content[: {"cut": 100, "empty": 0, "flip": None}[damage]]))
    with caplog.at_level(logging.WARNING):
        assert store.newest().round_number == 2
    assert newest.name in caplog.text
    assert "damaged" in caplog.text


def test_when_all_are_damaged_it_refuses(store, tmp_path):
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"all checkpoints are damaged.*round-000003"):
        store.newest()


def test_an_empty_folder_has_none_and_leftovers_do_not_count(tmp_path):
    store = CheckpointStore(tmp_path / "none")
    assert store.newest() is None
    (tmp_path / ".round-000009-0123456789abcdef.npz.part").write_bytes(b"half")
    (tmp_path / "round-9.npz").write_bytes(b"foreign")
    assert CheckpointStore(tmp_path).newest() is None


def few_rows(value):
    rows = TouchedRows(np.zeros(3, np.float32), length=5000)
    return rows.with_rows(np.array([7, 2]), np.full((2, 3), value, np.float32))


def test_of_few_written_rows_no_more_is_stored(tmp_path):
    store = CheckpointStore(tmp_path)
    path = store.save(1, {"rows": few_rows(2.0)}, fingerprint="f")
    assert path.stat().st_size < 5000
    (found,) = store.newest().arrays.values()
    assert isinstance(found, TouchedRows)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(few_rows(2.0)))


def test_the_first_format_is_still_read(store, monkeypatch):
    monkeypatch.setattr(checkpoints, "_FORMAT", 1)
    store.save(4, arrays(4), fingerprint="f00d")
    assert store.newest().round_number == 4
    monkeypatch.setattr(checkpoints, "_FORMAT", 9)
    store.save(5, arrays(5), fingerprint="f00d")
    with pytest.raises(CheckpointError, match="expected checkpoint format 1 or 2 or 3, found 9"):
        store.newest()


@pytest.mark.parametrize("kind", ["a folder", "a link to nowhere", "a pipe"])
def test_what_stands_in_the_place_of_the_newest_is_passed_over(store, tmp_path, kind):
    newest = max(tmp_path.glob("round-000003-*.npz"))
    newest.unlink()
    if kind == "a folder":
        newest.mkdir()
    elif kind == "a pipe":
        os.mkfifo(newest)
    else:
        newest.symlink_to(tmp_path / "nowhere")
    assert store.newest().round_number == 2


def test_settings_are_kept_and_are_no_part_of_the_state(tmp_path):
    store = CheckpointStore(tmp_path, settings="seed: 0  # ä")
    store.save(1, arrays(1), fingerprint="f")
    found = CheckpointStore(tmp_path).newest()
    assert found.settings == "seed: 0  # ä"
    assert set(found.arrays) == set(arrays(1))


@pytest.fixture
def fixed():
    made = []

    def parts():
        made.append(1)
        yield from (np.full((2, 3), 1, np.float32), np.full((1, 3), 2, np.float32))

    return FixedArray("same-0123", (3, 3), np.dtype(np.float32), parts), made


def test_what_stays_the_same_is_made_and_written_once(tmp_path, fixed):
    array, made = fixed
    store = CheckpointStore(tmp_path, keep=1)
    for number in (1, 2):
        store.save(number, {"known": array}, fingerprint="f")
    assert len(made) == 1
    (path,) = tmp_path.glob("fixed-*.npy")
    np.testing.assert_array_equal(np.load(path), [[1.0] * 3, [1.0] * 3, [2.0] * 3])
    found = np.asarray(CheckpointStore(tmp_path).newest().arrays["known"])
    np.testing.assert_array_equal(found, np.asarray(array))


def test_a_damaged_fixed_file_is_named_with_the_way_out(tmp_path, fixed):
    store = CheckpointStore(tmp_path)
    store.save(1, {"known": fixed[0]}, fingerprint="f")
    (path,) = tmp_path.glob("fixed-*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    known = store.newest().arrays["known"]
    with pytest.raises(CheckpointError, match=r"fixed-same-0123\.npy is damaged.*resume it"):
        np.asarray(known)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"fixed-same-0123\.npy: cannot read it"):
        np.asarray(store.newest().arrays["known"])
    # As a run that is resumed does.
    CheckpointStore(tmp_path).save(2, {"known": fixed[0]}, fingerprint="f")
    newest = store.newest()
    assert newest.round_number == 2
    assert np.asarray(newest.arrays["known"]).sum() == 12.0
