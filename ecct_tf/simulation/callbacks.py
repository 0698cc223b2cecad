"""What a run shows while it runs, and what it writes."""

import time
from collections.abc import Callable
from typing import Any

from ecct_tf.bars import Pace, count_from_here, open_bar, say, show_figures, validation_text
from ecct_tf.federated import Algorithm
from ecct_tf.simulation.loop import Callback, RoundResult
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.run_log import LINES, round_line

__all__ = ["Checkpointer", "MetricsWriter", "ProgressBar"]


class ProgressBar(Callback):
    """Rounds, devices a second and the quality so far; without a terminal, lines.

    Of many quick rounds every few have a line, and the first and the last; of slow ones each has.
    """

    def __init__(
        self,
        description: str = "ECCT",
        *,
        k: int = 10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._description = description
        self._k = k
        self._clock = clock
        self._bar: Any = None
        self._rounds = self._first = 0
        self._first_done: float | None = None
        self._lines = Pace(0)

    def on_start(self, *, rounds: int, num_devices: int, first_round: int) -> None:
        """Opens the bar."""
        del num_devices
        self._rounds, self._first = rounds, first_round
        self._lines = Pace(rounds)
        if rounds:
            # The mean of all rounds, as the lines have it.
            self._bar = open_bar(
                self._description, total=rounds, initial=first_round, smoothing=0.0
            )

    def on_round(self, result: RoundResult, state: Any) -> None:
        """Advances it."""
        del state
        rate = result.report.devices / max(result.seconds, 1e-9)
        more = [f"stage {result.report.stage}"] if result.report.stage else []
        sides = {side: metrics.hr for side, metrics in result.validation.items()}
        figures = [validation_text(f"HR@{self._k}", sides)] if sides else []
        more.append(f"{rate:,.0f} devices/s")
        if result.report.under_way:
            more.append(f"{result.report.under_way} under way")
        if result.epsilon is not None:
            more.append(f"ε {result.epsilon:.4g}")
        show_figures(self._bar, self._description, figures, more=more)
        if result.round_number == self._first + 1:
            count_from_here(self._bar)
        self._bar.update()
        self._say(result)

    def _say(self, result: RoundResult) -> None:
        """The round in one line: into `run.log`, and to stderr where there is no bar."""
        done, now = result.round_number, self._clock()
        pace = self._pace(done, now)
        line = round_line(
            result,
            name=self._description,
            rounds=self._rounds,
            k=self._k,
            seconds_left=None if pace is None else pace * (self._rounds - done),
        )
        LINES.info("%s", line)
        if self._bar.disable and self._lines.is_due(done, now=now):
            say(line)

    def _pace(self, done: int, now: float) -> float | None:
        """Seconds a round, without the first of this process, which also traces the graphs.

        None until a second one is done: the first says nothing of the others.
        """
        if self._first_done is None:
            self._first_done = now
            return None
        return (now - self._first_done) / max(done - self._first - 1, 1)

    def on_end(self) -> None:
        """Closes it."""
        if self._bar is not None:
            self._bar.close()


class MetricsWriter(Callback):
    """Appends one row a round to `metrics.csv`, flushed, so that a stopped run can be read."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def on_round(self, result: RoundResult, state: Any) -> None:
        """Writes the row."""
        del state
        self._folder.append_metrics(result.row())


class Checkpointer(Callback):
    """Writes the state after every few rounds, and the last whole one when a run ends early.

    It must come after `MetricsWriter`: a row without its checkpoint is repeated when the
    run is resumed, a checkpoint without its row would lose the row.
    """

    def __init__(self, folder: RunFolder, algorithm: Algorithm[Any], *, fingerprint: str) -> None:
        self._store = folder.checkpoints
        self._every = folder.config.checkpoint.every
        self._algorithm = algorithm
        self._fingerprint = fingerprint
        self._unsaved: tuple[int, Any] | None = None

    def on_round(self, result: RoundResult, state: Any) -> None:
        """Writes the state if it is its turn."""
        self._unsaved = (result.round_number, state)
        if result.round_number % self._every == 0:
            self._save()

    def on_end(self) -> None:
        """Writes the last state."""
        self._save()

    def _save(self) -> None:
        if self._unsaved is not None:
            round_number, state = self._unsaved
            arrays = self._algorithm.to_arrays(state)
            self._store.save(round_number, arrays, fingerprint=self._fingerprint)
            self._unsaved = None
