"""Steps in folders of jobs: what was read, what was refused, and checkpoints."""

import functools
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from cloud.erasing.places import Step
from cloud.erasing.versions import forget_window
from cloud.redaction import note_of_users
from cloud.retraining.forgetting import forget_knowledge
from cloud.retraining.inputs import INPUTS_NAME, KNOWLEDGE_NAME, reseal_inputs
from cloud.retraining.log_reading import WINDOW, WORK_NAME
from cloud.uplink_log import Quarantine
from ecct_tf.errors import RunFolderError
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.locks import exclusive
from ecct_tf.sealed_json import unseal_json

__all__ = ["job_folders", "steps_in_job", "steps_in_quarantine"]


def job_folders(path: Path) -> list[Path]:
    """The folders of jobs at `path` or right below it."""
    if not path.is_dir():
        return []
    candidates = [path, *sorted(inner for inner in path.iterdir() if inner.is_dir())]
    return [folder for folder in candidates if (folder / "config.yaml").is_file()]


def steps_in_quarantine(folder: Path, users: Sequence[int]) -> Iterator[Step]:
    """A step for refused records."""
    quarantine = Quarantine(folder)
    if count := quarantine.count_of(users):
        yield Step(
            quarantine.path,
            f"{count} refused records",
            "rewritten",
            functools.partial(quarantine.erase, users),
        )
    elif quarantine.holds_remains():
        yield Step(
            quarantine.path,
            "remains of removed records",
            "rewritten",
            functools.partial(quarantine.erase, users),
        )


def steps_in_job(folder: Path, users: Sequence[int], *, marks: int) -> Iterator[Step]:
    """Steps for one job.

    Args:
      folder: of the job.
      users: by number.
      marks: how many users the registry was told to erase, those included.
    """
    yield from steps_in_quarantine(folder / "quarantine", users)
    work = folder / WORK_NAME
    if work.exists():
        yield Step(
            work,
            "arrays that a job was making",
            "removed",
            functools.partial(_locked, folder, functools.partial(_remove, [work])),
        )
    inputs = folder / INPUTS_NAME
    # A kill leaves drafts of files; before there are inputs the job reads the log anew.
    left = sorted(folder.glob(".*.part"))
    if not inputs.exists():
        left += [path for path in (folder / KNOWLEDGE_NAME, folder / WINDOW) if path.exists()]
    if left:
        yield Step(
            folder,
            "what a job that was killed was writing",
            "removed",
            functools.partial(_locked, folder, functools.partial(_remove, left)),
        )
    if not inputs.exists():
        return
    checkpoints = sorted(path for path in folder.glob("checkpoints*") if path.is_dir())
    if checkpoints and _began_before(inputs, marks):
        # Nothing goes on from them: the job has ended, or its history is another one now.
        yield Step(
            folder / "checkpoints",
            "weights in training",
            "removed",
            functools.partial(_locked, folder, functools.partial(_remove, checkpoints)),
        )
    if _holds(folder, users):
        yield Step(
            folder / KNOWLEDGE_NAME,
            "uplinks that were read",
            "rewritten",
            functools.partial(_locked, folder, functools.partial(_redact, folder, users)),
        )


def _began_before(inputs: Path, marks: int) -> bool:
    try:
        began = unseal_json(inputs.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{inputs}: expected what the job was begun with: {error}; remove the folder of the "
            "job, which cannot go on, and give the same command again"
        ) from error
    return int(began.get("erased", 0)) < marks


def _holds(folder: Path, users: Sequence[int]) -> bool:
    stored = {**read_arrays(folder / KNOWLEDGE_NAME)}
    left = _knowledge(stored, users)
    same = all(np.array_equal(stored[name], getattr(left, name)) for name in stored)
    window = read_arrays(folder / WINDOW)
    after = forget_window(folder / WINDOW, users).to_arrays()
    seen = all(np.array_equal(window[name], after[name]) for name in window)
    sealed = unseal_json((folder / INPUTS_NAME).read_text(encoding="utf-8"))["arrays_sha256"]
    # After a kill between the arrays and their hashes.
    fits = all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in sealed.items()
    )
    return not (same and seen and fits)


def _knowledge(stored: dict[str, npt.NDArray[Any]], users: Sequence[int]) -> KnowledgeStore:
    return forget_knowledge(
        KnowledgeStore.from_arrays(stored), [note_of_users(users)], present=2**31 - 1
    )


def _redact(folder: Path, users: Sequence[int]) -> None:
    left = _knowledge(read_arrays(folder / KNOWLEDGE_NAME), users)
    write_arrays(folder / KNOWLEDGE_NAME, vars(left), private=True)
    window = forget_window(folder / WINDOW, users).to_arrays()
    write_arrays(folder / WINDOW, window, private=True)
    reseal_inputs(folder)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _locked(folder: Path, run: functools.partial[None]) -> None:
    busy = f"another process is at the job {folder}; wait for it or end it"
    with exclusive(folder / ".lock", busy=RunFolderError(busy)):
        run()
