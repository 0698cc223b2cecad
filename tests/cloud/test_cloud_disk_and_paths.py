"""A full disk, and paths that TensorFlow takes for patterns."""

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import tensorflow as tf

from cloud.registry import Registry
from cloud.retraining import retrain
from cloud.retraining.checkpoints import Checkpoints
from cloud.retraining.progress import Progress
from cloud.serving import ServingContent, export_serving
from cloud.uplink_log import Quarantine, Reason, Rejected, UplinkLogWriter
from ecct_tf import cli
from ecct_tf.commands import root
from ecct_tf.errors import CheckpointError, ConfigError, StorageError
from ecct_tf.files import write_atomically, write_text
from ecct_tf.tensorflow_files import is_pattern, literal, writing

STRANGE = ("k[1]", "a*b", "why?", "back\\slash", "-dash", "-[x]*")


def state(value=0.0, *, size=4):
    variable = tf.Variable(tf.fill([size], value))
    return variable, tf.train.Checkpoint(v=variable)


@pytest.mark.parametrize("name", STRANGE)
def test_checkpoints_restore_and_leave_whatever_the_folder_is_called(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variable, tracked = state()
    checkpoints = Checkpoints(tracked, tmp_path / name / "fit", keep=2)
    assert checkpoints.restore() is None
    for value in (1.0, 2.0, 3.0, 4.0):
        variable.assign(tf.fill([4], value))
        checkpoints.save()
    folders = sorted(path.name for path in (tmp_path / name / "fit").iterdir())
    assert folders == ["000003", "000004"]
    other, again = state()
    assert Checkpoints(again, type(tmp_path)(name) / "fit", keep=2).restore() is not None
    assert other.numpy().tolist() == [4.0] * 4


def test_a_checkpoint_of_another_model_or_a_damaged_one_is_refused(tmp_path):
    _, tracked = state()
    Checkpoints(tracked, tmp_path, keep=1).save()
    _, larger = state(size=5)
    with pytest.raises(CheckpointError, match="000001: expected a checkpoint of this job"):
        Checkpoints(larger, tmp_path, keep=1).restore()
    (tmp_path / "000001" / "state.index").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="repeat the phase"):
        Checkpoints(tracked, tmp_path, keep=1).restore()


def test_what_a_kill_left_of_a_checkpoint_is_none(tmp_path):
    variable, tracked = state(1.0)
    checkpoints = Checkpoints(tracked, tmp_path, keep=1)
    checkpoints.save()
    shutil.copytree(tmp_path / "000001", tmp_path / ".part")
    (tmp_path / ".part" / "state.index").unlink()
    variable.assign(tf.zeros([4]))
    assert checkpoints.restore() == tmp_path / "000001"
    assert variable.numpy().tolist() == [1.0] * 4
    checkpoints.save()
    assert [path.name for path in tmp_path.iterdir()] == ["000002"]


def test_a_link_stands_for_a_folder_only_where_it_must(tmp_path, monkeypatch):
    assert not is_pattern(tmp_path / "plain]")
    with literal(tmp_path) as same:
        assert same == tmp_path
    strange = tmp_path / "a[b"
    strange.mkdir()
    with literal(strange) as link:
        assert link != strange
        assert link.samefile(strange)
    assert not link.exists()
    monkeypatch.setattr("tempfile.tempdir", str(strange))
    with pytest.raises(StorageError, match="set TMPDIR to another"), literal(strange):
        pytest.fail("TensorFlow would take it for a pattern")


@pytest.mark.slow
def test_a_job_resumes_in_a_folder_with_brackets(jobs, tmp_path, monkeypatch):
    """Job, registry and log: stopped after its third checkpoint and given again."""
    place = tmp_path / "k[1]"
    jobs.write_log(place, range(20), name="log")
    config = jobs.small_job(place)
    saved = []
    save = Checkpoints.save

    def stop(self):
        save(self)
        saved.append(self)
        if len(saved) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            retrain(config, place / "jobs" / "?[1]", show=False)
    steps = []
    patched = Checkpoints.restore

    def restored(self):
        steps.append(patched(self))
        return steps[-1]

    monkeypatch.setattr(Checkpoints, "restore", restored)
    assert retrain(config, place / "jobs" / "?[1]", show=False).promoted
    assert steps[0] is not None
    for phase in (place / "jobs" / "?[1]" / "checkpoints").iterdir():
        assert len(list(phase.iterdir())) <= config.checkpoint.keep
    assert Registry(place / "registry").promoted().number == 1


def test_parameter_servers_refuse_such_a_folder(jobs, tmp_path):
    config = jobs.small_job(tmp_path, distribution="parameter_server")
    with pytest.raises(ConfigError, match="give another --out"):
        retrain(config, tmp_path / "k[1]", show=False)


@contextmanager
def small_files() -> Iterator[None]:
    """No file beyond 32 KB: as a full disk, but for the number of the error.

    Not a fixture: pytest writes its own output between a test's end and a fixture's, and that
    output may be a file beyond the limit.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path):
    variable, tracked = state(1.0)
    checkpoints = Checkpoints(tracked, tmp_path, keep=2)
    checkpoints.save()
    large, grown = state(2.0, size=50_000)
    refused = rf"{tmp_path}: .*File too large.*resumes from the newest"
    with small_files(), pytest.raises(StorageError, match=refused):
        Checkpoints(grown, tmp_path, keep=2).save()
    assert [path.name for path in tmp_path.iterdir()] == ["000001"]
    variable.assign(tf.zeros([4]))
    assert checkpoints.restore() == tmp_path / "000001"
    assert variable.numpy().tolist() == [1.0] * 4
    del large


def test_a_saved_model_that_does_not_fit_names_its_path(stored_cloud, tmp_path):
    refused = "saved_model: TensorFlow could not write here"
    with small_files(), pytest.raises(StorageError, match=refused):
        export_serving(ServingContent.of(stored_cloud), tmp_path / "saved_model")


def test_events_that_do_not_fit_name_their_path(tmp_path):
    progress = Progress(tmp_path, show=False)
    progress.begin("fit", epochs=1, done=-1)
    row = {"phase": "fit", "epoch": 0, **{f"{'x' * 200}{number}": 0.5 for number in range(200)}}

    def write():
        for epoch in range(50):
            progress.end_epoch({**row, "epoch": epoch})

    refused = r"(events|metrics\.csv).*File too large|File too large.*csv"
    with small_files(), pytest.raises(OSError, match=refused):
        write()
    progress.end()


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(tiny_disk, uplinks):
    _, tracked = state(size=100_000)
    with pytest.raises(StorageError, match="No space left on device"):
        Checkpoints(tracked, tiny_disk / "checkpoints", keep=1).save()
    assert not list((tiny_disk / "checkpoints").iterdir())
    with pytest.raises(OSError, match=r"No space left on device: .*disk/notes") as raised:
        write_text(tiny_disk / "notes", "x" * 100_000)
    assert raised.value.errno == errno.ENOSPC
    records = [uplinks(user, round_number) for user in range(50) for round_number in range(40)]
    with pytest.raises(OSError, match=r"No space left on device: .*a\.tfrecord"):
        UplinkLogWriter(tiny_disk / "log").append(records, name="a")
    assert not [path for path in (tiny_disk / "log").rglob("*") if path.is_file()]
    entry = Rejected("x", 0, Reason.NOT_A_RECORD, "", b"x" * 200_000)
    with (
        Quarantine(tiny_disk / "quarantine").session() as session,
        pytest.raises(StorageError, match=r"could not be written .* Free some room"),
    ):
        session.replace("x", 0, 1, [entry])


def _full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_write_names_the_file_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: .*table\.npz"):
        write_atomically(tmp_path / "table.npz", _full)
    assert list(tmp_path.iterdir()) == []


def test_only_the_systems_refusals_are_storage_errors(tmp_path):
    full = tf.errors.ResourceExhaustedError(None, None, f"x; {os.strerror(errno.ENOSPC)}")
    with (
        pytest.raises(StorageError, match=rf"{tmp_path}: .* No space left.*; try again"),
        writing(tmp_path, way_out="try again"),
    ):
        raise full
    memory = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
    with pytest.raises(tf.errors.ResourceExhaustedError), writing(tmp_path, way_out=""):
        raise memory


@pytest.mark.parametrize("of_disk", [True, False])
def test_a_database_says_whether_it_is_full_or_broken(of_disk, tmp_path, monkeypatch):
    quarantine = Quarantine(tmp_path)
    with quarantine.session() as session:
        session.replace("x", 0, 1, [Rejected("x", 0, Reason.NOT_A_RECORD, "", b"")])
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL if of_disk else sqlite3.SQLITE_ERROR

    def connect(*_, **__):
        raise error

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(Exception, match="Free some room" if of_disk else "Move it away"):
        list(quarantine.entries())


@pytest.mark.parametrize("error", [StorageError("here: full"), OSError(errno.ENOSPC, "full")])
def test_the_command_ends_with_one_line_and_code_2(error, monkeypatch, capsys):
    def fail(**_):
        raise error

    monkeypatch.setattr(root, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("Error: ")
    assert "Traceback" not in told
