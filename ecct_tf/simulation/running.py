"""The one way from a configuration to a result, whether a run begins or is resumed."""

import dataclasses
import logging
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud.shared_spaces import InputSpaces
from ecct_tf.config import RunConfig
from ecct_tf.data import Dataset
from ecct_tf.errors import CheckpointError, WorkerError
from ecct_tf.federated import Algorithm, chosen_engine, federated_runtime
from ecct_tf.federated.device_sums import sum_federated, sum_here
from ecct_tf.phases import phase
from ecct_tf.reporting import write_plots
from ecct_tf.simulation.attack_outcome import AttackOutcome, attack_outcome
from ecct_tf.simulation.callbacks import Checkpointer, MetricsWriter, ProgressBar
from ecct_tf.simulation.catalog import catalog_plan
from ecct_tf.simulation.checkpoints import Checkpoint
from ecct_tf.simulation.ecct import EcctAlgorithm
from ecct_tf.simulation.engines import report_engine
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
from ecct_tf.simulation.run_log import LINES
from ecct_tf.simulation.sums_log import SumsLogger
from ecct_tf.simulation.target_outcome import measured_targets, write_targets
from ecct_tf.simulation.tensorboard import TensorBoardWriter
from ecct_tf.simulation.unstarted import discard_unstarted
from ecct_tf.simulation.uplink_log import UplinkLogger, log_folder
from ecct_tf.simulation.worker_load import worker_load
from ecct_tf.traced_gradients import loosen_gradients

__all__ = ["Attempt", "SimulationResult", "run_to_the_end", "uplink_loggers"]

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


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One try at a run: its first, or one that resumes it.

    Attributes:
      folder: the run's; None keeps everything in memory.
      dataset: data that a program has; None loads what the configuration names.
      callbacks: further watchers of the rounds.
      begin: the checkpoint that it begins with; None for the start.
      again: whether an earlier try has begun the run.
    """

    folder: RunFolder | None
    dataset: Dataset | None = None
    callbacks: Sequence[Callback] = ()
    begin: Checkpoint | None = None
    again: bool = False


def run_to_the_end(config: RunConfig, attempt: Attempt) -> SimulationResult:
    """Runs the rounds that are left, measures, and fills the run folder.

    However it ends, the folder says how far the run is; a first try that has not finished a round
    leaves no folder.
    """
    folder, progress, status = attempt.folder, _Progress(attempt), "failed"
    try:
        result = _result(config, attempt, progress)
        status = "complete"
        return result
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except WorkerError as error:
        if folder is None or not (attempt.again or progress.rounds):
            raise
        raise WorkerError(
            f"{error} Finished rounds are kept, settings are in {folder.path / 'config.yaml'}; "
            f"resume with: ecct resume {shlex.quote(str(folder.path))}"
        ) from error
    finally:
        loosen_gradients()
        # A first try that has not finished a round leaves nothing that blocks the next one.
        begun = attempt.again or progress.rounds > 0 or status == "complete"
        if folder is not None and (begun or not discard_unstarted(folder.path)):
            progress.write(status)


def _result(config: RunConfig, attempt: Attempt, progress: "_Progress") -> SimulationResult:
    experiment = build_experiment(config, dataset=attempt.dataset)
    devices = len(experiment.groups)
    meter = PrivacyMeter.of(config, num_devices=devices, schedule=schedule_of(experiment))
    if meter is not None:
        meter.check_bound(config.rounds)
    # Kept for the references alone: at a million items each space and each fit is half a gigabyte.
    spaces, runtime = InputSpaces() if config.baselines else None, config.runtime
    engine = chosen_engine(runtime.engine)
    with federated_runtime(
        engine=engine,
        threads=runtime.threads,
        concurrent_calls=runtime.concurrent_calls,
        load=worker_load(config, num_devices=devices),
        deadline_seconds=runtime.round_deadline_seconds,
        workers=runtime.workers,
        workers_tls=runtime.workers_tls,
    ):
        summed = sum_federated if engine == "tff" else sum_here
        algorithm = build_algorithm(experiment, spaces=spaces, summed=summed)
        if algorithm.rounds:
            before = attempt.folder.engine if attempt.again and attempt.folder else None
            report_engine(runtime, before=before)
        state = _restored(attempt.begin, experiment, algorithm)
        if attempt.folder is not None:
            if attempt.again:
                attempt.folder.keep_metrics(progress.rounds)
                attempt.folder.note_resumed(progress.rounds, engine=engine)
                progress.write("running")
            _prepare(attempt.folder, experiment, algorithm)
        # Before the rounds, since afterwards there would be two states of all devices.
        starts = start_places(experiment, algorithm)
        state = run_rounds(
            algorithm,
            experiment,
            callbacks=_watchers(config, attempt, experiment, algorithm, progress),
            state=state,
            first_round=progress.rounds,
        )
        plan = catalog_plan(experiment)
        with phase("ranking the test items" + (", whole catalog" if plan.own else "")):
            ours = measured_rows(experiment, algorithm, state, starts=starts, catalog=plan.own)
        references = (
            [] if spaces is None else _references(experiment, spaces, catalog=plan.references)
        )
    rows = [*references, *ours]
    outcome = attack_outcome(experiment, algorithm, state, ours)
    targets = measured_targets(experiment, algorithm, state)
    told = (
        plan.note,
        _held(algorithm, experiment),
        "" if meter is None else meter.account.told(meter.epsilon(config.rounds)),
        left_over(state, rounds=algorithm.rounds),
        "" if outcome is None else outcome.told(),
        *(target.told() for target in targets),
    )
    notes = tuple(filter(None, told))
    _log_results(rows, notes)
    if attempt.folder is not None:
        _write_results(attempt.folder, experiment, ours, references=references, outcome=outcome)
        write_targets(targets, attempt.folder.path)
    return SimulationResult(tuple(rows), experiment, algorithm, state, notes)


class _Progress(Callback):
    """Remembers how far the run is, and keeps `status.json` up to it, after the round's files.

    What earlier tries took counts too.
    """

    def __init__(self, attempt: Attempt) -> None:
        self.rounds = 0 if attempt.begin is None else attempt.begin.round_number
        self._folder = attempt.folder
        earlier = attempt.folder.seconds if attempt.folder and attempt.again else 0.0
        self._began = time.monotonic() - earlier

    def on_round(self, result: Any, state: Any) -> None:
        del state
        self.rounds = result.round_number
        self.write("running")

    def write(self, status: str) -> None:
        """Writes `status.json`, where there is a folder."""
        if self._folder is not None:
            seconds = time.monotonic() - self._began
            self._folder.set_status(status, round_number=self.rounds, seconds=seconds)


def _prepare(folder: RunFolder, experiment: Experiment, algorithm: Algorithm[Any]) -> None:
    """Writes what the run is made with, before its rounds."""
    if isinstance(algorithm, EcctAlgorithm):
        folder.write_item_table(algorithm.table)
    folder.write_candidates("validation", experiment.validation)
    folder.write_candidates("test", experiment.test)


def _watchers(
    config: RunConfig,
    attempt: Attempt,
    experiment: Experiment,
    algorithm: Algorithm[Any],
    progress: _Progress,
) -> list[Callback]:
    """What is called after each round, in this order."""
    folder = attempt.folder
    # Before the checkpoint of the round, see `UplinkLogger`.
    watchers: list[Callback] = uplink_loggers(config, None if folder is None else folder.path)
    if folder is not None:
        if config.exchange.item_sums.keep:
            watchers.append(SumsLogger(folder.path))
        watchers += [
            MetricsWriter(folder),
            TensorBoardWriter(folder.path),
            Checkpointer(folder, algorithm, fingerprint=experiment.fingerprint()),
        ]
    bar = ProgressBar(display_name(config), k=config.evaluation.k)
    return [*watchers, bar, progress, *attempt.callbacks]


def uplink_loggers(config: RunConfig, out: Path | None) -> list[Callback]:
    """What writes the uplink log, where the run keeps one.

    Args:
      config: of the run.
      out: the run folder, if there is one.

    Raises:
      ConfigError: the log cannot be where the settings say.
    """
    folder = log_folder(config, out)
    return [] if folder is None else [UplinkLogger(folder, config)]


def _restored(begin: Checkpoint | None, experiment: Experiment, algorithm: Algorithm[Any]) -> Any:
    if begin is None:
        return None
    received = experiment.fingerprint()
    if begin.fingerprint != received:
        raise CheckpointError(
            f"the data is not what the run began with: expected SHA-256 {begin.fingerprint}, "
            f"received {received}. Restore the data, or begin a new run."
        )
    _log.info("resuming after round %d", begin.round_number)
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


def _held(algorithm: Algorithm[Any], experiment: Experiment) -> str:
    """What devices hold of the items, where that is not the whole table."""
    holding = algorithm.holding if isinstance(algorithm, EcctAlgorithm) else None
    return "" if holding is None else holding.told(experiment.test)


def _log_results(rows: Sequence[ResultRow], notes: Sequence[str]) -> None:
    for row in rows:
        found = row.metrics
        LINES.info(
            "test: %s HR@%d %.4f NDCG@%d %.4f", row.model, found.k, found.hr, found.k, found.ndcg
        )
    for line in filter(None, [*map(start_line, rows), *notes]):
        LINES.info("%s", line)


def _write_results(
    folder: RunFolder,
    experiment: Experiment,
    ours: Sequence[ResultRow],
    *,
    references: Sequence[ResultRow],
    outcome: AttackOutcome | None,
) -> None:
    rows = [*references, *ours]
    folder.write_devices(rank_rows(experiment, ours))
    if experiment.config.baselines:
        folder.write_references(rank_rows(experiment, references))
    folder.write_groups(group_rows(experiment, rows))
    folder.write_results([row.as_dict() for row in rows])
    if outcome is not None:
        outcome.write(folder.path)
    write_plots(folder.path)
