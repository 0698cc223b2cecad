"""The files of a log stay while somebody reads it, and whoever changes them is alone."""

import contextlib
import errno
import json
import os
import threading

import numpy as np
import pytest

from cloud.erasing import FoundUser, Places, erase
from cloud.registry import Registry
from cloud.retraining import forget_request, job, retrain
from cloud.uplink_log import (
    UplinkLogWriter,
    changing_log,
    compact,
    compaction,
    holding,
    list_log,
    look_in_log,
    reading_log,
)
from ecct_tf.errors import DataError, RunFolderError, StorageError
from ecct_tf.locks import FileLock

USERS = 4


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nobody waits for a lock."""
    monkeypatch.setattr(holding, "CHANGE_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(holding, "READ_WAIT_SECONDS", 0.0)


@pytest.fixture
def log(tmp_path, uplinks):
    """A file for each of four users, on two days."""
    return _write(tmp_path / "log", uplinks)


def _write(folder, uplinks):
    writer = UplinkLogWriter(folder)
    for user in range(USERS):
        writer.append([uplinks(user, 1, at=uplinks.day * (1 if user < 2 else 2) + user)])
    return folder


def _users(log, uplinks):
    batches, quarantine = uplinks.read(log)
    assert quarantine.counts() == {}
    return [user for user, _ in uplinks.keys(batches)]


def test_readers_share_and_a_change_has_the_log_alone(log):
    busy = pytest.raises(StorageError, match=r"\.files\.lock: expected nobody to read")
    with reading_log(log), reading_log(log), busy:
        compact(log, kept=tuple)
    with changing_log(log):
        with pytest.raises(StorageError, match="at work in it"), reading_log(log):
            pytest.fail("it was read")
        with pytest.raises(StorageError), changing_log(log):
            pytest.fail("two change it")
    assert compact(log, kept=tuple).joined == USERS
    with reading_log(log.parent / "none"), reading_log(None):
        assert not (log.parent / "none").exists()


def test_a_reader_waits_for_the_end_of_a_change(log, monkeypatch):
    monkeypatch.setattr(holding, "READ_WAIT_SECONDS", 60.0)
    changes, ended = threading.Event(), threading.Event()

    def change():
        with changing_log(log):
            changes.set()
            ended.wait(0.3)
            ended.set()

    thread = threading.Thread(target=change)
    thread.start()
    changes.wait()
    with reading_log(log):
        assert ended.is_set()
    thread.join()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_log_that_may_not_be_written_is_read_with_a_warning(log, monkeypatch, caplog, number):
    def refuse(lock, *, shared):
        del shared
        raise OSError(number, os.strerror(number), str(lock._path))

    monkeypatch.setattr(FileLock, "_open", refuse)
    with reading_log(log):
        assert "read without a lock" in caplog.text
    with pytest.raises(OSError, match=os.strerror(number)), changing_log(log):
        pytest.fail("it was changed")


def test_what_must_stay_is_asked_for_once_nobody_reads(log):
    def kept():
        with pytest.raises(StorageError), reading_log(log):
            pytest.fail("a job began")
        return ()

    assert compact(log, kept=kept).joined == USERS


_OPERATIONS = ("replace", "unlink", "fsync")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_an_end_at_any_file_operation_loses_nothing_and_shows_nothing_twice(
    tmp_path, uplinks, failure
):
    ends = 0
    for last in range(1, 100):
        log = _write(tmp_path / f"log-{last}", uplinks)
        done = [0]
        with pytest.MonkeyPatch.context() as patch:
            for name in _OPERATIONS:
                patch.setattr(os, name, _failing(getattr(os, name), done, last, failure))
            with contextlib.suppress(KeyboardInterrupt, OSError):
                compact(log, kept=tuple)
        assert _users(log, uplinks) == [*range(USERS)]
        if done[0] < last:
            break
        ends += 1
        compact(log, kept=tuple)
        assert len(list_log(log)[0]) == 2
        assert _users(log, uplinks) == [*range(USERS)]
        assert sum(look_in_log(log, [3]).records.values()) == 1
        left = [path.name for path in log.rglob(".*") if path.name != ".files.lock"]
        assert left == []
    assert ends > 3 * len(_OPERATIONS)


def _failing(operation, done, last, failure):
    """Does its work until, and not from, the operation number `last`: nothing happens after it."""

    def call(*arguments, **others):
        done[0] += 1
        if done[0] >= last:
            raise failure
        return operation(*arguments, **others)

    return call


@pytest.mark.parametrize("damage", ["cut", "flipped", "outside", "folder", "later"])
def test_a_damaged_list_of_joined_files_is_named(log, monkeypatch, damage):
    monkeypatch.setattr(compaction, "_finish", lambda _day: None)
    compact(log, kept=tuple)
    monkeypatch.undo()
    note = sorted(log.rglob(".*.joined"))[0]
    content = note.read_bytes()
    if damage == "folder":
        note.unlink()
        note.mkdir()
    else:
        cut = content[:-5]
        name = json.loads(content)["joined"][0].encode()
        flipped = content.replace(name, name[:-1] + b"e")
        outside = compaction.seal_json({"joined": ["../b.tfrecord"]}).encode()
        later = compaction.seal_json({"files": []}).encode()
        damaged = {"cut": cut, "flipped": flipped, "outside": outside, "later": later}
        note.write_bytes(damaged[damage])
    for call in (lambda: list_log(log), lambda: compact(log, kept=tuple)):
        with pytest.raises(DataError, match=r"\.joined: expected the names .* remove it together"):
            call()


def test_a_log_stays_while_a_job_reads_it_and_until_its_version_names_it(
    jobs, tmp_path, monkeypatch
):
    for user in range(8):
        jobs.write_log(tmp_path, [user])
    log, tried = tmp_path / "log", []

    def watched(function):
        def call(*arguments, **others):
            with pytest.raises(StorageError):
                compact(log, kept=tuple)
            tried.append(function.__name__)
            return function(*arguments, **others)

        return call

    class Stopped(BaseException):
        pass

    def stop(*arguments, **others):
        del arguments, others
        raise Stopped

    monkeypatch.setattr(job, "prepare", watched(job.prepare))
    monkeypatch.setattr(job, "_train", stop)
    config = jobs.small_job(tmp_path)
    with pytest.raises(Stopped):
        retrain(config, tmp_path / "job", show=False)
    assert tried == ["prepare"]
    # The killed job has read them, which nobody knows who looks at the registry.
    assert compact(log, kept=tuple).joined == 8
    with pytest.raises(RunFolderError, match=r"8 of its files.*begin another job in a new folder"):
        retrain(config, tmp_path / "job", show=False)
    monkeypatch.undo()
    monkeypatch.setattr(holding, "CHANGE_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(job, "decide", watched(job.decide))
    retrain(config, tmp_path / "another", show=False)
    assert tried == ["prepare", "prepare", "decide"]
    (version,) = Registry(config.registry).versions()
    assert version.manifest.data["uplinks"]["read"] == 8


def test_a_note_to_forget_is_there_before_its_files_may_be_joined(jobs, tmp_path, monkeypatch):
    jobs.write_log(tmp_path, [1, 2])
    note_of = forget_request.note_of

    def note(log, *arguments, **others):
        with pytest.raises(StorageError):
            compact(log, kept=tuple)
        return note_of(log, *arguments, **others)

    monkeypatch.setattr(forget_request, "note_of", note)
    done = forget_request.request(jobs.small_job(tmp_path), users=(), files=(), since_seconds=0)
    assert done.answers == 2


def test_users_are_erased_while_nobody_joins_files(log, tmp_path):
    places = Places(registry=tmp_path / "registry", logs=(log,))
    user = FoundUser(number=3, token=None)
    with reading_log(log), pytest.raises(StorageError, match="expected nobody to read"):
        erase(places, [user])
    erase(places, [user])
    assert look_in_log(log, [3]).records == {}
    assert np.sum([*look_in_log(log, [2]).records.values()]) == 1
