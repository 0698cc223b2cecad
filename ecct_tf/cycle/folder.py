"""The folder of a chain of cycles: where each side's files lie, and how far it has come."""

import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from cloud.array_files import read_arrays, write_arrays
from ecct_tf.config import Tier, dump_config, tier_slug
from ecct_tf.config.differences import differences
from ecct_tf.cycle.config import CycleConfig
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.federated.cohort import ServerState
from ecct_tf.files import leaving_no_folders, write_text
from ecct_tf.locks import exclusive
from mobile_export.device.state import DeviceState, write_state

__all__ = ["CycleFolder", "Row"]

Row = dict[str, str]


class CycleFolder:
    """Paths and progress of a chain of cycles.

    Attributes:
      path: the folder.
      registry: the cloud's versions.
      uplinks: the log that devices write and jobs read.
      public: what devices fetch.
      export: edge model files, by the item table that they hold.
      models: of these, the folder that the service offers; over HTTP only.
      devices: a folder for each device; over HTTP only.
      tokens: of the devices; over HTTP only.

    Args:
      path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.registry = self.path / "registry"
        self.uplinks = self.path / "uplinks"
        self.public = self.path / "public"
        self.export = self.path / "export"
        self.models = self.path / "models"
        self.devices = self.path / "devices"
        self.tokens = self.path / "tokens.sqlite"

    def job(self, cycle: int) -> Path:
        """Folder of the job after `cycle`; 0 trains the first version."""
        return self.path / "jobs" / f"{cycle:06d}"

    @contextmanager
    def claimed(self, config: CycleConfig) -> Iterator[None]:
        """Makes the folder for `config`, or checks that it was; keeps other processes out.

        Raises:
          ConfigError: it was begun with another configuration, or is something else.
          RunFolderError: another process is at it.
        """
        file, text = self.path / "config.yaml", dump_config(config)
        # Before the lock: the folder of something else stays as it is.
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        found = {name for name in names if not name.startswith(".lock")}
        if found - {f".{file.name}.part"} and not file.exists():
            raise ConfigError(
                f"{self.path} is not empty and has no config.yaml of cycles; give another --out"
            )
        busy = f"another process runs the cycles in {self.path}; wait for it or end it"
        lock = exclusive(self.path / ".lock", busy=RunFolderError(busy))
        with leaving_no_folders(self.path), lock:
            new = not file.exists()
            if new:
                write_text(file, text)
                begun = text
            else:
                begun = file.read_text(encoding="utf-8")
            if begun != text:
                raise ConfigError(
                    f"{self.path} holds cycles with another configuration ({file}): "
                    f"{differences(begun, text)}; give another --out, or the configuration that it "
                    "was begun with"
                )
            try:
                yield
            except BaseException:
                if new:
                    self._leave_no_empty(file)
                raise

    def _leave_no_empty(self, file: Path) -> None:
        """Removes the folder of a chain of which nothing was made, so that settings may change."""
        names = {path.name for path in self.path.iterdir()}
        if all(name == file.name or name.startswith(".lock") for name in names):
            # Nothing is removed that another process makes meanwhile.
            with suppress(OSError):
                file.unlink()
                for name in names - {file.name}:
                    (self.path / name).unlink(missing_ok=True)
                self.path.rmdir()

    def rows(self) -> list[Row]:
        """The lines of `metrics.csv`, one for each cycle that has ended; the first is 0."""
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Ends a cycle: from here on it is not done again."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*self.rows(), row])
        write_text(self.path / "metrics.csv", text.getvalue())

    def edge(self, tier: Tier, cycle: int) -> Path:
        """What the devices of `tier` were after `cycle`: `states/` and `shared.npz`."""
        return self.path / "edge" / tier_slug(tier) / f"{cycle:06d}"

    def shared(self, tier: Tier, cycle: int) -> ServerState:
        """The shared weights of `tier` after `cycle`."""
        arrays = read_arrays(self.edge(tier, cycle) / "shared.npz")
        return ServerState(*(arrays[name] for name in ServerState._fields))

    def write_edge(
        self, tier: Tier, cycle: int, *, states: Sequence[DeviceState], server: ServerState
    ) -> None:
        """Writes all devices of a tier and their shared weights at once, or none of them."""
        out = self.edge(tier, cycle)
        prepared = out.with_name(f".{out.name}.part")
        shutil.rmtree(prepared, ignore_errors=True)
        for state in states:
            write_state(prepared / "states" / f"{state.user}.state", state)
        arrays = {name: np.asarray(value) for name, value in server._asdict().items()}
        write_arrays(prepared / "shared.npz", arrays)
        prepared.rename(out)

    def forget_before(self, cycle: int) -> None:
        """Removes the devices as they were before `cycle`; nothing begins with them any more."""
        for path in (self.path / "edge").glob("*/[0-9]*"):
            if int(path.name) < cycle:
                shutil.rmtree(path)
