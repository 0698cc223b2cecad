"""No run goes on from a state that was computed with other settings."""

import dataclasses
import json
import shutil

import pytest

from ecct_tf.config import RunConfig, dump_config
from ecct_tf.errors import CheckpointError, ExportError, RunFolderError
from ecct_tf.runs.opening import newest_checkpoint
from ecct_tf.simulation.begun_settings import begun_settings, check_settings
from ecct_tf.simulation.loop import Callback
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate


def changed(config, section, **values):
    return dataclasses.replace(
        config, **{section: dataclasses.replace(getattr(config, section), **values)}
    )


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("runtime", {"engine": "local", "threads": 2}),
        ("checkpoint", {"every": 5}),
        ("data", {"folder": "/elsewhere"}),
        ("exchange", {"uplink_log": "/elsewhere"}),
    ],
)
def test_how_and_where_it_is_computed_may_change(tmp_path, section, values):
    check_settings(
        begun_settings(RunConfig()), changed(RunConfig(), section, **values), where=tmp_path
    )


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (RunConfig(seed=1), "seed was 0, now 1"),
        (RunConfig(rounds=20), "rounds was 10, now 20"),
        (changed(RunConfig(), "training", learning_rate=0.5), "training.learning_rate was 0.01"),
        (changed(RunConfig(), "edge", tiers={"mlp": 0.5, "linear": 0.5}), "edge.tiers.mlp was 1.0"),
    ],
)
def test_what_decides_the_result_may_not(tmp_path, config, told):
    with pytest.raises(CheckpointError, match=told):
        check_settings(begun_settings(RunConfig()), config, where=tmp_path)


def test_settings_that_came_later_mean_what_held_before(tmp_path):
    older = changed(RunConfig(), "features", clock=False)
    begun = begun_settings(older)
    assert "  clock: false\n" in begun
    begun = begun.replace("  clock: false\n", "")
    check_settings(begun, older, where=tmp_path)
    check_settings("", older, where=tmp_path)
    with pytest.raises(CheckpointError, match=r"features.clock was false, now true"):
        check_settings(begun, RunConfig(), where=tmp_path)


class _Stop(Callback):
    def on_round(self, result, state):
        del result, state
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def two_runs(small_config, tmp_path_factory):
    """Two runs of the same data that were stopped after a round; they differ in a rate."""
    folder, runs = tmp_path_factory.mktemp("runs"), []
    for rate in ("0.01", "0.02"):
        config = small_config(
            "rounds=2",
            "method=fedavg",
            "runtime.engine=local",
            "federated_baseline.rounds=2",
            f"federated_baseline.learning_rate={rate}",
        )
        runs.append(folder / f"rate-{rate}")
        with pytest.raises(KeyboardInterrupt):
            simulate(config, out=runs[-1], callbacks=[_Stop()])
    return runs


def copies(two_runs, tmp_path):
    return [shutil.copytree(run, tmp_path / run.name) for run in two_runs]


def test_checkpoints_of_two_runs_that_were_swapped_are_refused(two_runs, tmp_path):
    first, second = copies(two_runs, tmp_path)
    shutil.rmtree(first / "checkpoints")
    (second / "checkpoints").rename(first / "checkpoints")
    message = r"federated_baseline.learning_rate was 0.02, now 0.01. .* begin a new run"
    with pytest.raises(CheckpointError, match=message):
        resume(first)
    with pytest.raises(CheckpointError, match=message):
        newest_checkpoint(RunFolder.open(first))
    with pytest.raises(ExportError, match="no checkpoint"):
        newest_checkpoint(RunFolder.open(second))


def test_an_altered_configuration_is_refused(two_runs, tmp_path):
    first, _ = copies(two_runs, tmp_path)
    config = dataclasses.replace(RunFolder.open(first).config, seed=7)
    (first / "config.yaml").write_text(dump_config(config))
    with pytest.raises(CheckpointError, match=r"seed was 0, now 7"):
        resume(first)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '"x"', '{"packages": {}, "resumed": 3}'])
def test_damaged_records_are_named(two_runs, tmp_path, content):
    first, _ = copies(two_runs, tmp_path)
    (first / "environment.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"environment.json: expected .* Restore it"):
        RunFolder.open(first).note_resumed(1, engine="local")
    (first / "status.json").write_text(json.dumps(json.loads(content)) if content != "{" else "{")
    with pytest.raises(RunFolderError, match=r"status.json: expected the run's status"):
        _ = RunFolder.open(first).status
    assert RunFolder.open(first).seconds == 0.0
