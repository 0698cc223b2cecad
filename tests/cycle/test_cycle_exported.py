"""Files of a version alone are those that a simulation's devices would run, byte for byte."""

import dataclasses
from pathlib import Path

import pytest
from module_files import load_file

from cloud.registry import Registry
from cloud.retraining import load_job_config
from ecct_tf.cycle import load_cycle_config, run_cycles
from ecct_tf.cycle.edge import EdgeSide, fetch
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.errors import ConfigError
from ecct_tf.runs.version_export import export_version, open_version
from ecct_tf.simulation.builder import device_work, profile_shape
from ecct_tf.simulation.experiment import build_experiment
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import export_edge_model
from mobile_export.making.variants import default_variant

pieces = load_file("tests/cycle/cycle_pieces.py")

# Nothing as it is by default, so that a setting that is lost on the way is another one.
TOLD = (
    "edge.tiers={linear: 1.0}",
    "edge.shared=none",
    "samples.negatives=5",
    "samples.max_positions=11",
    "samples.half_life=7",
    "training.loss=bpr",
    "training.optimizer=adam",
    "training.learning_rate=0.0625",
    "training.private_learning_rate=0.03125",
    "training.batch_size=12",
    "training.epochs=3",
    "training.distillation_weight=0.125",
    "training.temperature=3.0",
    "exchange.clip_norm=3.5",
    "rounds_per_cycle=1",
    "data.synthetic_users=8",
)
# What a version's file has of its own.
OTHER = {"provenance", "fingerprints"}


@pytest.mark.slow
@pytest.mark.parametrize("start", ["random", "cloud"])
def test_a_version_alone_gives_the_bytes_that_the_devices_of_a_run_have(tmp_path, start):
    overrides = [*pieces.SMALL, *TOLD, f"edge.start={start}", "start.epochs=1"]
    config = load_cycle_config(None, overrides=overrides)
    folder = CycleFolder(run_cycles(config, tmp_path / "chain", cycles=1, show=False).path)
    published = fetch(folder.public)
    models = open_version(
        Registry(folder.registry),
        number=published.publication.cloud_version,
        start_codec=config.exchange.weights_codec,
    )
    # What a simulation builds of the same settings, and exports.
    experiment = build_experiment(config.run(), progress=False)
    columns = experiment.groups[0][0].profile.columns
    work = device_work(
        experiment.config, "linear", table=models.table, profile=profile_shape(columns)
    )
    assert models.task() == work.task
    words = {column.column.name: list(column.vocabulary) for column in columns}
    (file,) = export_version(models, tmp_path / "version", profile=words)
    (other,) = export_edge_model(
        work.model,
        models.weights("linear"),
        models.table,
        task=work.task,
        out=tmp_path / "run",
        variants=[default_variant(models.table)],
        labels=models.labels("linear", profile=words),
    )
    assert file.sha256 == other.sha256
    # The devices of the cycle had this file, but for where it says that it comes from.
    side = EdgeSide(experiment, folder, runtime=config.runtime)
    theirs = read_metadata(side.file_of("linear", published).read_bytes())
    own = read_metadata(file.path.read_bytes())
    assert {name for name in {**own, **theirs} if own.get(name) != theirs.get(name)} == OTHER
    assert own["samples"]["guard_positions"] == (start == "cloud") * config.samples.guard_positions


def test_a_job_is_told_columns_and_no_values_of_them():
    samples = dataclasses.asdict(load_cycle_config(None).samples)
    assert samples["targets"] == {}
    overrides = (
        "samples.grade.column=stars",
        "samples.grade.values={good: 1.0, bad: 0.25}",
        "samples.targets={like: {column: kept, values: {often: 1.0}}}",
        "training.loss=bce",
    )
    config = load_cycle_config(None, overrides=overrides)
    job = config.job(registry=Path("registry"), uplinks=None)
    assert (job.edge.outcomes, job.edge.targets) == (("stars", "kept"), ("like",))
    assert job.samples == dataclasses.replace(config.samples, grade=job.samples.grade, targets={})
    assert job.samples.grade.column is None
    with pytest.raises(ConfigError, match=r"values of stars, kept, which are private.*--config"):
        load_job_config(None, overrides=overrides)
    for names in ("[stars, stars]", "['']"):
        with pytest.raises(ConfigError, match=r"edge\.outcomes: expected different names"):
            load_job_config(None, overrides=[f"edge.outcomes={names}"])
