"""What a job reads, fixed when it begins: going on after a kill, it reads the same."""

import dataclasses
import hashlib
import secrets
import time
from pathlib import Path
from typing import Any

from cloud.array_files import read_arrays, write_arrays
from cloud.retraining.log_reading import WINDOW
from ecct_tf.errors import RunFolderError
from ecct_tf.files import open_plain, read_plain_text, write_text
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.plugins import Origin
from ecct_tf.sealed_json import seal_json, unseal_json

__all__ = [
    "INPUTS_NAME",
    "KNOWLEDGE_NAME",
    "JobInputs",
    "read_inputs",
    "read_knowledge",
    "reseal_inputs",
    "write_inputs",
]

INPUTS_NAME, KNOWLEDGE_NAME = "inputs.json", "knowledge.npz"


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
      forgotten: how many notes of what is to be forgotten it has followed.
      erased: how many users were erased from the registry when it began.
      clouds: where a custom cloud came from, by its name.
      arrays_sha256: of the arrays beside `inputs.json`, by the name of the file.
    """

    draft: str
    parent: int | None
    warm: bool
    fingerprint: str
    round_number: int
    uplinks: dict[str, Any]
    forgotten: int = 0
    erased: int = 0
    clouds: dict[str, Origin] = dataclasses.field(default_factory=dict)
    arrays_sha256: dict[str, str] = dataclasses.field(default_factory=dict)

    @staticmethod
    def new_draft(folder: Path) -> str:
        """A draft's name that no other job has."""
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.name)[:60]
        return f"job-{name}-{secrets.token_hex(4)}"


def write_inputs(folder: Path, inputs: JobInputs, knowledge: KnowledgeStore) -> None:
    """Fixes the inputs; they count once `inputs.json` is there, which comes last.

    The state of the replay window must be in the folder already.
    """
    fields = dataclasses.fields(knowledge)
    write_arrays(
        folder / KNOWLEDGE_NAME, {f.name: getattr(knowledge, f.name) for f in fields}, private=True
    )
    hashes = {name: _sha256(folder / name) for name in (KNOWLEDGE_NAME, WINDOW)}
    write_text(
        folder / INPUTS_NAME, seal_json({**dataclasses.asdict(inputs), "arrays_sha256": hashes})
    )


def reseal_inputs(folder: Path) -> None:
    """Takes the arrays beside `inputs.json` as they are now, once a user was erased from them."""
    body = unseal_json(read_plain_text(folder / INPUTS_NAME))
    hashes = {name: _sha256(folder / name) for name in (KNOWLEDGE_NAME, WINDOW)}
    write_text(folder / INPUTS_NAME, seal_json({**body, "arrays_sha256": hashes}))


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
    path = folder / INPUTS_NAME
    deadline = time.monotonic() + wait_seconds
    while not path.exists():
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.2)
    try:
        inputs = JobInputs(**unseal_json(read_plain_text(path)))
        for name, expected in inputs.arrays_sha256.items():
            computed = _sha256(folder / name)
            if computed != expected:
                raise ValueError(
                    f"{name} has SHA-256 {computed[:16]}…, it was written with {expected[:16]}…"
                )
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(
            f"{path}: expected what the job was begun with, cannot read it: {error}; begin "
            "another job in a new folder"
        ) from error
    return inputs, read_knowledge(folder)


def read_knowledge(folder: Path) -> KnowledgeStore:
    """The knowledge that `write_inputs` wrote; what is large stays in its file.

    Raises:
      RegistryError: it cannot be read.
    """
    return KnowledgeStore.from_arrays(read_arrays(folder / KNOWLEDGE_NAME, in_place=True))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
