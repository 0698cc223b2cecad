"""What a job takes of its log: no device decides what the present is for the others."""

import dataclasses

import numpy as np
import pytest

from cloud.array_files import read_arrays, write_arrays
from cloud.registry import Registry
from cloud.retraining import log_reading, retrain
from cloud.retraining.log_reading import WINDOW
from cloud.retraining.preparation import prepare
from cloud.uplink_log import ReplayWindow, UplinkLogWriter, log_files
from cloud.uplink_log.framing import read_frames
from ecct_tf.errors import RegistryError
from ecct_tf.wire import UplinkRecord


def begun(config, folder):
    """What a job would work with; nothing is trained."""
    return prepare(config, folder, is_chief=True, show=False)


def records(folder):
    """All records of a log."""
    found = []
    for file in log_files(folder / "log"):
        block = (folder / "log" / file.name).read_bytes()
        found += map(UplinkRecord.from_bytes, read_frames(block, final=True).contents)
    return found


def append(folder, *changed):
    UplinkLogWriter(folder / "log").append(changed)


@pytest.mark.parametrize("claimed", [1, 1000, 2**31 - 1])
def test_a_far_round_ages_nobody_and_opens_no_window(claimed, jobs, tmp_path):
    jobs.write_log(tmp_path, range(20))
    honest = records(tmp_path)[0]
    append(tmp_path, dataclasses.replace(honest, round_number=claimed))
    prepared = begun(jobs.small_job(tmp_path), tmp_path / "job")
    assert prepared.inputs.round_number == 0
    assert prepared.inputs.uplinks["rejected"] == {"future_round": 1}
    trust = prepared.knowledge.trust(round_number=0, half_life=5.0)
    np.testing.assert_array_equal(trust, [1.0] * 20 + [0.0] * 4)
    assert prepared.window["newest"].max() == 0


def test_the_present_is_what_was_asked_not_what_was_answered(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20), round_number=3)
    jobs.write_log(tmp_path, [], round_number=6)
    prepared = begun(jobs.small_job(tmp_path), tmp_path / "job")
    assert prepared.inputs.round_number == 6
    trust = prepared.knowledge.trust(round_number=6, half_life=3.0)
    np.testing.assert_array_equal(trust, [0.5] * 20 + [0.0] * 4)


def test_a_declared_round_counts_where_nobody_notes_them(jobs, tmp_path):
    jobs.write_log(tmp_path, range(4), round_number=9)
    for path in (tmp_path / "log" / "asked").iterdir():
        path.unlink()
    prepared = begun(jobs.small_job(tmp_path, uplink_log__newest_round=9), tmp_path / "job")
    assert prepared.inputs.uplinks["read"] == 4
    assert prepared.inputs.round_number == 9


def test_a_clock_that_is_far_off_is_refused(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20))
    honest = records(tmp_path)[0]
    append(
        tmp_path,
        dataclasses.replace(honest, created_at_seconds=253_402_300_799),
        dataclasses.replace(honest, created_at_seconds=0),
    )
    prepared = begun(jobs.small_job(tmp_path), tmp_path / "job")
    assert prepared.inputs.uplinks["rejected"] == {"future_round": 1, "future_time": 1}


def test_a_version_that_heard_of_a_far_round_is_healed(jobs, tmp_path):
    """One that was promoted before rounds were checked: the next job does without it."""
    config = jobs.small_job(tmp_path, cloud__update_epochs=0, cloud__fit_epochs=0)
    jobs.write_log(tmp_path, range(20))
    far = dataclasses.replace(config.uplink_log, newest_round=2**31 - 1)
    append(tmp_path, dataclasses.replace(records(tmp_path)[5], round_number=2**31 - 1))
    assert retrain(dataclasses.replace(config, uplink_log=far), tmp_path / "1", show=False)
    poisoned = read_arrays(tmp_path / "1" / "replay_window.npz")
    assert poisoned["newest"].max() == 2**31 - 1
    jobs.write_log(tmp_path, range(20), round_number=1, cloud_version=1)
    prepared = begun(config, tmp_path / "2")
    assert prepared.inputs.round_number == 1
    assert prepared.inputs.uplinks["read"] == 20
    assert prepared.inputs.uplinks["rejected"] == {}
    assert prepared.window["newest"].max() == 1


@pytest.mark.parametrize("most", [1, 2])
def test_names_of_very_many_files_are_beside_the_manifest(tmp_path, monkeypatch, most):
    monkeypatch.setattr(log_reading, "_FILES_IN_MANIFEST", most)
    files = [
        {"name": f"date=2026-11-29/{name}.tfrecord", "size_bytes": 7, "sha256": name * 64}
        for name in "ab"
    ]
    registry = Registry(tmp_path / "registry")
    with registry.draft() as draft:
        write_arrays(draft.path / WINDOW, ReplayWindow(3).to_arrays())
        summary = log_reading.write_files_read(draft.path, {"read": 5, "files": files})
        version = draft.commit(data={"uplinks": summary})
    assert ("date=2026" in (version.path / "manifest.json").read_text()) is (most == 2)
    consumed, _ = log_reading.read_before(version, num_users=3, newest_round=0)
    assert [file.as_dict() for file in consumed] == files
    if most == 1:
        (version.path / "uplink_files.json").unlink()
        with pytest.raises(RegistryError, match=r"uplink_files\.json: expected the files of the"):
            log_reading.read_before(version, num_users=3, newest_round=0)
