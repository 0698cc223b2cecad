"""The run folder: everything that is needed to read, trust, repeat and resume a run."""

import csv
import io
import json
import logging
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecct_tf.config import RunConfig, dump_config, load_config
from ecct_tf.config.parsing import near_sibling, read_mapping
from ecct_tf.config.stored import missing_settings
from ecct_tf.data import Candidates
from ecct_tf.errors import CheckpointError, ConfigError, RunFolderError
from ecct_tf.files import leaving_no_folders, write_atomically, write_text
from ecct_tf.locks import exclusive, new_folder
from ecct_tf.simulation.begun_settings import begun_settings, check_settings
from ecct_tf.simulation.checkpoints import Checkpoint, CheckpointStore
from ecct_tf.simulation.environment import (
    changed_parts,
    installed_packages,
    now,
    own_trace_digest,
    run_environment,
)
from ecct_tf.simulation.unstarted import discard_if_idle, is_unstarted

if TYPE_CHECKING:
    # What reads a run's figures alone imports no TensorFlow.
    from ecct_tf.knowledge import ItemTable

__all__ = ["RunFolder"]

_log = logging.getLogger(__name__)

_ITEM_TABLE, _LOCK = "item_table.npz", ".lock"


class RunFolder:
    """A folder that a run writes; whole files appear atomically, metrics row by row.

    Files: `config.yaml` (resolved), `environment.json` (versions, seed, command),
    `status.json` (the rounds that are done, renewed after each), `run.log` (a line a round,
    warnings, errors), `item_table.npz` (as devices hold it), `metrics.csv` (one row a round),
    `candidates_*.npz`, `results.csv` (test quality), `devices.csv` (rank of every tested
    interaction), `references.csv` (the same of the quick references), `quality_by_group.csv` (test
    quality by activity and of cold devices), `checkpoints/`, `events/` (TensorBoard) and `plots/`.

    Attributes:
      path: where it is.
      config: the run's configuration.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def check(cls, path: Path) -> None:
        """Refuses a path that cannot become a run folder; creates nothing.

        Raises:
          ConfigError: when it exists already, with at least one round or with something else
            in it, or lies below a file.
        """
        if path.exists() and not is_unstarted(path):
            raise ConfigError(
                f"the run folder {path} exists already; choose another with --out, remove it, "
                f"or resume it: ecct resume {path}"
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
        """Makes the folder as `begin` does, and lets go of it."""
        with cls.begin(path, config) as folder:
            return folder

    @classmethod
    @contextmanager
    def begin(cls, path: Path, config: RunConfig) -> Iterator["RunFolder"]:
        """Makes the folder with its configuration, environment and status, all at once.

        Other processes are kept from writing the run until the body ends. One that a run left which
        was killed before its first round gives way.

        Raises:
          ConfigError: there is one already, or another process is making it.
        """
        if discard_if_idle(path):
            _log.info("%s: no round was finished there; starting again", path)
        cls.check(path)
        taken = ConfigError(
            f"the run folder {path} exists already and cannot be replaced: a process is "
            "working on its run, or it has other files in it; choose another with --out"
        )
        if path.exists():
            raise taken

        def fill(draft: Path) -> None:
            write_text(draft / "config.yaml", dump_config(config))
            write_text(draft / "environment.json", _json(run_environment(config)))
            cls(draft, config).set_status("running", round_number=0)

        with leaving_no_folders(path), new_folder(path, fill, lock_name=_LOCK, taken=taken):
            yield cls(path, config)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Opens the folder of an earlier run.

        Raises:
          RunFolderError: when `path` is not a run folder.
          ConfigError: when its configuration cannot be read.
        """
        if not (path / "config.yaml").is_file():
            what = "is not a folder" if not path.is_dir() else "has no config.yaml"
            near = near_sibling(path) or "."
            raise RunFolderError(
                f"{path} is not a run folder: it {what}{near} Give the folder that `ecct simulate` "
                "named when it began."
            )
        return cls(path, load_config(path / "config.yaml"))

    def locked(self) -> AbstractContextManager[None]:
        """Keeps a second process from writing this run; a kill frees it.

        Entering it raises `RunFolderError` when another process writes the run.
        """
        busy = f"another process is writing the run {self.path}; wait for it or end it"
        return exclusive(self.path / _LOCK, busy=RunFolderError(busy))

    @property
    def checkpoints(self) -> CheckpointStore:
        """The run's checkpoints."""
        return CheckpointStore(
            self.path / "checkpoints",
            keep=self.config.checkpoint.keep,
            settings=begun_settings(self.config),
        )

    def newest_checkpoint(self) -> Checkpoint | None:
        """The newest whole checkpoint, computed with the run's settings; None where there is none.

        Raises:
          CheckpointError: it was computed with other settings, or all are damaged.
        """
        found = self.checkpoints.newest()
        if found is not None:
            check_settings(found.settings, self.config, where=self.path)
        return found

    @property
    def status(self) -> str:
        """`running`, `interrupted`, `failed` or `complete`; a killed run stays `running`."""
        path = self.path / "status.json"
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["status"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{path}: expected the run's status, cannot read it: {error}. If the run's other "
                'files are whole, write {"status": "interrupted"} into it.'
            ) from error

    @property
    def seconds(self) -> float:
        """How long the run took until its status was last set."""
        try:
            return float(json.loads((self.path / "status.json").read_text("utf-8"))["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0

    def set_status(self, status: str, *, round_number: int, seconds: float = 0.0) -> None:
        """Records how far the run is, and after how long; a resumed run adds up its parts."""
        values = {"status": status, "round": round_number, "seconds": round(seconds, 1)}
        write_text(self.path / "status.json", _json(values, indent=None))

    def later_settings(self) -> list[str]:
        """The settings, by dotted key, that came after the release that began the run."""
        return missing_settings(read_mapping(self.path / "config.yaml"))

    def check_trace(self) -> None:
        """Refuses another trace of availability than the run began with.

        Raises:
          CheckpointError: it changed.
          DataError: it cannot be read.
        """
        found = own_trace_digest(self.config)
        try:
            recorded = json.loads((self.path / "environment.json").read_text(encoding="utf-8"))
            expected = recorded["availability_trace"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if found != expected:
            raise CheckpointError(
                f"participation.availability.trace={self.config.participation.availability.trace}: "
                f"expected SHA-256 {expected}, with which the run began, received {found}. Restore "
                "the file, or begin a new run."
            )

    def changed_models(self) -> list[str]:
        """What changed in each custom part whose source is not what the run began with.

        Raises:
          ConfigError: when a model of the run cannot be imported.
        """
        try:
            text = (self.path / "environment.json").read_text(encoding="utf-8")
            environment = {**json.loads(text)}
        except (OSError, ValueError, TypeError):
            # Nothing depends on the file in runs of the library's own models.
            environment = {}
        return changed_parts(self.config, environment)

    @property
    def engine(self) -> str | None:
        """The engine that computed the newest rounds; None where the record cannot be read."""
        path = self.path / "environment.json"
        try:
            environment = json.loads(path.read_text(encoding="utf-8"))
            # Before there was a choice it was TFF.
            parts = [{"engine": "tff"}, environment, *environment["resumed"]]
            return str(next(part["engine"] for part in reversed(parts) if "engine" in part))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note_resumed(self, round_number: int, *, engine: str) -> None:
        """Records in `environment.json` that the run was resumed, and by which engine.

        Raises:
          RunFolderError: it cannot be read.
        """
        path = self.path / "environment.json"
        packages = installed_packages()
        note: dict[str, Any] = {"time": now(), "round": round_number, "engine": engine}
        try:
            environment = json.loads(path.read_text(encoding="utf-8"))
            if packages != environment["packages"]:
                note["packages"] = packages
            environment["resumed"].append(note)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(
                f"{path}: expected what the run was begun with, cannot read it: {error!r}. Restore "
                "it from a copy, or begin a new run."
            ) from error
        write_text(path, _json(environment))

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Appends a row to `metrics.csv`, with a header before the first.

        A file that an earlier release began keeps its columns.
        """
        path = self.path / "metrics.csv"
        new = not path.exists()
        columns = list(row)
        if not new:
            with path.open(encoding="utf-8", newline="") as begun:
                columns = next(csv.reader(begun), columns)
        text = io.StringIO()
        writer = csv.DictWriter(
            text, fieldnames=columns, extrasaction="ignore", lineterminator="\n"
        )
        if new:
            writer.writeheader()
        writer.writerow(row)
        # One write of whole lines: a reader, or a kill, never meets half a row.
        with path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())

    def keep_metrics(self, rounds: int) -> None:
        """Drops what `metrics.csv` says of rounds after `rounds`; they will be repeated.

        Raises:
          RunFolderError: when rows of rounds up to `rounds` are missing.
        """
        path = self.path / "metrics.csv"
        if rounds == 0:
            path.unlink(missing_ok=True)
            return
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.DictReader(file) if None not in row.values()]
            kept = [row for row in rows if int(row["round"]) <= rounds]
        except (OSError, ValueError, KeyError) as error:
            raise RunFolderError(f"{path}: expected one row a round: {error}") from error
        if [int(row["round"]) for row in kept] != list(range(1, rounds + 1)):
            raise RunFolderError(
                f"{path}: expected a row for each of the {rounds} rounds that the newest "
                f"checkpoint has behind it, found {len(kept)}; the file was altered. Restore it, "
                "or remove checkpoints/ to start the run again."
            )
        write_text(path, _table(kept))

    def write_results(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the final table."""
        write_text(self.path / "results.csv", _table(rows))

    def write_devices(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the rank of each tested interaction."""
        write_text(self.path / "devices.csv", _table(rows))

    def write_references(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the same of the quick references, so that they can be paired with the run."""
        write_text(self.path / "references.csv", _table(rows))

    def write_groups(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes test quality by groups of users."""
        write_text(self.path / "quality_by_group.csv", _table(rows))

    def write_item_table(self, table: "ItemTable") -> None:
        """Writes the item table as devices received it."""
        from ecct_tf.knowledge.table_arrays import item_table_arrays

        arrays = item_table_arrays(table)
        write_atomically(self.path / _ITEM_TABLE, lambda file: np.savez(file, **arrays))

    def read_item_table(self) -> "ItemTable":
        """The item table as devices received it.

        Raises:
          RunFolderError: when it is missing or damaged.
        """
        from ecct_tf.knowledge.table_arrays import item_table

        path = self.path / _ITEM_TABLE
        try:
            with np.load(path, allow_pickle=False) as stored:
                return item_table({name: stored[name] for name in stored.files})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RunFolderError(
                f"{path}: expected the item table of the run's devices, cannot read it: {error}. "
                "Restore the file; the run cannot be exported without it."
            ) from error

    def write_candidates(self, name: str, candidates: Candidates) -> None:
        """Writes the candidates that quality was measured on."""
        candidates.save(self.path / f"candidates_{name}.npz")


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _json(value: Any, *, indent: int | None = 2) -> str:
    return json.dumps(value, indent=indent) + "\n"
