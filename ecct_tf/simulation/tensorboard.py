"""TensorBoard events of a run: the same values as `metrics.csv`, as curves."""

import csv
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import tensorflow as tf

from ecct_tf.errors import RunFolderError
from ecct_tf.simulation.loop import Callback, RoundResult
from ecct_tf.tensorflow_files import write_scalar, writing

__all__ = ["TensorBoardWriter", "scalars"]

_QUALITY = ("hr", "ndcg", "mrr", "auc", "gauc", "log_loss")
# Before the name of a further target.
_TARGET = "train_loss_"
_TAGS = {
    "train_loss": "loss/train",
    "cloud_loss": "loss/cloud",
    "stage": "round/stage",
    "devices": "round/devices",
    "seconds": "round/seconds",
    **{
        f"{side}_{name}": f"{side}/validation_{name}"
        for side in ("edge", "cloud", "everything")
        for name in _QUALITY
    },
}


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The curves that a row of `metrics.csv` belongs to, by tag.

    Args:
      row: values by column, as numbers or as text; an empty text was not measured.

    >>> scalars({"round": 3, "edge_hr": "0.5", "cloud_hr": "", "uplink_bytes": 20})
    {'edge/validation_hr': 0.5, 'traffic/uplink_bytes': 20.0}
    >>> scalars({"train_loss_like": 0.25})
    {'loss/train_like': 0.25}
    """
    found = {}
    for column, value in row.items():
        tag = f"traffic/{column}" if column.endswith("_bytes") else _TAGS.get(column)
        if column.startswith(_TARGET):
            tag = f"loss/train_{column.removeprefix(_TARGET)}"
        if tag is not None and value not in ("", None):
            found[tag] = float(value)
    return found


class TensorBoardWriter(Callback):
    """Writes events below a run folder; on a resumed run it writes them anew.

    The rounds after the checkpoint of a killed run are repeated. Events cannot be taken
    back, so old files go, and the rounds that count are replayed from `metrics.csv`.

    Args:
      folder: the run folder; events go to `events/` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def on_start(self, *, rounds: int, num_devices: int, first_round: int) -> None:
        """Begins with the rounds that are done.

        Raises:
          RunFolderError: `metrics.csv` lacks or damages one of them.
        """
        del num_devices
        done = self._done(first_round)
        events = self._folder / "events"
        for old in sorted(events.glob("events.out.tfevents.*")):
            old.unlink()
        if rounds == 0:
            return
        with self._writing():
            self._writer = tf.summary.create_file_writer(str(events))
            for number, values in done:
                self._write(number, values)
            self._writer.flush()

    def on_round(self, result: RoundResult, state: Any) -> None:
        """Adds a round, flushed, so that a running TensorBoard shows it."""
        del state
        with self._writing():
            self._write(result.round_number, scalars(result.row()))
            self._writer.flush()

    def on_end(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            with self._writing():
                self._writer.close()

    def _writing(self) -> AbstractContextManager[None]:
        return writing(
            self._folder / "events",
            way_out=f"then `ecct resume {self._folder}` resumes from the newest checkpoint and "
            "writes the events anew",
        )

    def _write(self, number: int, values: Mapping[str, float]) -> None:
        with self._writer.as_default(step=number):
            for tag, value in values.items():
                write_scalar(tag, value)

    def _done(self, rounds: int) -> list[tuple[int, dict[str, float]]]:
        """Round and values of the first `rounds` rows of `metrics.csv`."""
        if rounds == 0:
            return []
        file = self._folder / "metrics.csv"
        try:
            with file.open(encoding="utf-8", newline="") as lines:
                rows = [(int(row["round"]), scalars(row)) for row in csv.DictReader(lines)]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RunFolderError(f"{file}: expected one row of numbers a round: {error}") from error
        kept = [(number, values) for number, values in rows if number <= rounds]
        if [number for number, _ in kept] != list(range(1, rounds + 1)):
            raise RunFolderError(
                f"{file}: expected a row for each of the {rounds} rounds that are done, found "
                f"{[number for number, _ in kept]}; the file was altered, restore it"
            )
        return kept
