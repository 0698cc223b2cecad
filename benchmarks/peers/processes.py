"""A process that serves rows (`rows.serve`), from outside."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

__all__ = ["Measured", "RowResult", "ServingProcess"]

# Kernels are too small to be worth more threads; libraries may run several beside each other. XLA
# stays as it comes: its flags for one thread cost it time.
_SURROUNDINGS = {
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Flower and Ray report how they are used unless they are told not to.
    "FLWR_TELEMETRY_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class Measured(NamedTuple):
    """Rounds of a row, one after the other: wall-clock seconds of each, processor time of one."""

    seconds: list[float]
    processor_seconds: float


class RowResult:
    """What became of a row.

    Attributes:
      name: of it.
      loss: of its first round; None where other devices train.
      change: `[P] float32`, of the weights in its first round; None where it is no plain mean.
      table: whether the model has a trainable table of items.
      slow: whether a single round is measured in each turn.
      cycles: what was measured.
    """

    def __init__(self, introduced: Mapping[str, Any]) -> None:
        self.name: str = introduced["name"]
        self.loss: float | None = introduced["loss"]
        self.table: bool = introduced["table"]
        self.slow: bool = introduced["slow"]
        change = introduced["change"]
        self.change: npt.NDArray[np.float64] | None = None if change is None else np.array(change)
        self.cycles: list[Measured] = []


class ServingProcess:
    """A running script, with its rows."""

    def __init__(self, command: Sequence[str | Path], *, path: Sequence[Path] = ()) -> None:
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [*map(str, command), str(writing)],
            env={
                **os.environ,
                **_SURROUNDINGS,
                # Of the library's environment no peer may see anything.
                "PYTHONPATH": os.pathsep.join(map(str, path)),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[writing],
            text=True,
        )
        os.close(writing)
        self._answers = os.fdopen(reading)
        self._command = command
        introduced = self._answer()
        self.rows = [RowResult(row) for row in introduced["rows"]]
        self.versions: dict[str, str] = introduced["versions"]

    def measure(self, row: RowResult, *, rounds: int) -> None:
        """Adds a cycle to a row, of one round where it is slow."""
        rounds = 1 if row.slow else rounds
        if self._process.stdin is not None:
            self._process.stdin.write(f"{self.rows.index(row)} {rounds}\n")
            self._process.stdin.flush()
        row.cycles.append(Measured(**self._answer()))

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._answers.close()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            self._process.wait()
            raise click.ClickException(
                f"{' '.join(map(str, self._command))} ended with exit code "
                f"{self._process.returncode}; its error is above"
            )
        return dict(json.loads(line))
