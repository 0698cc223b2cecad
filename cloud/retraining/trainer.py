"""The training loop of a job: epochs, early stopping, and checkpoints it goes on from.

What a step does is a function of the variables and of (seed, phase, epoch, step). So the
variables and those numbers are the whole state, and a job that was killed anywhere ends
with the weights that it would have ended with.
"""

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from cloud.divergence import check_learned
from cloud.recommender import CloudRecommender
from cloud.retraining.config import JobCheckpointConfig, ValidationConfig
from cloud.retraining.engines import Engine, Rows, rows_of
from cloud.retraining.progress import Progress
from cloud.retraining.quality import Quality
from cloud.retraining.state import TrainingState

__all__ = ["Phase", "Trainer"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a job.

    Attributes:
      name: what it is called.
      epochs: the most it takes.
      batch_size: rows in a batch.
      rows: the rows of an epoch in their order, from its number alone.
    """

    name: str
    epochs: int
    batch_size: int
    rows: Callable[[int], Rows]


class Trainer:
    """Runs phases on one recommender.

    Args:
      recommender: what to train, built in the scope of `engine`.
      engine: computes the steps.
      folder: of the checkpoints, one folder a phase.
      validation: what decides when to stop.
      checkpoint: when to write.
      evaluate: measures the recommender as it is, by the name of what was measured; the
        first decides.
      progress: what shows and writes how it goes.
    """

    def __init__(
        self,
        recommender: CloudRecommender,
        engine: Engine,
        *,
        folder: Path,
        validation: ValidationConfig,
        checkpoint: JobCheckpointConfig,
        evaluate: Callable[[], Mapping[str, Quality]],
        progress: Progress,
    ) -> None:
        self._recommender = recommender
        self._engine = engine
        self._folder = folder
        self._validation = validation
        self._checkpoint = checkpoint
        self._evaluate = evaluate
        self._progress = progress

    def run(self, phase: Phase) -> int:
        """Trains to the end of the phase; returns the epoch whose variables were kept.

        The state before the first epoch counts as epoch 0, so that a phase never leaves its
        recommender worse on the validation items.

        Raises:
          CheckpointError: the job's own checkpoint cannot be read.
          DivergenceError: loss or weights are not finite.
        """
        state = TrainingState(
            self._recommender.variables(),
            folder=self._folder / phase.name,
            keep=self._checkpoint.keep,
        )
        known = state.restore()
        self._progress.begin(phase.name, epochs=phase.epochs, done=state.epoch if known else -1)
        try:
            if not known:
                self._end_epoch(phase, state, loss=None, seconds=0.0)
            self._engine.prepare(self._recommender.model)
            self._epochs(phase, state)
        finally:
            self._progress.end()
        if not state.done:
            state.finish()
            state.save()
        self._progress.keep(state.best_epoch, last=state.epoch)
        _log.info("%s: kept epoch %d of %d", phase.name, state.best_epoch, state.epoch)
        return state.best_epoch

    def _epochs(self, phase: Phase, state: TrainingState) -> None:
        # The next epoch's rows are drawn while this one is trained.
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming: Future[Rows] | None = None
            while not state.done and not self._should_stop(phase, state):
                coming = coming or ahead.submit(phase.rows, state.epoch)
                rows, coming = coming.result(), None
                if state.epoch + 1 < phase.epochs:
                    coming = ahead.submit(phase.rows, state.epoch + 1)
                self._epoch(phase, state, rows)

    def _should_stop(self, phase: Phase, state: TrainingState) -> bool:
        waited = state.epoch - state.best_epoch
        return state.epoch >= phase.epochs or waited >= self._validation.patience

    def _epoch(self, phase: Phase, state: TrainingState, rows: Rows) -> None:
        began = time.monotonic()
        size = phase.batch_size
        steps = -(-rows_of(rows) // size)
        self._progress.start_epoch(
            state.epoch + 1, epochs=phase.epochs, steps=steps, done=state.step
        )
        self._engine.load(rows, batch_size=size)
        while state.step < steps:
            state.loss_sum += self._engine.step(state.step)
            state.step += 1
            self._progress.step()
            if state.step < steps and state.step % self._checkpoint.every == 0:
                state.save()
        loss = state.loss_sum / steps
        config = self._recommender.config
        check_learned(
            self._recommender.model.trainable_variables,
            loss=loss,
            when=f"phase {phase.name}, epoch {state.epoch + 1}",
            settings={"cloud.learning_rate": config.learning_rate, "cloud.l2": config.l2},
        )
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        self._end_epoch(phase, state, loss=loss, seconds=time.monotonic() - began)

    def _end_epoch(
        self, phase: Phase, state: TrainingState, *, loss: float | None, seconds: float
    ) -> None:
        measured = self._evaluate()
        row: dict[str, object] = {
            "phase": phase.name,
            "epoch": state.epoch,
            "loss": "" if loss is None else loss,
            "seconds": round(seconds, 4),
        }
        for name, quality in measured.items():
            row |= {f"{name}_{each}": value for each, value in dataclasses.asdict(quality).items()}
        state.judge(getattr(next(iter(measured.values())), self._validation.metric))
        self._progress.end_epoch(row)
        metrics = self._recommender.model.measured()
        if metrics:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            _log.info("%s, epoch %d: %s", phase.name, state.epoch, shown)
        state.save()
