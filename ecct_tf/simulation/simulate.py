"""One run from configuration to run folder, or from a checkpoint to its end."""

import dataclasses
import logging
import shlex
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cloud.origin import check_cloud
from cloud.shared_spaces import InputSpaces
from ecct_tf.config import EngineName, RunConfig
from ecct_tf.data import Dataset, described, refuse_in_memory
from ecct_tf.edge import check_edge_models, check_losses
from ecct_tf.errors import CheckpointError, DataError, RunFolderError, WorkerError
from ecct_tf.federated import Algorithm, chosen_engine, federated_runtime
from ecct_tf.federated.aggregators import check_aggregators
from ecct_tf.federated.increments import sum_federated, sum_here
from ecct_tf.federated.named_stages import check_stages
from ecct_tf.knowledge.table_origin import check_item_form
from ecct_tf.phases import phase
from ecct_tf.reporting import write_plots
from ecct_tf.simulation.attack_outcome import attack_outcome
from ecct_tf.simulation.callbacks import Checkpointer, MetricsWriter, ProgressBar
from ecct_tf.simulation.catalog import catalog_plan
from ecct_tf.simulation.checkpoints import Checkpoint
from ecct_tf.simulation.ecct import EcctAlgorithm
from ecct_tf.simulation.engines import report_engine, with_engine
from ecct_tf.simulation.experiment import Experiment, build_experiment
from ecct_tf.simulation.group_quality import group_rows
from ecct_tf.simulation.left_over import left_over
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.methods import build_algorithm, display_name, quick_references
from ecct_tf.simulation.participation import schedule_of
from ecct_tf.simulation.privacy_meter import PrivacyMeter
from ecct_tf.simulation.results import (
    ResultRow,
    measured_rows,
    rank_rows,
    start_line,
    start_places,
)
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.run_log import LINES, run_log
from ecct_tf.simulation.sums_log import SumsLogger
from ecct_tf.simulation.tensorboard import TensorBoardWriter
from ecct_tf.simulation.unstarted import discard_unstarted
from ecct_tf.simulation.uplink_log import UplinkLogger, log_folder
from ecct_tf.simulation.worker_load import worker_load
from ecct_tf.version import __version__

__all__ = ["SimulationResult", "resume", "simulate"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SimulationResult:
    """What a simulation yields.

    Attributes:
      rows: the final table, quick references first.
      experiment: the data it ran on.
      algorithm: what was run.
      state: the state after the last round.
      notes: what was left out, and how to have it.
    """

    rows: tuple[ResultRow, ...]
    experiment: Experiment
    algorithm: Algorithm[Any]
    state: Any
    notes: tuple[str, ...] = ()


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
    _uplink_log(config, out)
    check_edge_models(config.edge, config.features)
    check_losses(config.training)
    check_item_form(config.exchange.item_table)
    check_cloud(config.cloud.model)
    check_aggregators(config)
    check_stages(config)
    folder = None if out is None else RunFolder.create(out, config)
    if folder is None:
        return _run(config, None, dataset=dataset, callbacks=callbacks)
    with folder.locked(), _log_of(folder, "begins"):
        return _run(config, folder, dataset=dataset, callbacks=callbacks)


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
        checkpoint = folder.checkpoints.newest()
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
            return _run(
                config,
                folder,
                dataset=dataset,
                callbacks=callbacks,
                begin=checkpoint,
                again=True,
            )


def _log_of(folder: RunFolder, what: str) -> AbstractContextManager[None]:
    config = folder.config
    data = config.data.name or config.data.dataset
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
    check_edge_models(folder.config.edge, folder.config.features)
    check_losses(folder.config.training)
    check_item_form(folder.config.exchange.item_table)
    check_cloud(folder.config.cloud.model)
    changes = folder.changed_models()
    if changes:
        raise CheckpointError(
            f"{folder.path}: the source of a model changed since the run began: "
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


def _run(
    config: RunConfig,
    folder: RunFolder | None,
    *,
    dataset: Dataset | None,
    callbacks: Sequence[Callback],
    begin: Checkpoint | None = None,
    again: bool = False,
) -> SimulationResult:
    # What an earlier part of the run took counts too.
    began = time.monotonic() - (folder.seconds if folder is not None and again else 0.0)
    first_round = 0 if begin is None else begin.round_number
    status, progress = "failed", _Progress(first_round, folder=folder, began=began)
    try:
        experiment = build_experiment(config, dataset=dataset)
        meter = PrivacyMeter.of(
            config, num_devices=len(experiment.groups), schedule=schedule_of(experiment)
        )
        if meter is not None:
            meter.check_bound(config.rounds)
        spaces = InputSpaces()
        engine = chosen_engine(config.runtime.engine)
        runtime = config.runtime
        with federated_runtime(
            engine=engine,
            threads=runtime.threads,
            concurrent_calls=runtime.concurrent_calls,
            load=worker_load(config, num_devices=len(experiment.groups)),
            deadline_seconds=runtime.round_deadline_seconds,
            workers=runtime.workers,
            workers_tls=runtime.workers_tls,
        ):
            summed = sum_federated if engine == "tff" else sum_here
            algorithm = build_algorithm(experiment, spaces=spaces, summed=summed)
            if algorithm.rounds:
                report_engine(config.runtime, before=folder.engine if again and folder else None)
            state = None if begin is None else _restored(begin, experiment, algorithm)
            watchers = [
                ProgressBar(display_name(config), k=config.evaluation.k),
                progress,
                *callbacks,
            ]
            if folder is not None:
                if again:
                    folder.keep_metrics(progress.rounds)
                    folder.note_resumed(progress.rounds, engine=engine)
                    folder.set_status(
                        "running", round_number=progress.rounds, seconds=time.monotonic() - began
                    )
                if isinstance(algorithm, EcctAlgorithm):
                    folder.write_item_table(algorithm.table)
                folder.write_candidates("validation", experiment.validation)
                folder.write_candidates("test", experiment.test)
                watchers = [*_writers(folder, algorithm, experiment), *watchers]
            # Before the checkpoint of the round, see `UplinkLogger`.
            if folder is not None and config.exchange.item_sums.keep:
                watchers = [SumsLogger(folder.path), *watchers]
            watchers = [*_uplink_log(config, None if folder is None else folder.path), *watchers]
            # Before the rounds, since afterwards there would be two states of all devices.
            starts = start_places(experiment, algorithm)
            state = run_rounds(
                algorithm,
                experiment,
                callbacks=watchers,
                state=state,
                first_round=progress.rounds,
            )
            plan = catalog_plan(experiment)
            with phase("ranking the test items" + (", whole catalog" if plan.own else "")):
                ours = measured_rows(experiment, algorithm, state, starts=starts, catalog=plan.own)
            references = (
                _references(experiment, spaces, catalog=plan.references) if config.baselines else []
            )
            rows = [*references, *ours]
        for row in rows:
            LINES.info(
                "test: %s HR@%d %.4f NDCG@%d %.4f",
                row.model,
                row.metrics.k,
                row.metrics.hr,
                row.metrics.k,
                row.metrics.ndcg,
            )
        privacy = "" if meter is None else meter.account.told(meter.epsilon(config.rounds))
        late = left_over(state, rounds=algorithm.rounds)
        held = _held(algorithm, experiment)
        outcome = attack_outcome(experiment, algorithm, state, ours)
        attacked = None if outcome is None else outcome.told()
        for line in filter(
            None, [*map(start_line, rows), plan.note, held, privacy, late, attacked]
        ):
            LINES.info("%s", line)
        if folder is not None:
            folder.write_devices(rank_rows(experiment, ours))
            if config.baselines:
                folder.write_references(rank_rows(experiment, references))
            folder.write_groups(group_rows(experiment, rows))
            folder.write_results([row.as_dict() for row in rows])
            if outcome is not None:
                outcome.write(folder.path)
            write_plots(folder.path)
        status = "complete"
        notes = tuple(filter(None, (plan.note, held, privacy, late, attacked)))
        return SimulationResult(tuple(rows), experiment, algorithm, state, notes)
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except WorkerError as error:
        if folder is None or not (again or progress.rounds):
            raise
        raise WorkerError(
            f"{error} Finished rounds are kept, settings are in {folder.path / 'config.yaml'}; "
            f"resume with: ecct resume {shlex.quote(str(folder.path))}"
        ) from error
    finally:
        # A first try that has not finished a round leaves nothing that blocks the next one.
        begun = again or progress.rounds > 0 or status == "complete"
        if folder is not None and (begun or not discard_unstarted(folder.path)):
            folder.set_status(
                status, round_number=progress.rounds, seconds=time.monotonic() - began
            )


class _Progress(Callback):
    """Remembers how far the run is, and keeps `status.json` up to it, after the round's files."""

    def __init__(self, rounds: int, *, folder: RunFolder | None, began: float) -> None:
        self.rounds = rounds
        self._folder = folder
        self._began = began

    def on_round(self, result: Any, state: Any) -> None:
        del state
        self.rounds = result.round_number
        if self._folder is not None:
            seconds = time.monotonic() - self._began
            self._folder.set_status("running", round_number=self.rounds, seconds=seconds)


def _writers(
    folder: RunFolder, algorithm: Algorithm[Any], experiment: Experiment
) -> list[Callback]:
    return [
        MetricsWriter(folder),
        TensorBoardWriter(folder.path),
        Checkpointer(folder, algorithm, fingerprint=experiment.fingerprint()),
    ]


def _held(algorithm: Algorithm[Any], experiment: Experiment) -> str:
    """What devices hold of the items, where that is not the whole table."""
    holding = algorithm.holding if isinstance(algorithm, EcctAlgorithm) else None
    return "" if holding is None else holding.told(experiment.test)


def _uplink_log(config: RunConfig, out: Path | None) -> list[Callback]:
    folder = log_folder(config, out)
    return [] if folder is None else [UplinkLogger(folder, config)]


def _restored(begin: Checkpoint, experiment: Experiment, algorithm: Algorithm[Any]) -> Any:
    received = experiment.fingerprint()
    if begin.fingerprint != received:
        raise CheckpointError(
            f"the data is not what the run began with: expected SHA-256 {begin.fingerprint}, "
            f"received {received}. Restore the data, or begin a new run."
        )
    _log.info("going on after round %d", begin.round_number)
    return algorithm.from_arrays(begin.arrays)


def _references(experiment: Experiment, spaces: InputSpaces, *, catalog: bool) -> list[ResultRow]:
    """Rows of the quick references on the same data, candidates and input space."""
    rows = []
    for config in quick_references(experiment.config):
        reference = dataclasses.replace(experiment, config=config)
        algorithm = build_algorithm(reference, spaces=spaces)
        state = run_rounds(
            algorithm,
            reference,
            callbacks=[ProgressBar(display_name(config), k=config.evaluation.k)],
            validate=False,
        )
        found = measured_rows(reference, algorithm, state, catalog=catalog)
        # What the cloud is without an exchange has a row of its own.
        rows += [row for row in found if row.model != "no exchange cloud"]
    return rows
