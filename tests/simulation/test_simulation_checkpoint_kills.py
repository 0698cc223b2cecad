"""A checkpoint of format 2 is killed at each step of its writing, and meets a full disk at each.

CONTRIBUTING.md lists the tests of other faults.
"""

import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.fixed_arrays import FixedArray
from ecct_tf.simulation.checkpoints import CheckpointStore
from ecct_tf.touched_rows import TouchedRows, with_rows


def state(number):
    """A state whose rows, fixed array and plain array depend on the round."""
    rows = TouchedRows(np.zeros(3, np.float32), length=50)
    for at in range(1, number + 1):
        rows = with_rows(rows, np.array([at, 40 + at]), np.full((2, 3), at, np.float32))
    # Another one in the second round: it is not the only file of its kind.
    key = "first" if number < 2 else "second"
    content = np.full((4, 2), len(key), np.float32)
    fixed = FixedArray(key, (4, 2), np.dtype(np.float32), lambda: iter([content]))
    return {"private": rows, "known": fixed, "rounds": np.array(number)}


def assert_whole(folder, numbers):
    """The newest checkpoint is that of one of `numbers`, and has all of it."""
    found = CheckpointStore(folder).newest()
    assert found.round_number in numbers
    for name, expected in state(found.round_number).items():
        np.testing.assert_array_equal(np.asarray(found.arrays[name]), np.asarray(expected))
    return found.round_number


class Faults:
    """Calls `fault` at the system call `at` of those that a save makes, counted from 0."""

    def __init__(self, patch, *, at, fault):
        self.seen, self._at, self._fault = [], at, fault
        self._wrap(patch, os, "fsync")
        self._wrap(patch, Path, "replace")
        self._wrap(patch, Path, "unlink")
        self._wrap(patch, os, "open")

    def _wrap(self, patch, owner, name):
        original = getattr(owner, name)

        def call(*arguments, **named):
            self.seen.append(name)
            if len(self.seen) - 1 == self._at:
                self._fault(name)
            return original(*arguments, **named)

        patch.setattr(owner, name, call)


def _begun(folder):
    store = CheckpointStore(folder, keep=1)
    store.save(1, state(1), fingerprint="f")
    return store


def _steps(folder):
    """The steps of the second save, by name."""
    store = _begun(folder)
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, at=-1, fault=None)
        store.save(2, state(2), fingerprint="f")
    assert faults.seen.count("replace") == 2  # the fixed array's file and the checkpoint
    return faults.seen


def _killed(folder, at):
    """Saves in a process of its own, which kills itself at a step; whether it did."""
    store = _begun(folder)
    child = os.fork()
    if not child:
        try:
            with pytest.MonkeyPatch.context() as patch:
                Faults(patch, at=at, fault=lambda _: os.kill(os.getpid(), signal.SIGKILL))
                store.save(2, state(2), fingerprint="f")
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_kill_at_any_step_leaves_a_whole_checkpoint_and_the_run_goes_on(tmp_path):
    steps = _steps(tmp_path / "calm")
    newest = []
    for at in range(len(steps)):
        folder = tmp_path / str(at)
        assert _killed(folder, at)
        newest.append(assert_whole(folder, (1, 2)))
        # As a run that is resumed does.
        store = CheckpointStore(folder, keep=1)
        store.save(2, state(2), fingerprint="f")
        store.save(3, state(3), fingerprint="f")
        assert assert_whole(folder, (3,)) == 3
    # Before the file takes its place there is the earlier one, afterwards the new one.
    assert newest == sorted(newest)
    assert (newest[0], newest[-1]) == (1, 2)


def test_a_full_disk_at_any_step_is_named_and_leaves_the_earlier_checkpoint(tmp_path):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writing = [at for at, name in enumerate(_steps(tmp_path / "calm")) if name != "unlink"]
    assert len(writing) == 6
    for at in writing:
        folder = tmp_path / str(at)
        store = _begun(folder)
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, at=at, fault=full)
            with pytest.raises(OSError, match="No space left on device") as raised:
                store.save(2, state(2), fingerprint="f")
        assert raised.value.filename.startswith(str(folder))
        assert_whole(folder, (1,))
        store.save(2, state(2), fingerprint="f")
        assert_whole(folder, (2,))
