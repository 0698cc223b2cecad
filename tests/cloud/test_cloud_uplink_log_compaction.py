"""Small files of the log become few, with the same records in the same order."""

import numpy as np
import pytest
from click.testing import CliRunner

from cloud.registry import Registry
from cloud.uplink_log import (
    ForgetNote,
    ForgetNotes,
    UplinkLogWriter,
    compact,
    compaction,
    holding,
    list_log,
    look_in_log,
    reading_log,
)
from ecct_tf.cli import cli
from ecct_tf.errors import DataError, StorageError


@pytest.fixture
def log(tmp_path, uplinks):
    """Nine files of one record each, on two days."""
    writer = UplinkLogWriter(tmp_path / "log")
    for user in range(9):
        at = uplinks.day * (1 if user < 6 else 2) + user
        writer.append([uplinks(user, 1, at=at)])
    return tmp_path / "log"


def _names(log):
    return [file.name for file in list_log(log)[0]]


def _users(log, uplinks):
    batches, quarantine = uplinks.read(log)
    assert quarantine.counts() == {}
    return [user for user, _ in uplinks.keys(batches)]


def test_they_are_joined_day_by_day_and_nothing_else_changes(log, uplinks):
    before = _users(log, uplinks)
    done = compact(log, kept=tuple)
    assert (done.joined, done.damaged) == (9, ())
    assert [name.split("/")[0] for name in _names(log)] == ["date=1970-01-02", "date=1970-01-03"]
    assert _names(log) == sorted(done.files)
    assert _users(log, uplinks) == before == [*range(9)]
    assert not [*log.rglob(".*.joined")]
    # What was joined is small still, and alone.
    assert compact(log, kept=tuple).joined == 0
    UplinkLogWriter(log).append([uplinks(9, 1, at=2 * uplinks.day + 9)])
    assert compact(log, kept=tuple).joined == 2
    assert _users(log, uplinks) == [*range(10)]


def test_files_that_somebody_refers_to_and_others_stay(log, uplinks):
    names = _names(log)
    UplinkLogWriter(log).append([uplinks(20, 1)], name="round-3")
    torn = log / names[4]
    torn.write_bytes(torn.read_bytes()[:-3])
    done = compact(log, kept=lambda: {names[2]})
    assert done.joined == 2 + 3
    assert done.damaged == (names[4],)
    left = _names(log)
    for kept in (names[2], names[3], names[4], names[5], "date=1970-01-02/round-3.tfrecord"):
        assert kept in left
    assert len(left) == 7


def test_large_files_stay_and_joined_ones_are_bounded(log, uplinks):
    (size,) = {path.stat().st_size for path in log.glob("*/*.tfrecord")}
    assert compact(log, kept=tuple, small_bytes=size - 1).joined == 0
    done = compact(log, kept=tuple, joined_bytes=2 * size)
    assert (done.joined, len(done.files)) == (8, 4)
    assert _users(log, uplinks) == [*range(9)]


@pytest.mark.parametrize("after", ["the list", "the joined file", "the first removal"])
def test_a_kill_at_any_time_loses_nothing_and_shows_nothing_twice(log, uplinks, monkeypatch, after):
    class Killed(BaseException):
        pass

    write, calls = compaction.write_atomically, []

    def once(path, *arguments, **others):
        calls.append(path)
        if after == "the list" and len(calls) == 2:
            raise Killed
        write(path, *arguments, **others)

    monkeypatch.setattr(compaction, "write_atomically", once)
    finish = compaction._finish

    def half(day):
        if calls and after == "the joined file":
            raise Killed
        if calls:
            (day / sorted(compaction.superseded(day))[0]).unlink()
            raise Killed
        finish(day)

    monkeypatch.setattr(compaction, "_finish", half)
    with pytest.raises(Killed):
        compact(log, kept=tuple)
    monkeypatch.undo()
    assert _users(log, uplinks) == [*range(9)]
    # Whoever is to be erased is found in what is left over, too.
    copies = sum(look_in_log(log, [3]).records.values())
    assert copies == (1 if after == "the list" else 2)
    compact(log, kept=tuple)
    assert len(_names(log)) == 2
    assert _users(log, uplinks) == [*range(9)]
    assert sum(look_in_log(log, [3]).records.values()) == 1


def test_the_command_keeps_what_versions_and_notes_name_and_waits_for_jobs(
    log, tmp_path, uplinks, monkeypatch
):
    names, registry = _names(log), Registry(tmp_path / "registry")
    with registry.draft() as draft:
        (draft.path / "saved_model").mkdir()
        (draft.path / "saved_model" / "saved_model.pb").write_text("model")
        read = {"name": names[2], "size_bytes": 1, "sha256": "0"}
        draft.commit(data={"uplinks": {"files": [read]}})
    note = ForgetNote((1,), (), None, scope=(names[7],), answers=np.zeros((0, 2), np.int64))
    ForgetNotes(registry.forgotten_path).add(note)
    job = tmp_path / "job.yaml"
    job.write_text(f"registry: {registry.path}\nuplinks: {log}\n")
    command = ["cloud", "log", "compact", "--config", str(job)]
    monkeypatch.setattr(holding, "CHANGE_WAIT_SECONDS", 0.0)
    with reading_log(log):
        assert isinstance(CliRunner().invoke(cli, command).exception, StorageError)
    assert _names(log) == names
    done = CliRunner().invoke(cli, command)
    assert done.output == "Joined: 5 files into 2\n"
    left = _names(log)
    assert {names[2], names[6], names[7], names[8]} < set(left)
    assert len(left) == 6
    assert _users(log, uplinks) == [*range(9)]


def test_what_is_not_there_is_not_taken_for_empty(log, tmp_path):
    with pytest.raises(DataError, match="there is none at"):
        compact(tmp_path / "lag", kept=tuple)
    job, before = tmp_path / "job.yaml", _names(log)
    job.write_text(f"registry: {tmp_path / 'registri'}\nuplinks: {log}\n")
    done = CliRunner().invoke(cli, ["cloud", "log", "compact", "--config", str(job)])
    assert done.exit_code == 2
    assert f"expected the registry of the job at {tmp_path / 'registri'}" in done.output
    assert _names(log) == before
