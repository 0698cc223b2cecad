"""The run folder: everything that is needed to read, trust and repeat a run."""

import csv
import importlib.metadata
import io
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ecct_tf.config import RunConfig, dump_config
from ecct_tf.data import Candidates
from ecct_tf.errors import ConfigError

__all__ = ["RunFolder"]

_PACKAGES = (
    "ecct-tf", "tensorflow", "tensorflow-federated", "tensorflow-recommenders", "numpy", "jax",
)  # fmt: skip


class RunFolder:
    """A folder that a run writes; whole files appear atomically, metrics row by row.

    Files: `config.yaml` (resolved), `environment.json` (versions, seed, command),
    `metrics.csv` (one row a round), `candidates_*.npz`, `results.csv`, `checkpoint/`
    (`edge.npz`, `knowledge.npz`, `cloud.npz`) and `status.json`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def check(cls, path: Path) -> None:
        """Refuses a path that cannot become a run folder; creates nothing.

        Raises:
          ConfigError: when it exists already, or lies below a file.
        """
        if path.exists():
            raise ConfigError(
                f"the run folder {path} exists already; choose another with --out, or remove it"
            )
        for parent in path.absolute().parents:
            if parent.exists():
                if not parent.is_dir():
                    raise ConfigError(f"cannot make the run folder {path}: {parent} is a file")
                if not os.access(parent, os.W_OK):
                    raise ConfigError(f"cannot make the run folder {path}: {parent} is read-only")
                return

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "RunFolder":
        """Makes the folder with its configuration, environment and status."""
        cls.check(path)
        path.mkdir(parents=True)
        folder = cls(path)
        folder._write("config.yaml", dump_config(config))
        folder._write("environment.json", json.dumps(_environment(config), indent=2) + "\n")
        folder.set_status("running")
        return folder

    def set_status(self, status: str) -> None:
        """Records `running`, `interrupted`, `failed` or `complete`."""
        self._write("status.json", json.dumps({"status": status}) + "\n")

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Appends a row to `metrics.csv`, with a header before the first."""
        path = self.path / "metrics.csv"
        new = not path.exists()
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
        # One write of whole lines: a reader, or a kill, never meets half a row.
        with path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())

    def write_results(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the final table."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._write("results.csv", text.getvalue())

    def write_candidates(self, name: str, candidates: Candidates) -> None:
        """Writes the candidates that quality was measured on."""
        candidates.save(self.path / f"candidates_{name}.npz")

    def write_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Writes `checkpoint/<name>.npz`."""

        def write(file: IO[bytes]) -> None:
            np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})

        _atomically(self.path / "checkpoint" / f"{name}.npz", write)

    def _write(self, name: str, text: str) -> None:
        _atomically(self.path / name, lambda file: file.write(text.encode("utf-8")))


def _atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _environment(config: RunConfig) -> dict[str, Any]:
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "seed": config.seed,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": versions,
    }
