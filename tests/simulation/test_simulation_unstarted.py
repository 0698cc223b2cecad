"""A run without a finished round leaves nothing that blocks the next try, nor takes the user's."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from ecct_tf.errors import ConfigError, DataError, RunFolderError, WorkerError
from ecct_tf.locks import FileLock
from ecct_tf.simulation import running
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import simulate
from ecct_tf.simulation.unstarted import discard_if_idle, discard_unstarted


def failing(error):
    def fail(*arguments, **named):
        del arguments, named
        raise error

    return fail


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("build_experiment", DataError("no such column")),
        ("build_algorithm", MemoryError()),
        ("federated_runtime", WorkerError("no worker")),
        ("build_algorithm", KeyboardInterrupt()),
    ],
)
def test_a_run_that_fails_before_its_first_round_leaves_no_folder(
    small_config, monkeypatch, tmp_path, part, error
):
    out = tmp_path / "deep" / "run"
    if part == "federated_runtime":
        algorithm = SimpleNamespace(num_devices=1, rounds=1)
        monkeypatch.setattr(running, "build_algorithm", lambda *_, **__: algorithm)
    monkeypatch.setattr(running, part, failing(error))
    with pytest.raises(type(error)):
        simulate(small_config(), out=out)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_run_without_a_round_gives_way(small_config, tmp_path):
    out = tmp_path / "run"
    RunFolder.create(out, small_config("rounds=1"))
    (out / "events").mkdir()
    (out / "events" / "events.out.tfevents.1").touch()
    (out / ".status.json.part").touch()
    RunFolder.check(out)
    assert RunFolder.create(out, small_config("rounds=2")).config.rounds == 2
    assert not (out / "events").exists()


def test_a_file_of_the_user_is_kept_and_named_as_the_obstacle(small_config, tmp_path):
    out = tmp_path / "run"
    RunFolder.create(out, small_config())
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other files in it"):
        RunFolder.create(out, small_config())
    assert (out / "notes.txt").read_text() == "mine"


def test_a_run_that_another_process_is_at_stays(small_config, tmp_path):
    folder = RunFolder.create(tmp_path / "run", small_config())
    with folder.locked(), pytest.raises(ConfigError, match="a process is working on its run"):
        RunFolder.create(tmp_path / "run", small_config())
    assert folder.status == "running"


def at_once(number, work):
    """Does `work` in several threads at the same moment; the errors that it ends in."""
    start = threading.Barrier(number)

    def one(_):
        start.wait()
        try:
            work()
        except Exception as error:
            return error

    with ThreadPoolExecutor(number) as pool:
        return [error for error in pool.map(one, range(number)) if error is not None]


def one_of_four(path, config):
    refused, ending = [], threading.Event()

    def make():
        try:
            with RunFolder.begin(path, config):
                assert ending.wait(60)
        except Exception:
            refused.append(1)
            if len(refused) == 3:
                ending.set()
            raise

    return make


@pytest.mark.parametrize("left", ["nothing", "a killed run", "a draft"])
def test_of_many_that_make_one_folder_one_does(small_config, tmp_path, left):
    path = tmp_path / "run"
    for _ in range(10):
        if left == "a killed run":
            RunFolder.create(path, small_config("rounds=1"))
        elif left == "a draft":
            (tmp_path / ".run.part" / "events").mkdir(parents=True)
            (tmp_path / ".run.part" / "config.yaml").write_text("half")
        # The one that makes it works on it until the others were refused.
        errors = at_once(4, one_of_four(path, small_config()))
        assert [type(error) for error in errors] == [ConfigError] * 3
        assert all("exists already" in str(error) for error in errors)
        assert [found.name for found in tmp_path.iterdir()] == ["run"]
        assert RunFolder.open(path).config == small_config()
        assert RunFolder.open(path).status == "running"
        shutil.rmtree(path)


def test_a_run_is_its_processs_own_from_its_birth(small_config, tmp_path):
    path = tmp_path / "run"
    with RunFolder.begin(path, small_config()) as folder:
        assert not discard_if_idle(path)
        with pytest.raises(RunFolderError, match="another process"), folder.locked():
            pytest.fail("two have the run")
    with folder.locked():
        pass
    assert discard_if_idle(path)


def test_a_folder_that_is_discarded_meanwhile_does_not_come_back(
    small_config, tmp_path, monkeypatch
):
    path = RunFolder.create(tmp_path / "run", small_config()).path
    acquire = FileLock.acquire

    def later(lock, **options):
        # Another process discards the killed run first, and begins its own in its place.
        monkeypatch.setattr(FileLock, "acquire", acquire)
        got = lock.acquire(**options)
        shutil.rmtree(path)
        if begun:
            RunFolder.create(path, small_config("rounds=2"))
        return got

    for begun in (True, False):
        monkeypatch.setattr(FileLock, "acquire", later)
        assert not discard_if_idle(path)
        assert path.exists() == begun


@pytest.mark.parametrize("kept", ["metrics.csv", "results.csv", "checkpoints/round-000001-0.npz"])
def test_a_finished_round_is_never_discarded(small_config, tmp_path, kept):
    folder = RunFolder.create(tmp_path / "run", small_config())
    (folder.path / "checkpoints").mkdir()
    (folder.path / kept).write_text("round\n1\n")
    assert not discard_unstarted(folder.path)
    with pytest.raises(ConfigError, match="exists already"):
        RunFolder.create(folder.path, small_config())
    assert (folder.path / "config.yaml").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "metrics.csv").write_text("round\n")
    (tmp_path / "config.yaml").write_text("mine: true\n")
    assert not discard_unstarted(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
