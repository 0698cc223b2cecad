"""From a run folder to its data, its newest checkpoint and its edge models."""

import logging
from pathlib import Path

import numpy as np

from ecct_tf.config import EDGE_METHODS
from ecct_tf.data import Dataset, described
from ecct_tf.data.outcomes import target_names
from ecct_tf.edge import check_edge_models
from ecct_tf.errors import DataError, ExportError
from ecct_tf.runs.models import RunModels
from ecct_tf.simulation.builder import build_process, edge_config
from ecct_tf.simulation.checkpoints import Checkpoint
from ecct_tf.simulation.edge_state import (
    as_started,
    check_shapes,
    edge_arrays,
    edge_state,
    starting_arrays,
    stored_known,
    table_digest,
)
from ecct_tf.simulation.experiment import Experiment, build_experiment
from ecct_tf.simulation.holding import holding_of, holds_candidates
from ecct_tf.simulation.run_folder import RunFolder

__all__ = ["build_models", "newest_checkpoint", "open_models", "run_experiment"]

_log = logging.getLogger(__name__)


def open_models(path: Path, *, dataset: Dataset | None = None) -> RunModels:
    """Opens the edge models of the run in `path` at its newest checkpoint, to export them.

    Nothing that the cloud computed is computed again, so that a run can be exported by another
    version of TensorFlow, and without TFF.

    Args:
      path: the run folder.
      dataset: the run's data, where a program handed it over.

    Raises:
      ConfigError: when an edge model cannot be imported or built.
      RunFolderError: when `path` is no run folder, or has no whole item table.
      ExportError: when the run has no edge model of ECCT's, no checkpoint, or other data, or when
        its devices exchange logits alone.
      CheckpointError: when the checkpoints are damaged.
    """
    folder = RunFolder.open(path)
    if folder.config.method not in EDGE_METHODS:
        raise ExportError(
            f"the run {path} is of method {folder.config.method!r}, which has no edge model of "
            "ECCT's at any round; export a run of method {",
            ".join(EDGE_METHODS)}",
        )
    if folder.config.method == "ecct" and not folder.config.exchange.embeddings:
        raise ExportError(
            f"only logits crossed in the run {path} (exchange.embeddings=false), and a file for "
            "phones reads and sends embeddings; export a run with exchange.embeddings=true"
        )
    checkpoint = newest_checkpoint(folder)
    return build_models(folder, checkpoint, run_experiment(folder, checkpoint, dataset=dataset))


def newest_checkpoint(folder: RunFolder) -> Checkpoint:
    """The newest whole checkpoint of a run.

    Raises:
      ExportError: when it has none.
      CheckpointError: when all are damaged, or it was computed with other settings.
    """
    checkpoint = folder.newest_checkpoint()
    if checkpoint is None:
        raise ExportError(f"the run {folder.path} has no checkpoint: {_without_checkpoint(folder)}")
    return checkpoint


def run_experiment(
    folder: RunFolder, checkpoint: Checkpoint | None, *, dataset: Dataset | None = None
) -> Experiment:
    """The data of a run as it was trained on.

    Args:
      folder: of the run.
      checkpoint: whose fingerprint the data must have; None for a run that needs none.
      dataset: the data, where a program handed it over.

    Raises:
      ConfigError: when an edge model cannot be imported or built.
      DataError: when the data is in no file, and `dataset` is None.
      ExportError: when it is other data.
    """
    config, where = folder.config, f"the data is not what the run {folder.path} was trained on"
    if dataset is not None:
        try:
            found = described(config.data, dataset, seed=config.seed)
        except DataError as error:
            raise ExportError(f"{where}: {error}") from error
        if found != config.data:
            raise ExportError(
                f"{where}: expected {config.data.dataset}, received the data set {dataset.name!r} "
                "in memory. Leave it out: the run's settings name its data."
            )
    if config.method in EDGE_METHODS:
        check_edge_models(config.edge, config.features, targets=target_names(config.samples))
        for change in folder.changed_models():
            _log.warning(
                "%s: %s. What is computed now need not be what the run trained", folder.path, change
            )
    experiment = build_experiment(config, dataset=dataset, opened=True)
    if checkpoint is not None and checkpoint.fingerprint != experiment.fingerprint():
        raise ExportError(f"{where}; restore it")
    return experiment


def build_models(folder: RunFolder, checkpoint: Checkpoint, experiment: Experiment) -> RunModels:
    """The edge models of a run whose devices have some.

    Args:
      folder: of the run.
      checkpoint: of the run.
      experiment: its data.

    Raises:
      RunFolderError: when the folder has no whole item table.
      ExportError: when its item table is not the checkpoint's.
      CheckpointError: when the checkpoint is of another configuration.
    """
    arrays, table = checkpoint.arrays, folder.read_item_table()
    if not np.array_equal(arrays["item_table_sha256"], table_digest(table)):
        raise ExportError(
            f"{folder.path}: item_table.npz is not the item table of the run's checkpoint; "
            "restore it"
        )
    known = stored_known(arrays)
    holding = None
    if holds_candidates(folder.config):
        vectors = np.asarray(known, np.float32)
        holding = holding_of(experiment, table, downlinks=lambda u: vectors[u])
    process = build_process(
        edge_config(folder.config),
        experiment.groups if holding is None else holding.groups,
        table=table,
        table_bytes=0,  # Nothing crosses: no round follows.
        held=None if holding is None else holding.items,
        num_users=experiment.dataset.num_users,
    )
    check_shapes(arrays, edge_arrays(process.initialize(folder.config.seed), process.cohorts))
    return RunModels(
        path=folder.path,
        experiment=experiment,
        process=as_started(process, arrays),
        state=edge_state(arrays, process.cohorts),
        table=table,
        known=known,
        starts=starting_arrays(arrays, process.cohorts, config=edge_config(folder.config)),
        holding=holding,
    )


def _without_checkpoint(folder: RunFolder) -> str:
    """Why a run with an edge model has no checkpoint, and the way out."""
    path, status = folder.path, folder.status
    if status == "complete":
        return "it is complete, so they were removed or not copied; copy its checkpoints/ too"
    if status == "running":
        return (
            "it has not finished a round; wait for one, or, if the run was killed, continue it "
            f"with `ecct resume {path}`"
        )
    return f"it was {status} before its first; continue it with `ecct resume {path}`"
