"""Pipelines: what is missing or wrong is named before anything runs."""

import importlib.util

import pytest
from click.testing import CliRunner

from cloud.pipelines import running
from cloud.retraining import load_job_config
from cloud.retraining.engine_config import EngineConfig
from cloud.retraining.ingestion import find_ingest, ingest_here
from cloud.user_shards import find_maker, make_here
from ecct_tf.cli import cli
from ecct_tf.errors import ConfigError, MissingPartError, WorkerError

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed: pip install 'ecct-tf[beam]'",
)


def test_without_beam_the_way_to_it_is_told(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(running.importlib, "import_module", missing)
    with pytest.raises(MissingPartError, match=r"engine\.beam needs .* To add it:\n +\S.*beam"):
        running.build_options([], setting="engine.beam")


def test_engines_have_names_or_are_ones_own():
    assert find_ingest("local") is ingest_here
    assert find_maker("local") is make_here
    assert EngineConfig().ingest == "local"
    with pytest.raises(ConfigError, match=r"engine\.ingest: expected an engine out of local, beam"):
        find_ingest("bean")
    with pytest.raises(ConfigError, match="engine: expected an engine out of local, beam"):
        find_maker("spark")
    with pytest.raises(ConfigError, match=r"engine\.ingest"):
        load_job_config(None, overrides=["engine.ingest=a b"])
    options = ["--runner=FlinkRunner", "--flink_master=host:8081"]
    config = load_job_config(None, overrides=[f"engine.beam=[{', '.join(options)}]"])
    assert config.engine.beam == tuple(options)


def test_options_of_a_pipeline_need_one():
    given = ["cloud", "publish", "registry", "--out", "public", "--beam", "--runner=DirectRunner"]
    found = CliRunner().invoke(cli, given)
    assert found.exit_code == 2
    assert "--beam: expected --engine beam, too" in found.output


@needs_beam
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runner=Flank"], r"--runner=Flank: Unexpected pipeline runner.*FlinkRunner"),
        (["--direct_num_workers=two"], r"got --direct_num_workers=two: .*invalid int value"),
        (["--direct_workers=2"], r"no option --direct_workers; leave it out or correct it"),
    ],
)
def test_wrong_options_are_named(flags, message):
    with pytest.raises(ConfigError, match=rf"engine\.beam: .*{message}"):
        running.build_options(flags, setting="engine.beam")


@needs_beam
@pytest.mark.parametrize("flags", [[], ["--runner=DirectRunner"]])
def test_a_pipeline_runs_here_and_downloads_nothing(flags):
    assert running.build_options(flags, setting="").get_all_options()["runner"] == "FnApiRunner"


@needs_beam
def test_options_of_other_runners_are_passed_on():
    options = running.build_options(["--runner=FlinkRunner", "--flink_other=3"], setting="")
    assert options.get_all_options(retain_unknown_options=True)["flink_other"] == "3"


@needs_beam
def test_what_fails_in_a_step_is_told():
    import apache_beam as beam

    def build(pipeline):
        pipeline | beam.Create([0]) | beam.Map(lambda number: 1 / number)

    with pytest.raises(WorkerError, match=r"making tea failed: .*division by zero.* Nothing of it"):
        running.run(build, running.build_options([], setting=""), doing="making tea")
