"""States and embeddings of all users made by many workers: the bits of the one process."""

import importlib.util
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest

from cloud import user_rows
from cloud.array_files import read_arrays
from cloud.registry import Registry
from cloud.retraining import retrain
from cloud.retraining.engine_check import check_engines
from cloud.retraining.engine_config import EngineConfig
from cloud.retraining.storing import _serving_content, _states
from cloud.user_rows import RowMaker, RowsPlan, find_row_engine, planned, put_together
from ecct_tf.errors import ConfigError, WorkerError

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed: pip install 'ecct-tf[beam]'",
)
PROCESSES = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
OWN = f"{Path(__file__).stem}:backwards"
NOW = 1_700_100_000


def backwards(rows, *, options):
    """An engine of one's own: each part by a plan that was sent, the last first, twice."""
    assert options in ((), ("--fast",))
    sent = pickle.dumps(planned(rows))
    plan = pickle.loads(sent)
    for first in [*reversed(plan.firsts), *plan.firsts]:
        pickle.loads(sent).make(first)
    return put_together(plan, rows)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr(user_rows, "_USERS_IN_PART", 10)


@pytest.fixture
def made(stored_cloud, taught_cloud, view, tmp_path):
    """`(engine, *options) -> states, embeddings` of 24 users in three parts."""

    def make(engine="local", *options):
        folder = tmp_path / engine.partition(":")[0]
        version = folder / "version"
        version.mkdir(parents=True)
        stored_cloud.write(version)
        maker = RowMaker(find_row_engine(engine), options, folder / ".work")
        states = _states(taught_cloud, view, maker)
        return states, _serving_content(stored_cloud, version, maker).users

    return make


def test_an_engine_of_ones_own_makes_the_same(made, taught_cloud, tmp_path):
    expected = made()
    assert expected[0].shape[0] == 24
    np.testing.assert_array_equal(expected[0], taught_cloud.states[:])
    for found, wanted in zip(made(OWN, "--fast"), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    # Nothing that workers read or wrote stays.
    assert not [*(tmp_path / Path(__file__).stem / ".work").iterdir()]


@needs_beam
@pytest.mark.parametrize("options", [(), pytest.param(PROCESSES, marks=pytest.mark.slow)])
def test_a_pipeline_makes_the_same(options, made):
    for found, wanted in zip(made("beam", *options), made(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_large_rows_are_in_a_file_of_their_owner(made, monkeypatch, tmp_path):
    expected = made(OWN)
    monkeypatch.setattr(user_rows, "_IN_FILE_BYTES", 0)
    for found, wanted in zip(made(), expected, strict=True):
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, wanted)
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 0
    (file, _) = sorted((tmp_path / "local" / ".work").iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_missing_part_is_named(made, monkeypatch):
    real = RowsPlan.make
    monkeypatch.setattr(RowsPlan, "make", lambda self, first: first == 10 or real(self, first))
    with pytest.raises(WorkerError, match=r"expected the states from user 10 on in .*job's folder"):
        made(OWN)


@needs_beam
def test_a_pipeline_that_fails_is_told(made, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RowsPlan, "make", fail)
    with pytest.raises(WorkerError, match=r"making the states failed: .*No space left on device"):
        made("beam")


def test_engines_are_looked_up_before_anything_is_read(jobs, tmp_path):
    with pytest.raises(ConfigError, match=r"engine\.users: expected an engine out of local, beam"):
        check_engines(EngineConfig(users="bean"))
    config = jobs.small_job(tmp_path, engine__users="none_such:engine")
    with pytest.raises(ConfigError, match="none_such"):
        retrain(config, tmp_path / "job", show=False)
    assert not (tmp_path / "job").exists()


@needs_beam
def test_a_whole_job_by_pipelines_stores_the_same_version(jobs, tmp_path):
    """But for times, the draft's name and what TensorFlow draws for each SavedModel."""
    found = {}
    for engine in ("local", "beam"):
        folder = tmp_path / engine
        jobs.write_log(folder, range(12))
        given = {"engine__ingest": engine, "engine__users": engine}
        retrain(jobs.small_job(folder, **given), folder / "job", show=False, now_seconds=NOW)
        version = Registry(folder / "registry").promoted().path
        found[engine] = {
            path.name: path.read_bytes() for path in version.iterdir() if path.suffix == ".npz"
        }
        variables = version / "saved_model" / "variables"
        found[engine] |= {path.name: path.read_bytes() for path in variables.glob("*.data*")}
        assert read_arrays(version / "recommender.npz")["states"].shape[0] == 24
    assert {*found["local"]} >= {"recommender.npz", "knowledge.npz", "history.npz"}
    assert len(found["local"]) > len(found["local"].keys() - {"variables.data-00000-of-00001"})
    assert found["beam"] == found["local"]
