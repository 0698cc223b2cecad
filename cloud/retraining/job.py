"""The job: reads what is new, trains, measures, stores a version, and promotes it if it may."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from cloud.origin import check_cloud
from cloud.recommender import CloudRecommender
from cloud.registry import Registry
from cloud.retraining.config import JobConfig
from cloud.retraining.distribution import build_engine
from cloud.retraining.engine_check import check_engines
from cloud.retraining.engines import Engine, losses_told
from cloud.retraining.folder import JobFolder
from cloud.retraining.gate import JobResult, decide
from cloud.retraining.phases import fit_phase, later_phase
from cloud.retraining.preparation import Prepared, check_erased, check_log, prepare
from cloud.retraining.progress import Progress
from cloud.retraining.quality import Quality, measure
from cloud.retraining.start import begin, starting_space
from cloud.retraining.storing import store
from cloud.retraining.trainer import Trainer
from cloud.uplink_log import reading_log
from ecct_tf.config import is_own_codec
from ecct_tf.edge.registry import find_builder
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge.table_origin import check_item_form
from ecct_tf.tensorflow_files import is_pattern
from ecct_tf.traced_gradients import loosen_gradients
from ecct_tf.wire.row_codec import array_codec

__all__ = ["retrain"]


def retrain(
    config: JobConfig,
    folder: Path,
    *,
    promote_anyway: bool = False,
    show: bool = True,
    now_seconds: int | None = None,
) -> JobResult | None:
    """Runs the job in `folder`, or goes on with it where it was stopped.

    Args:
      config: the job.
      folder: of the job; one that has ended is not run again.
      promote_anyway: promotes whatever the gate says.
      show: whether to show bars where there is a terminal.
      now_seconds: the present, in whole seconds since 1970, UTC; None asks the clock.

    Returns:
      The result; None on a worker that is not the first of its cluster.

    Raises:
      ConfigError: an edge model that there is not; settings that do not fit the folder, the data or
        the promoted version.
      DataError: the history is not the one that the job began with.
      RunFolderError: another process is at the job; files of the log that it read are gone.
      StorageError: the log is being changed, and nobody ends it.
      RegistryError: the registry is damaged.
      WorkerError: a worker of the cluster was lost; start the job again to go on.
    """
    if config.distribution == "parameter_server" and is_pattern(folder):
        raise ConfigError(
            f"{folder}: expected a folder without *, ?, [ or \\ in its path for a job on parameter "
            "servers, which take them for patterns where they restore; give another --out"
        )
    for tier in config.edge.tiers:
        # Before data are read.
        find_builder(tier)
    check_cloud(config.cloud.model)
    check_item_form(config.exchange.item_table)
    if not is_own_codec(config.exchange.codec):
        array_codec(config.exchange.codec)
    check_engines(config.engine)
    engine = build_engine(config.distribution, wait_seconds=config.cluster.wait_seconds)
    job = JobFolder(folder)
    try:
        if not engine.is_chief:
            prepared = prepare(config, folder, is_chief=False, show=False)
            with losses_told():
                _train(config, prepared, engine, Progress(None), checkpoints=folder)
            return None
        with job.claimed(config):
            done = job.result()
            if done is not None:
                return JobResult(**done)
            # To the end: what was read of the log keeps its names until a version says them.
            with reading_log(_log_of(config)):
                prepared = prepare(
                    config, folder, is_chief=True, show=show, now_seconds=now_seconds
                )
                result = _run(config, prepared, engine, job, anyway=promote_anyway, show=show)
                job.write_result(dataclasses.asdict(result))
                return result
    finally:
        engine.close()
        loosen_gradients()


def _run(
    config: JobConfig,
    prepared: Prepared,
    engine: Engine,
    job: JobFolder,
    *,
    anyway: bool,
    show: bool,
) -> JobResult:
    registry = Registry(config.registry)
    inputs = prepared.inputs
    version = registry.committed(inputs.draft)
    if version is None:
        parents = () if inputs.parent is None else (inputs.parent,)
        # Open from the start: garbage collection leaves the parents of an open draft alone.
        with registry.draft(parents=parents, name=inputs.draft) as draft:
            # Once more: from here on nobody is erased, since the draft is open.
            check_erased(registry, inputs, folder=job.path)
            check_log(_log_of(config), inputs, folder=job.path)
            metric = config.validation.metric
            progress = Progress(
                job.path,
                show=show,
                quality=f"cloud_{metric}",
                title="MRR" if metric == "mrr" else f"{metric.upper()}@{config.validation.k}",
            )
            with losses_told():
                trained = _train(config, prepared, engine, progress, checkpoints=job.path)
                # Once more, since a log that may not be written has no lock.
                check_log(_log_of(config), inputs, folder=job.path)
                version = store(
                    config, prepared, trained, draft, folder=job.path, progress=progress
                )
    return decide(config, registry, version, parent=inputs.parent, anyway=anyway)


def _log_of(config: JobConfig) -> Path | None:
    return None if config.uplinks is None else Path(config.uplinks)


def _train(
    config: JobConfig,
    prepared: Prepared,
    engine: Engine,
    progress: Progress,
    *,
    checkpoints: Path,
) -> CloudRecommender:
    """Trains through all phases; the recommender sees the view without what is held out."""
    view = prepared.validation.view
    parent = prepared.parent if prepared.inputs.warm else None
    # It is computed by training, too, which must not be distributed: hence outside the scope.
    space = starting_space(config, view, parent)
    with engine.scope():
        cloud = begin(config, view, parent, space=space)

    def evaluate() -> Mapping[str, Quality]:
        return measure(
            cloud,
            prepared.validation,
            knowledge=prepared.knowledge,
            round_number=prepared.inputs.round_number,
            k=config.validation.k,
        )

    trainer = Trainer(
        cloud,
        engine,
        folder=checkpoints / engine.checkpoint_folder,
        validation=config.validation,
        checkpoint=config.checkpoint,
        evaluate=evaluate,
        progress=progress,
    )
    first = fit_phase(config, prepared, cloud)
    if first is not None:
        trainer.run(first)
    with engine.scope():
        cloud.freeze()
    second = later_phase(config, prepared, cloud)
    if second is not None:
        trainer.run(second)
        with engine.scope():
            cloud.follow()
    return cloud
