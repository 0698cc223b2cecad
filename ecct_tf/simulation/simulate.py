"""One simulation from configuration to run folder: what `ecct simulate` does."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from ecct_tf.config import RunConfig
from ecct_tf.federated import EcctState, federated_runtime
from ecct_tf.simulation.builder import Experiment, build_experiment
from ecct_tf.simulation.callbacks import KeepState, MetricsWriter, ProgressBar
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.results import ResultRow, baseline_rows, cloud_only_row, ecct_rows
from ecct_tf.simulation.run_folder import RunFolder

__all__ = ["SimulationResult", "simulate"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SimulationResult:
    """What a simulation yields.

    Attributes:
      rows: the final table.
      experiment: what was run.
      state: the state after the last round.
    """

    rows: tuple[ResultRow, ...]
    experiment: Experiment
    state: EcctState


def simulate(
    config: RunConfig, *, out: Path | None = None, callbacks: Sequence[Callback] = ()
) -> SimulationResult:
    """Runs ECCT and, if configured, its baselines.

    Args:
      config: the configuration.
      out: run folder to make; None keeps everything in memory.
      callbacks: further watchers of ECCT's rounds.

    Returns:
      The table, the experiment and the final state. An interruption (Ctrl-C) still leaves a
      readable run folder with the checkpoint of the last whole round, and is raised again.
    """
    folder = None if out is None else RunFolder.create(out, config)
    latest: list[EcctState] = []
    experiment: Experiment | None = None
    status = "failed"
    try:
        experiment = build_experiment(config)
        if folder is not None:
            folder.write_candidates("validation", experiment.validation)
            folder.write_candidates("test", experiment.test)
        watchers: list[Callback] = [
            ProgressBar(k=config.evaluation.k),
            KeepState(lambda state: latest.__setitem__(slice(None), [state])),
            *callbacks,
        ]
        if folder is not None:
            watchers.insert(0, MetricsWriter(folder))
        runtime = config.runtime
        rows: list[ResultRow] = []
        with federated_runtime(threads=runtime.threads, concurrent_calls=runtime.concurrent_calls):
            if config.baselines:
                rows.append(cloud_only_row(experiment))
            state = run_rounds(experiment, callbacks=watchers)
            ours = list(ecct_rows(experiment, state))
            if config.baselines:
                rows = [*baseline_rows(experiment), *rows]
        rows += ours
        if folder is not None:
            folder.write_results([row.as_dict() for row in rows])
        status = "complete"
        return SimulationResult(tuple(rows), experiment, state)
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        if folder is not None:
            if experiment is not None and latest:
                _write_checkpoint(folder, experiment, latest[0])
            folder.set_status(status)


def _write_checkpoint(folder: RunFolder, experiment: Experiment, state: EcctState) -> None:
    edge = {"round_number": state.round_number, "fetched": state.fetched}
    for cohort, kept in zip(experiment.process.cohorts, state.cohorts, strict=True):
        tier = cohort.work.model.tier
        for name, value in kept.server._asdict().items():
            edge[f"{tier}/{name}"] = value
        edge[f"{tier}/private"] = kept.private
    folder.write_arrays("edge", edge)
    folder.write_arrays("knowledge", dataclasses.asdict(state.knowledge))
    folder.write_arrays("cloud", experiment.cloud.weights())
