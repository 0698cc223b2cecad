"""The folder of a job: its configuration, what it writes, and who may write it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from cloud.retraining.config import JobConfig
from ecct_tf.config import dump_config
from ecct_tf.config.differences import differences
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.files import write_text
from ecct_tf.locks import exclusive

__all__ = ["JobFolder"]

# What another process has written that begins the job at this moment, or a kill left.
_OF_A_BEGINNING = re.compile(r"\.lock|\.config\.yaml\.part$")


class JobFolder:
    """What a job writes.

    Files: `config.yaml` (resolved), `inputs.json`, `knowledge.npz` and `replay_window.npz`
    (what it reads), `metrics.csv`, `events/` (TensorBoard), `checkpoints/`, `starts/`
    (starting weights of edge models, tier by tier), `quarantine/` and `result.json`.

    Args:
      path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def claimed(self, config: JobConfig) -> Iterator[None]:
        """Makes the folder for `config`, or checks that it was; keeps other processes out.

        A new folder in which an error left nothing but that is removed, and so are the folders
        above that were made for it.

        Raises:
          ConfigError: as `claim` and `locked`.
          RunFolderError: another process is at the job.
        """
        missing = [each for each in (self.path, *self.path.parents) if not each.exists()]
        with self.locked():
            new = not (self.path / "config.yaml").exists()
            try:
                self.claim(config)
                yield
            except BaseException:
                if new:
                    self._leave_no_empty(missing)
                raise

    def _leave_no_empty(self, missing: Sequence[Path]) -> None:
        files = [*self.path.iterdir()]
        if all(each.name == "config.yaml" or _OF_A_BEGINNING.match(each.name) for each in files):
            # Nothing is removed that another process makes meanwhile.
            with suppress(OSError):
                for each in files:
                    each.unlink(missing_ok=True)
                for each in missing:
                    each.rmdir()

    def claim(self, config: JobConfig) -> None:
        """Makes the folder for `config`, or checks that it was made for it.

        Raises:
          ConfigError: it was begun with another configuration.
        """
        file = self.path / "config.yaml"
        text = dump_config(config)
        if file.exists():
            begun = file.read_text(encoding="utf-8")
            # Until it has settled what it reads, a job has done nothing: settings may be corrected.
            if begun != text and (self.path / "inputs.json").exists():
                raise ConfigError(
                    f"{self.path} is the folder of a job with another configuration ({file}): "
                    f"{differences(begun, text)}; give another --out, or the configuration that "
                    "it was begun with"
                )
            if begun != text:
                write_text(file, text)
            return
        write_text(file, text)

    def locked(self) -> AbstractContextManager[None]:
        """Keeps a second process from writing this job; a kill frees it.

        Entering it raises `RunFolderError` when another process is at the job.

        Raises:
          ConfigError: the folder is something else; nothing is written into it.
        """
        if (
            self.path.is_dir()
            and not (self.path / "config.yaml").exists()
            and any(not _OF_A_BEGINNING.match(path.name) for path in self.path.iterdir())
        ):
            raise ConfigError(
                f"{self.path} is not empty and not the folder of a job (it has no config.yaml); "
                "give another --out"
            )
        busy = f"another process is at the job {self.path}; wait for it or end it"
        return exclusive(self.path / ".lock", busy=RunFolderError(busy))

    def result(self) -> dict[str, Any] | None:
        """What the job came to; None while it has not ended.

        Raises:
          RunFolderError: it cannot be read.
        """
        path = self.path / "result.json"
        if not path.exists():
            return None
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunFolderError(
                f"{path}: expected the result of a job: {error}; remove it, and the job writes "
                "it anew"
            ) from error
        return values

    def write_result(self, values: Mapping[str, Any]) -> None:
        """Ends the job."""
        write_text(self.path / "result.json", json.dumps(values, indent=2) + "\n")
