"""What a job works with, read when it begins and read alike when it goes on."""

import dataclasses
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from cloud.origin import changed_clouds, cloud_origins
from cloud.registry import ErasedMarks, Registry
from cloud.retraining.config import JobConfig
from cloud.retraining.history import History, Validation, hold_out, load_history
from cloud.retraining.inputs import (
    JobInputs,
    read_inputs,
    read_knowledge,
    write_inputs,
)
from cloud.retraining.log_reading import (
    WINDOW,
    WORK_NAME,
    asked_rounds,
    declared,
    noted,
    notes_since,
    read_before,
    read_new,
)
from cloud.retraining.start import check_parent, known_before
from cloud.retraining.uplinks import KnowledgeBuilder
from cloud.version_files import StoredCloud
from ecct_tf.budget import DataSize, check_needs, cloud_needs
from ecct_tf.data import Kind
from ecct_tf.errors import DataError, RunFolderError
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["Prepared", "check_erased", "check_log", "check_memory", "prepare"]

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a job works with.

    Attributes:
      inputs: what was fixed when it began.
      parent: the version that was promoted then.
      history: the cloud's side of the data.
      validation: what is held out of it.
      knowledge: the uplinks.
      window: state of the replay window after them.
    """

    inputs: JobInputs
    parent: StoredCloud | None
    history: History
    validation: Validation
    knowledge: KnowledgeStore
    window: Mapping[str, npt.NDArray[Any]]


def prepare(
    config: JobConfig,
    folder: Path,
    *,
    is_chief: bool,
    show: bool,
    now_seconds: int | None = None,
) -> Prepared:
    """Reads all that the job works with.

    Args:
      config: the job.
      folder: of the job.
      is_chief: whether this process fixes the inputs; the others wait for it.
      show: whether a download may show a bar.
      now_seconds: the present, in whole seconds since 1970, UTC; None asks the clock.

    Raises:
      ConfigError: the settings do not fit the promoted version.
      DataError: the history changed since the job began, or the settings of a new one do not fit
        it; then nothing of the job is written.
      ResourceError: the job would need more memory than there is.
      RunFolderError: the first worker did not fix the inputs in time, or the source of a cloud of
        one's own is not what the job trained with.
    """
    found = read_inputs(folder, wait_seconds=0.0 if is_chief else _WAIT_SECONDS)
    if found is None and not is_chief:
        raise RunFolderError(
            f"{folder}: the first worker wrote no inputs within {_WAIT_SECONDS:.0f} s; expected a "
            "folder that all workers share, and the first of them running"
        )
    registry = Registry(config.registry)
    if found is None:
        promoted = registry.promoted()
        number = None if promoted is None else promoted.number
    else:
        number = found[0].parent
    parent = None if number is None else StoredCloud.of(registry.version(number))
    if found is not None:
        check_erased(registry, found[0], folder=folder)
    erased = ErasedMarks(registry.erased_path).read()
    history = load_history(
        config,
        erased=erased,
        known=None if parent is None else parent.vocabulary,
        columns=None if parent is None else parent.columns,
        progress=show,
    )
    if parent is None or config.start == "scratch":
        check_memory(config, history)
    validation = None
    if found is None:
        # Before anything is written: data that the settings do not fit make no job.
        validation = _held_out(config, history)
        now = int(time.time()) if now_seconds is None else now_seconds
        found = _fix(config, folder, registry, number, parent, history, now_seconds=now)
    inputs, knowledge = found
    changes = changed_clouds(inputs.clouds)
    if changes and is_chief and not any(folder.glob("checkpoints*")):
        # As where the first source had an error: nothing is trained that another would not make.
        inputs = dataclasses.replace(inputs, clouds=cloud_origins(config.cloud.model))
        write_inputs(folder, inputs, knowledge)
        _log.info("%s: nothing is trained yet; goes by the new source of the cloud", folder)
    elif changes:
        raise RunFolderError(
            f"{folder}: the source of the cloud changed since the job began: {'; '.join(changes)}. "
            "Restore the source, or begin another job in a new folder."
        )
    if inputs.fingerprint != history.fingerprint:
        raise DataError(
            f"the history is not the one that the job {folder} began with: expected SHA-256 "
            f"{inputs.fingerprint[:16]}…, got {history.fingerprint[:16]}…. Restore the data, or "
            "begin another job in a new folder."
        )
    return Prepared(
        inputs=inputs,
        parent=parent,
        history=history,
        validation=_held_out(config, history) if validation is None else validation,
        knowledge=knowledge,
        window=read_arrays(folder / WINDOW),
    )


def _held_out(config: JobConfig, history: History) -> Validation:
    return hold_out(
        history.view,
        negatives=config.validation.negatives,
        gate=config.gate.held_out,
        most_to_stop=config.validation.users,
        most_for_gate=config.gate.users,
        seed=config.seed,
        user_tokens=history.vocabulary.users,
    )


def check_erased(registry: Registry, inputs: JobInputs, *, folder: Path) -> None:
    """Refuses to go on with what was read of a user who was erased since.

    Raises:
      RunFolderError: one was.
    """
    if inputs.erased != len(ErasedMarks(registry.erased_path).read().users):
        raise RunFolderError(
            f"{folder}: a user was erased from the registry since the job began (ecct cloud "
            "erase); begin another job in a new folder"
        )


def check_log(log: Path | None, inputs: JobInputs, *, folder: Path) -> None:
    """Refuses to store what was read of files that are no longer in the log under their names.

    The records of files that were joined since would count as new to the job after this one.

    Raises:
      RunFolderError: one of them is gone.
    """
    new = inputs.uplinks["new_files"]
    if log is None or not new:
        return
    gone = [
        file["name"] for file in inputs.uplinks["files"][-new:] if not (log / file["name"]).exists()
    ]
    if gone:
        raise RunFolderError(
            f"{folder}: the job read {log / gone[0]}, which is no longer there (in all "
            f"{len(gone):,} of its files): `ecct cloud log compact` joined them after the job was "
            "interrupted, or they were moved. Restore them, or begin another job in a new folder"
        )


def check_memory(config: JobConfig, history: History) -> None:
    """Refuses to compute an item side that cannot fit; a job that keeps its parent's has none."""
    view = history.view
    columns = view.items.columns
    size = DataSize(
        users=view.num_users,
        items=view.num_items,
        older=len(view.older.items),
        recent=0,
        devices=0,
        categories=sum(len(column.vocabulary) for column in columns),
        attributes=1 + sum(column.column.kind is Kind.NUMERIC for column in columns),
    )
    needs = cloud_needs(size, config.cloud, features=config.features)
    check_needs(needs, what="this job")


def _fix(
    config: JobConfig,
    folder: Path,
    registry: Registry,
    number: int | None,
    parent: StoredCloud | None,
    history: History,
    *,
    now_seconds: int,
) -> tuple[JobInputs, KnowledgeStore]:
    warm = config.start == "warm" and parent is not None
    if warm and parent is not None:
        check_parent(config, parent)
    elif config.start == "warm":
        _log.warning("%s: nothing is promoted yet, so the job starts from scratch", registry.path)
    users, items = history.view.num_users, history.view.num_items
    version = None if number is None else registry.version(number)
    forgotten = noted(registry)
    notes = notes_since(forgotten, version)
    before = known_before(config, parent, num_users=users)
    work = folder / WORK_NAME
    builder = KnowledgeBuilder(before, folder=work)
    if parent is not None:
        builder.forget(notes, present=parent.round_number)
    log = None if config.uplinks is None else Path(config.uplinks)
    asked = asked_rounds(config, log, registry=registry)
    # What devices claim does not decide it: one of them could age what all others said.
    present = asked.newest_round
    if parent is not None and parent.round_number > present:
        _log.warning(
            "the promoted version counts to round %d, the last that was asked is %d; later "
            "rounds of its uplinks are set back to it",
            parent.round_number,
            present,
        )
    consumed, window = read_before(version, num_users=users, newest_round=present, notes=notes)
    read = read_new(
        log,
        builder,
        contract=declared(
            config,
            num_users=users,
            num_items=items,
            registry=registry,
            asked=asked,
            forgotten=forgotten,
            now_seconds=now_seconds,
        ),
        consumed=consumed,
        window=window,
        quarantine=folder / "quarantine",
        max_refused=config.uplink_log.max_refused,
        engine=config.engine,
    )
    knowledge = builder.finish(present=present)
    write_arrays(folder / WINDOW, read.window, private=True)
    inputs = JobInputs(
        draft=JobInputs.new_draft(folder),
        parent=number,
        warm=warm,
        fingerprint=history.fingerprint,
        round_number=present,
        uplinks=read.summary,
        forgotten=len(forgotten.notes),
        erased=len(forgotten.erased),
        clouds=cloud_origins(config.cloud.model),
    )
    write_inputs(folder, inputs, knowledge)
    # From here on it is read where it was written.
    knowledge = read_knowledge(folder)
    shutil.rmtree(work, ignore_errors=True)
    heard = int(np.count_nonzero(knowledge.rounds >= 0))
    _log.info("%d uplinks read, %d users heard of", read.summary["read"], heard)
    return inputs, knowledge
