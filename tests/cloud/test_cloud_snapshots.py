"""Snapshots of a cloud: what did not change since the last one is there once."""

import gc
import weakref

import numpy as np
import pytest

from cloud import snapshots
from cloud.snapshots import LastSnapshot

ITEMS = "model/item_embedding/embeddings:0"


def test_large_arrays_that_did_not_change_are_shared_and_cannot_be_written_to():
    rows, last = np.arange(1 << 18, dtype=np.float32), LastSnapshot()
    first = last.shared_with({"items": rows.copy(), "few": rows[:4].copy()})
    second = last.shared_with({"items": rows.copy(), "few": rows[:4].copy()})
    assert second["items"] is first["items"]
    assert second["few"] is not first["few"]
    with pytest.raises(ValueError, match="read-only"):
        second["items"][0] = 1.0
    second["few"][0] = 1.0

    learned = rows.copy()
    learned[-1] += 1.0
    third = last.shared_with({"items": learned})
    assert third["items"] is learned
    np.testing.assert_array_equal(second["items"], rows)


def test_an_array_of_another_shape_is_not_taken_for_the_same():
    rows, last = np.zeros((1 << 9, 1 << 9), np.float32), LastSnapshot()
    first = last.shared_with({"items": rows})
    found = last.shared_with({"items": rows.copy().reshape(1 << 8, 1 << 10)})
    assert found["items"].shape == (1 << 8, 1 << 10)
    assert first["items"].shape == (1 << 9, 1 << 9)


def test_snapshots_of_a_run_share_the_item_side_and_a_cloud_keeps_none_alive(
    make_cloud, knowledge, monkeypatch
):
    monkeypatch.setattr(snapshots, "_SHARED_BYTES", 64)
    cloud = make_cloud()
    cloud.publish()
    before = cloud.snapshot()
    cloud.update(knowledge, round_number=3, use_logits=True)
    after = cloud.snapshot()
    same = {name for name in before if after[name] is before[name]}
    assert {ITEMS, "model/item_linear/kernel:0"} <= same
    assert "model/user_linear/kernel:0" not in same
    kept = weakref.ref(before[ITEMS])
    del before, after
    gc.collect()
    assert kept() is None
