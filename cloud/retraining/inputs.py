"""What a job reads, fixed when it begins: going on after a kill, it reads the same."""

import dataclasses
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud.version_files import read_arrays, write_arrays
from ecct_tf.errors import RunFolderError
from ecct_tf.files import write_text
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["JobInputs", "read_inputs", "write_inputs"]

_FILE, _KNOWLEDGE = "inputs.json", "knowledge.npz"


@dataclasses.dataclass(frozen=True)
class JobInputs:
    """What a job was begun with.

    Attributes:
      draft: name of the draft that it fills.
      parent: number of the promoted version it was begun from; None when there was none.
      warm: whether it goes on from that version's weights.
      fingerprint: of the history.
      round_number: the round that staleness counts to.
      uplinks: what was read of the log: counts, reasons of refusal and the files.
    """

    draft: str
    parent: int | None
    warm: bool
    fingerprint: str
    round_number: int
    uplinks: dict[str, Any]

    @staticmethod
    def new_draft(folder: Path) -> str:
        """A draft's name that no other job has."""
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.name)[:60]
        return f"job-{name}-{secrets.token_hex(4)}"


def write_inputs(folder: Path, inputs: JobInputs, knowledge: KnowledgeStore) -> None:
    """Fixes the inputs; they count once `inputs.json` is there, which comes last."""
    fields = dataclasses.fields(knowledge)
    write_arrays(folder / _KNOWLEDGE, {f.name: getattr(knowledge, f.name) for f in fields})
    write_text(folder / _FILE, json.dumps(dataclasses.asdict(inputs), indent=2) + "\n")


def read_inputs(
    folder: Path, *, wait_seconds: float = 0.0
) -> tuple[JobInputs, KnowledgeStore] | None:
    """The inputs that were fixed; None when they were not yet.

    Args:
      folder: of the job.
      wait_seconds: how long to wait for another worker to fix them.

    Raises:
      RunFolderError: they cannot be read.
    """
    path = folder / _FILE
    deadline = time.monotonic() + wait_seconds
    while not path.exists():
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.2)
    try:
        values: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        inputs = JobInputs(**values)
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(
            f"{path}: expected what the job was begun with, cannot read it: {error}; begin "
            "another job in a new folder"
        ) from error
    return inputs, KnowledgeStore(**read_arrays(folder / _KNOWLEDGE))
