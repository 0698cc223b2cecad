"""Atomic writes and locks."""

import subprocess
import sys

import pytest

from ecct_tf.errors import RunFolderError
from ecct_tf.files import write_atomically, write_text
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
