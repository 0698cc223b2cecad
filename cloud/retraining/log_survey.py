"""Looks at an uplink log as the next job would, without a job."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from cloud.registry import ErasedMarks, Registry
from cloud.retraining.config import JobConfig
from cloud.retraining.history import load_history
from cloud.retraining.log_reading import (
    asked_rounds,
    declared,
    noted,
    notes_since,
    read_before,
)
from cloud.uplink_log import (
    ConsumedFile,
    LeftOut,
    LogContract,
    LogFile,
    Quarantine,
    ReplayWindow,
    UplinkBatch,
    list_log,
    read_uplinks,
    reading_log,
)
from cloud.version_files import StoredCloud
from ecct_tf.errors import ConfigError

__all__ = ["Reading", "Survey", "reading", "survey"]


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the next job would read a log.

    Attributes:
      folder: of the log.
      contract: what an uplink must satisfy.
      consumed: files that the version in force has read.
      window: which rounds it has seen.
      version: number of that version; None when none is in force.
    """

    folder: Path
    contract: LogContract
    consumed: tuple[ConsumedFile, ...]
    window: ReplayWindow
    version: int | None


@dataclasses.dataclass(frozen=True)
class Survey:
    """What is to be read of a log.

    Attributes:
      folder: of the log.
      files: that are read.
      left_out: what lies in the folder and is not read.
      read_before: how many files the version in force has read and are left out.
      version: number of that version; None when none is in force.
      batches: what is sound, read as they are asked for.
    """

    folder: Path
    files: tuple[LogFile, ...]
    left_out: tuple[LeftOut, ...]
    read_before: int
    version: int | None
    batches: Iterator[UplinkBatch]


@contextlib.contextmanager
def survey(
    config: JobConfig, *, log: Path | None, everything: bool, quarantine: Path, show: bool
) -> Iterator[Survey]:
    """Opens a log for reading; nothing of it counts as read afterwards.

    Inside the context its files stay.

    Args:
      config: the job, for what it declared to devices, its history and its registry.
      log: folder of the log; None for the job's own.
      everything: also reads what the version in force has read, as if there were none.
      quarantine: folder for what is refused.
      show: whether a download of the history may show a bar.

    Raises:
      ConfigError: neither `log` nor the job names a log.
      DataError: there is no such log.
      StorageError: the log is being changed, and nobody ends it.
    """
    found = reading(config, log=log, show=show)
    consumed, window = found.consumed, found.window
    if everything:
        consumed, window = (), ReplayWindow(found.contract.num_users)
    with reading_log(found.folder):
        files, left_out = list_log(found.folder, consumed=consumed)
        batches = read_uplinks(
            found.folder,
            files,
            contract=found.contract,
            window=window,
            quarantine=Quarantine(quarantine),
        )
        yield Survey(found.folder, files, left_out, len(consumed), found.version, batches)


def reading(config: JobConfig, *, log: Path | None, show: bool) -> Reading:
    """How the next job of `config` would read a log.

    Args:
      config: the job, for what it declared to devices, its history and its registry.
      log: folder of the log; None for the job's own.
      show: whether a download of the history may show a bar.

    Raises:
      ConfigError: neither `log` nor the job names a log.
    """
    folder = log if log is not None else Path(config.uplinks) if config.uplinks else None
    if folder is None:
        raise ConfigError(
            "uplink log: expected its folder, the job names none; give LOG, or set `uplinks` in "
            "job.yaml"
        )
    registry = Registry(config.registry)
    promoted = registry.promoted()
    known = None if promoted is None else StoredCloud.of(promoted).vocabulary
    erased = ErasedMarks(registry.erased_path).read()
    view = load_history(config, known=known, erased=erased, progress=show).view
    asked = asked_rounds(config, folder, registry=registry)
    forgotten = noted(registry)
    consumed, window = read_before(
        promoted,
        num_users=view.num_users,
        newest_round=asked.newest_round,
        notes=notes_since(forgotten, promoted),
    )
    return Reading(
        folder=folder,
        contract=declared(
            config,
            num_users=view.num_users,
            num_items=view.num_items,
            registry=registry,
            asked=asked,
            forgotten=forgotten,
            now_seconds=int(time.time()),
        ),
        consumed=consumed,
        window=window,
        version=None if promoted is None else promoted.number,
    )
