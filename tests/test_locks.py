"""Locks, also on file systems that have none."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloud.registry import Registry
from ecct_tf import owner_files
from ecct_tf.errors import RunFolderError, StorageError
from ecct_tf.locks import FileLock, exclusive, new_folder, passing

BUSY = RunFolderError("busy")

WITHOUT_FLOCK = """
import errno, fcntl, os, pathlib, sys, time
def flock(descriptor, operation):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
fcntl.flock = flock
from ecct_tf.locks import exclusive
with exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def no_flock(request, monkeypatch):
    def flock(descriptor, operation):
        del descriptor, operation
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.fixture
def short(monkeypatch):
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(owner_files, "_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(owner_files, "_PATIENCE_SECONDS", 0.1)


@pytest.mark.usefixtures("no_flock")
def test_without_locks_a_file_keeps_others_out_and_a_warning_says_so(tmp_path, caplog):
    path = tmp_path / "new" / "lock"
    with exclusive(path, busy=BUSY):
        assert json.loads((path.parent / "lock.owner").read_text())["pid"] == os.getpid()
        assert "the file system has no locks" in caplog.text
        with pytest.raises(RunFolderError, match="busy"), exclusive(path, busy=BUSY):
            pytest.fail("two hold the lock")
    assert [file.name for file in path.parent.iterdir()] == ["lock"]
    with exclusive(path, busy=BUSY):
        pass


@pytest.mark.usefixtures("no_flock")
def test_a_killed_owner_is_replaced(tmp_path):
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_FLOCK, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunFolderError, match="busy"), exclusive(path, busy=BUSY):
            pytest.fail("two hold the lock")
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / "lock.owner").exists()
    with exclusive(path, busy=BUSY):
        assert json.loads((tmp_path / "lock.owner").read_text())["pid"] == os.getpid()
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"boot": "another"}, True),
        # The number is another process's by now.
        ({"started": "1"}, True),
        ({}, False),
    ],
)
def test_whether_an_owner_is_gone(changes, gone, tmp_path):
    path = tmp_path / "lock"
    with exclusive(path):
        text = (tmp_path / "lock.owner").read_text()
    (tmp_path / "lock.owner").write_text(json.dumps({**json.loads(text), **changes}))
    lock = FileLock(path)
    assert lock.acquire(wait=False) is gone
    lock.release()


@pytest.mark.usefixtures("no_flock", "short")
@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("owner", ["another machine", "", "{"])
def test_who_cannot_be_known_is_named_with_the_way_out(owner, wait, tmp_path):
    path = tmp_path / "lock"
    with exclusive(path):
        text = (tmp_path / "lock.owner").read_text()
    if owner == "another machine":
        owner = json.dumps({**json.loads(text), "host": "elsewhere", "pid": 12})
    (tmp_path / "lock.owner").write_text(owner)
    named = "process 12 on elsewhere" if "elsewhere" in owner else "nobody that can be read"
    with pytest.raises(StorageError, match=rf"lock\.owner: held by {named}\. .* remove .*owner\*"):
        FileLock(path).acquire(wait=wait)


@pytest.mark.usefixtures("no_flock")
def test_a_new_folder_is_locked_from_its_birth_also_without_locks(tmp_path):
    path = tmp_path / "run"
    with (
        new_folder(path, lambda _: None, lock_name=".lock", taken=BUSY),
        pytest.raises(RunFolderError, match="busy"),
        exclusive(path / ".lock", busy=BUSY),
    ):
        pytest.fail("two hold the lock")
    with exclusive(path / ".lock", busy=BUSY):
        pass
    assert [file.name for file in path.iterdir()] == [".lock"]
    with (
        pytest.raises(RunFolderError, match="busy"),
        new_folder(path, lambda _: None, lock_name=".lock", taken=BUSY),
    ):
        pytest.fail("the folder was there")
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_a_passing_lock_lets_one_in_and_leaves_no_file(tmp_path):
    path, inside, start = tmp_path / "new" / "lock", [], threading.Barrier(4)

    def work(_):
        start.wait()
        for _ in range(50):
            with passing(path):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert list(path.parent.iterdir()) == []


@pytest.mark.usefixtures("no_flock")
def test_of_many_that_replace_one_owner_each_holds_it_alone(tmp_path):
    path = tmp_path / "lock"
    with exclusive(path):
        text = (tmp_path / "lock.owner").read_text()
    (tmp_path / "lock.owner").write_text(json.dumps({**json.loads(text), "boot": "another"}))
    inside, most, times = [0], [0], [0]

    def work():
        for _ in range(3):
            with exclusive(path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                times[0] += 1
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], times[0]) == (1, 12)
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


@pytest.mark.usefixtures("no_flock")
def test_a_registry_works_without_locks(tmp_path):
    registry = Registry(tmp_path / "registry")
    for number in (1, 2):
        with registry.draft(name="job") as draft:
            (draft.path / "saved_model").mkdir(exist_ok=True)
            (draft.path / "saved_model" / "saved_model.pb").write_text("x")
            draft.commit()
        registry.promote(number, expected=number - 1 or None)
    with registry.draft(name="open"):
        assert registry.gc(keep=1, draft_hours=0).drafts == ()
    assert registry.gc(keep=1, draft_hours=0).drafts == ("open",)
    assert not list(registry.path.rglob("*.owner*"))


@pytest.mark.usefixtures("no_flock")
def test_looking_at_an_abandoned_draft_does_not_keep_it(tmp_path):
    registry = Registry(tmp_path / "registry")
    with registry.draft(name="old") as draft:
        (draft.path / "x").write_text("x")
    old = 1_000_000_000
    for path in (*draft.path.parent.rglob("*"), draft.path.parent):
        os.utime(path, (old, old))
    assert registry.gc(draft_hours=24).drafts == ("old",)


def test_other_errors_of_the_kernel_name_the_file(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        del descriptor, operation
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output") as raised:
        FileLock(tmp_path / "lock").acquire(wait=True)
    assert raised.value.filename == str(tmp_path / "lock")
