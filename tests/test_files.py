"""Atomic writes and locks."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecct_tf.errors import RunFolderError
from ecct_tf.files import read_plain_text, write_atomically, write_text
from ecct_tf.locks import exclusive


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "notes.txt"
    write_text(path, "old ü")

    def fail(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_text(encoding="utf-8") == "old ü"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("left", ["nothing", "a file", "a private file", "a link", "a pipe"])
def test_of_many_that_write_one_file_each_writes_it_whole(tmp_path, left):
    path, draft, mine = tmp_path / "notes", tmp_path / ".notes.part", tmp_path / "mine"
    mine.write_text("mine")
    if left == "a link":
        draft.symlink_to(mine)
    elif left == "a pipe":
        os.mkfifo(draft)
    elif left != "nothing":
        draft.write_text("half of what a kill left")
        draft.chmod(0o400 if left == "a private file" else 0o666)
    start = threading.Barrier(4)

    def write(letter):
        start.wait()
        for _ in range(20):
            write_text(path, letter * 70_000)
            found = path.read_text()
            assert found == found[0] * 70_000

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert sorted(found.name for found in tmp_path.iterdir()) == ["mine", "notes"]
    assert mine.read_text() == "mine"
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_lock_is_refused_to_a_second_and_given_up_by_a_kill(tmp_path):
    path = tmp_path / "new" / "lock"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys\n"
            "from ecct_tf.locks import exclusive\n"
            "with exclusive(pathlib.Path(sys.argv[1])):\n"
            "    print('held', flush=True)\n"
            "    sys.stdin.read()\n",
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunFolderError, match="busy"),
            exclusive(path, busy=RunFolderError("busy")),
        ):
            pytest.fail("two hold the lock")
    finally:
        holder.kill()
        holder.communicate()
    with exclusive(path, busy=RunFolderError("busy")):
        pass


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "nothing"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "nothing":
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(OSError, match="x'") as refused:
        read_plain_text(path)
    assert refused.value.strerror


def test_a_plain_file_is_read_through_a_link(tmp_path):
    (tmp_path / "notes").write_text("ü", encoding="utf-8")
    (tmp_path / "link").symlink_to("notes")
    assert read_plain_text(tmp_path / "link") == "ü"
