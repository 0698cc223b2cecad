"""One run from configuration to run folder, or from a checkpoint to its end."""

import dataclasses
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from cloud.origin import check_cloud
from ecct_tf.config import EngineName, RunConfig, data_title
from ecct_tf.data import Dataset, described, refuse_in_memory
from ecct_tf.data.outcomes import target_names
from ecct_tf.edge import check_edge_models, check_losses
from ecct_tf.errors import CheckpointError, DataError, RunFolderError
from ecct_tf.federated.aggregators import check_aggregators
from ecct_tf.federated.named_stages import check_stages
from ecct_tf.knowledge.codec_origin import check_codecs
from ecct_tf.knowledge.table_origin import check_item_form
from ecct_tf.simulation.engines import with_engine
from ecct_tf.simulation.loop import Callback
from ecct_tf.simulation.methods import display_name
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.run_log import run_log
from ecct_tf.simulation.running import (
    Attempt,
    SimulationResult,
    run_to_the_end,
    uplink_loggers,
)
from ecct_tf.version import __version__

__all__ = ["SimulationResult", "resume", "simulate"]

_log = logging.getLogger(__name__)


def simulate(
    config: RunConfig,
    *,
    out: Path | None = None,
    dataset: Dataset | None = None,
    callbacks: Sequence[Callback] = (),
) -> SimulationResult:
    """Runs the configured method and, if configured, quick references beside it.

    Args:
      config: the configuration.
      out: run folder to make; None keeps everything in memory.
      dataset: data that a program has, which the run is filed with as `in-memory`, unless
        `load_dataset` loaded it by this configuration; None loads what the configuration names.
      callbacks: further watchers of the rounds.

    Returns:
      The table, the data, the algorithm and its final state. An interruption (Ctrl-C) still
      leaves a readable run folder with the checkpoint of the last whole round, and is
      raised again. A run that fails or is interrupted before its first round is finished
      leaves no folder.
    """
    config = _with_data(config, dataset)
    # What cannot work is refused before there is a folder.
    uplink_loggers(config, out)
    check_edge_models(config.edge, config.features, targets=target_names(config.samples))
    check_losses(config.training, config.samples, start=config.start, others=config.baseline_losses)
    check_codecs(config.exchange, arrays=config.runtime.real_devices > 0)
    check_item_form(config.exchange.item_table)
    check_cloud(config.cloud.model)
    check_aggregators(config)
    check_stages(config)
    attempt = Attempt(None, dataset=dataset, callbacks=callbacks)
    if out is None:
        return run_to_the_end(config, attempt)
    with RunFolder.begin(out, config) as folder, _log_of(folder, "begins"):
        return run_to_the_end(config, dataclasses.replace(attempt, folder=folder))


def resume(
    path: Path,
    *,
    dataset: Dataset | None = None,
    callbacks: Sequence[Callback] = (),
    engine: EngineName | None = None,
) -> SimulationResult:
    """Goes on with a run that was interrupted, killed or failed, to its configured end.

    The result is that of an undisturbed run, bit by bit: the state comes from the newest
    whole checkpoint, and all randomness from the seed, the round and the device. Another engine
    than before adds sums in another order: then it is the same but for rounding, which is said.

    Args:
      path: the run folder.
      dataset: the run's data, if it is loaded already; needed where a program handed it over.
      callbacks: further watchers of the rounds.
      engine: what computes the rest of the rounds, instead of the run's `runtime.engine`.

    Raises:
      RunFolderError: when `path` is no run folder, its run is complete, or another process
        is at it.
      CheckpointError: when all checkpoints are damaged, or the data or the source of a model is
        not what the run began with.
      ConfigError: when a model of the run cannot be imported.
      DataError: when a program must hand over the data.
    """
    folder = RunFolder.open(path)
    with folder.locked():
        if folder.status == "complete":
            raise RunFolderError(
                f"the run {path} is complete: there is nothing to resume. See its results "
                f"with `ecct report {path}`."
            )
        config = with_engine(folder.config, engine)
        check_aggregators(config)
        check_stages(config)
        _check_models(folder)
        folder.check_trace()
        checkpoint = folder.newest_checkpoint()
        _check_data(folder, dataset, begun=checkpoint is not None)
        later = folder.later_settings()
        if later:
            _log.warning(
                "%s: an earlier release began the run, without %s; they mean what held then. What "
                "is computed from here on is this release's, and need not be what that one would "
                "have reached",
                path,
                ", ".join(later),
            )
        with _log_of(folder, "is resumed"):
            attempt = Attempt(
                folder, dataset=dataset, callbacks=callbacks, begin=checkpoint, again=True
            )
            return run_to_the_end(config, attempt)


def _log_of(folder: RunFolder, what: str) -> AbstractContextManager[None]:
    config = folder.config
    data = data_title(config.data)
    about = f"{display_name(config)} on {data}, seed {config.seed}, {what}"
    return run_log(folder.path / "run.log", about=f"{about}: ecct-tf {__version__}")


def _with_data(config: RunConfig, dataset: Dataset | None) -> RunConfig:
    """The configuration with the data that the run will really have."""
    if dataset is None:
        refuse_in_memory(config.data)
        return config
    data = described(config.data, dataset, seed=config.seed)
    return dataclasses.replace(config, data=data)


def _check_models(folder: RunFolder) -> None:
    """Refuses models of other source than the run began with: two would be mixed in it."""
    config = folder.config
    check_edge_models(config.edge, config.features, targets=target_names(config.samples))
    check_losses(config.training, config.samples, start=config.start, others=config.baseline_losses)
    check_codecs(config.exchange, arrays=config.runtime.real_devices > 0)
    check_item_form(config.exchange.item_table)
    check_cloud(config.cloud.model)
    changes = folder.changed_models()
    if changes:
        raise CheckpointError(
            f"{folder.path}: the source of a custom part changed since the run began: "
            f"{'; '.join(changes)}. Restore the source and resume, or begin a new run with "
            f"--config {folder.path / 'config.yaml'}"
        )


def _check_data(folder: RunFolder, dataset: Dataset | None, *, begun: bool) -> None:
    """Refuses other data than the run was filed with, before anything is written.

    A run of named data with a checkpoint has a fingerprint there, which is compared later.
    """
    config = folder.config
    if dataset is None:
        refuse_in_memory(config.data)
        return
    if begun and config.data.dataset != "in-memory":
        return
    try:
        found = _with_data(config, dataset)
    except DataError as error:
        raise CheckpointError(
            f"{folder.path}: the data is not what the run began with: {error}"
        ) from error
    if found != config:
        raise CheckpointError(
            f"{folder.path}: the data is not what the run began with: expected "
            f"{config.data.dataset}, received the data set {dataset.name!r} in memory. Leave "
            "dataset out, or begin a new run."
        )
