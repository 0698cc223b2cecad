"""Downlinks made by many workers: the same bytes as by one process."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud.pipelines import publication as pipeline
from cloud.publishing import publish
from cloud.registry import Registry
from cloud.user_shards import UserShards
from ecct_tf.cli import cli
from ecct_tf.errors import ConfigError, WorkerError

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed: pip install 'ecct-tf[beam]'",
)
PROCESSES = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def backwards(plan, stored, *, options):
    """An engine of one's own: each file by a recommender of its own, the last first, twice."""
    assert options == ("--fast",)
    made = {}
    for first in [*reversed(plan.firsts), *plan.firsts]:
        made[first] = plan.make(stored.recommender(), first)
    return UserShards.of(plan, (made[first] for first in plan.firsts))


@pytest.fixture
def published(stored_cloud, tmp_path):
    """`(engine, *options) -> files`: a publication of 24 users in three files."""

    def make(engine="local", *options, name="public"):
        registry = Registry(tmp_path / name / "registry")
        with registry.draft() as draft:
            stored_cloud.write(draft.path)
            (draft.path / "saved_model").mkdir()
            (draft.path / "saved_model" / "saved_model.pb").write_bytes(b"stands in")
            registry.promote(draft.commit(config={}).number, expected=None)
        out = tmp_path / name / "out"
        publish(
            registry,
            out,
            users_in_file=10,
            one_file_each=True,
            now_seconds=1_700_000_000,
            engine=engine,
            engine_options=options,
        )
        files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
        (asked,) = (registry.publications_path).glob("*.npz")
        contents = {str(path.relative_to(out)): path.read_bytes() for path in files}
        return {**contents, "asked": asked.read_bytes()}

    return make


def test_an_engine_of_ones_own_publishes_the_same(published, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    expected = published()
    assert sum(name.startswith("downlinks-") for name in expected) == 3 + 24
    own = f"{Path(__file__).stem}:backwards"
    assert published(own, "--fast", name="own") == expected


@needs_beam
@pytest.mark.parametrize("options", [(), pytest.param(PROCESSES, marks=pytest.mark.slow)])
def test_a_pipeline_publishes_the_same(options, published):
    assert published("beam", *options, name="beam") == published()


@needs_beam
def test_a_pipeline_that_fails_publishes_nothing(published, tmp_path, monkeypatch):
    def fail(*given):
        if given[-1] == 10:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline, "_make", fail)
    with pytest.raises(WorkerError, match=r"making downlinks failed: .*No space left on device"):
        published("beam", name="beam")
    left = [path.name for path in (tmp_path / "beam" / "out").iterdir()]
    assert "current.json" not in left
    assert ".parts" not in left


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(WorkerError, match="expected those from user 10 on in"):
        pipeline._read(tmp_path, 10)


def test_the_command_names_an_unknown_engine(tmp_path):
    (tmp_path / "registry" / "versions").mkdir(parents=True)
    given = ["cloud", "publish", str(tmp_path / "registry"), "--out", str(tmp_path / "public")]
    found = CliRunner().invoke(cli, [*given, "--engine", "bean"])
    assert isinstance(found.exception, (ConfigError, SystemExit))
    assert "expected an engine out of local, beam" in (found.output + str(found.exception))
