"""What a job shows while it runs and what it writes of it: bar, `metrics.csv`, TensorBoard.

Without a terminal lines on stderr say what the bar would.
"""

import csv
import io
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import tensorflow as tf

from ecct_tf.bars import Pace, open_bar, say, show_figures, validation_text
from ecct_tf.errors import RunFolderError
from ecct_tf.files import write_text
from ecct_tf.tensorflow_files import write_scalar, writing

__all__ = ["Progress"]

Row = dict[str, str]

_WORDS = {"seconds": "{:.1f} s", "loss": "loss {:.4f}"}


class Progress:
    """Rows of `metrics.csv`, the same values as TensorBoard events, and a bar of steps.

    A job that goes on repeats what came after its last checkpoint; so rows of it are dropped,
    and events, which cannot be, are written anew from the rows that count.

    Args:
      folder: of the job; None writes and shows nothing, as all workers but the first do.
      show: whether to show a bar where there is a terminal, and lines elsewhere.
      quality: column of the rows that the bar shows, such as `cloud_hr`; by default none.
      title: what the bar calls it, such as `HR@10`.
    """

    def __init__(
        self, folder: Path | None, *, show: bool = True, quality: str = "", title: str = ""
    ) -> None:
        self._folder = folder
        self._show = show and folder is not None
        self._rows: list[Row] = []
        self._events: Any = None
        self._quality = quality
        self._title = title
        self._phase = ""
        self._bar: Any = None
        self._epochs = 0
        self._lines = Pace(0)
        if folder is not None:
            self._rows = _read(folder / "metrics.csv")

    def begin(self, phase: str, *, epochs: int, done: int) -> None:
        """Begins or goes on with a phase.

        Args:
          phase: its name.
          epochs: the most it takes.
          done: the last epoch whose row counts; -1 when none does.
        """
        if self._folder is None:
            return
        self._rows = [
            row for row in self._rows if row["phase"] != phase or int(row["epoch"]) <= done
        ]
        self._replay()
        self._phase, self._epochs, self._lines = phase, epochs, Pace(epochs)
        self._bar = open_bar(phase, show=self._show, leave=False)
        self._show_figures(f"epoch {max(done, 0)}/{epochs}")

    def start_epoch(self, number: int, *, epochs: int, steps: int, done: int) -> None:
        """Sets the bar to the epoch's steps."""
        if self._bar is not None:
            self._bar.reset(total=steps)
            self._show_figures(f"epoch {number}/{epochs}")
            self._bar.update(done)

    def step(self) -> None:
        """Advances the bar."""
        if self._bar is not None:
            self._bar.update()

    def _show_figures(self, epoch: str) -> None:
        """The epoch, and the quality after the one before, which `metrics.csv` has."""
        rows = [row for row in self._rows if row["phase"] == self._phase]
        show_figures(self._bar, self._phase, [epoch, *(self._reached(rows[-1]) if rows else [])])

    def _reached(self, row: Row) -> list[str]:
        """The quality of an epoch in words, where it is known."""
        value = row.get(self._quality, "")
        return [validation_text(self._title, {"cloud": float(value)})] if value else []

    def _say(self, row: Row) -> None:
        """The line of an epoch; 0 is the state before the first."""
        number = int(row["epoch"])
        if number and not self._lines.is_due(number, now=time.monotonic()):
            return
        parts = [f"epoch {number} of {self._epochs}" if number else "before training"]
        if number:
            known = [name for name in ("seconds", "loss") if row.get(name)]
            parts += [_WORDS[name].format(float(row[name])) for name in known]
        self.say(f"{self._phase}: {', '.join([*parts, *self._reached(row)])}")

    def keep(self, epoch: int, *, last: int) -> None:
        """Says which epoch of a phase is kept.

        Args:
          epoch: that one; 0 for the state before the first.
          last: the last one that was trained.
        """
        kept = f"epoch {epoch} of {last}" if epoch else "the state before training"
        self.say(f"{self._phase}: {kept} is kept")

    def say(self, line: str) -> None:
        """Writes a line to stderr where no terminal is."""
        say(line, show=self._show)

    def end_epoch(self, values: Mapping[str, Any]) -> None:
        """Adds the row of an epoch; `values` begins with `phase` and `epoch`."""
        if self._folder is None:
            return
        row = {name: str(value) for name, value in values.items()}
        self._rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._folder / "metrics.csv", text.getvalue())
        with self._writing():
            self._write(row)
            self._events.flush()
        self._say(row)

    def end(self) -> None:
        """Closes the bar and the events."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._events is not None:
            events, self._events = self._events, None
            with self._writing():
                events.close()

    def _replay(self) -> None:
        self.end()
        folder = (self._folder or Path()) / "events"
        for old in sorted(folder.glob("events.out.tfevents.*")):
            old.unlink()
        with self._writing():
            self._events = tf.summary.create_file_writer(str(folder))
            for row in self._rows:
                self._write(row)
            self._events.flush()

    def _writing(self) -> AbstractContextManager[None]:
        return writing(
            (self._folder or Path()) / "events",
            way_out="the same command resumes from the newest checkpoint, and writes the events "
            "anew from metrics.csv",
        )

    def _write(self, row: Row) -> None:
        with self._events.as_default(step=int(row["epoch"])):
            for name, value in row.items():
                if name not in ("phase", "epoch") and value:
                    write_scalar(f"{row['phase']}/{name}", float(value))


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            int(row["epoch"]), row["phase"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{path}: expected one row an epoch, cannot read it: {error}; remove it, and the "
            "job continues without the rows of earlier epochs"
        ) from error
    return rows
