"""Checkpoints: whole or noticed, and the newest whole one serves."""

import logging

import numpy as np
import pytest

from ecct_tf.errors import CheckpointError
from ecct_tf.simulation.checkpoints import CheckpointStore


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
