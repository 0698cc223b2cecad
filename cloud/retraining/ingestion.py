"""How a job reads its uplink log: what an engine is given, what it returns, and the one process."""

import dataclasses
from pathlib import Path
from typing import Protocol

from cloud.retraining.engine_config import ingest_target
from cloud.retraining.refusals import Refusals
from cloud.retraining.uplinks import KnowledgeBuilder
from cloud.uplink_log import (
    ConsumedFile,
    LogContract,
    LogFile,
    Quarantine,
    ReplayWindow,
    read_uplinks,
)
from ecct_tf.plugins import find_function

__all__ = ["Ingest", "Ingested", "Ingestion", "find_ingest", "ingest_here"]


@dataclasses.dataclass(frozen=True, eq=False)
class Ingestion:
    """What an engine reads, and where it puts it.

    Attributes:
      log: folder of the log.
      files: to be read, in order.
      contract: what an uplink must satisfy.
      window: which rounds were seen; the engine adds those that it reads.
      builder: takes the sound uplinks.
      quarantine: takes what is refused.
      work: folder for what the engine needs meanwhile.
      options: of the engine.
    """

    log: Path
    files: tuple[LogFile, ...]
    contract: LogContract
    window: ReplayWindow
    builder: KnowledgeBuilder
    quarantine: Quarantine
    work: Path
    options: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Ingested:
    """What an engine read.

    Attributes:
      read: number of sound uplinks.
      refusals: what was refused.
      finished: the files, in order.
      first: when the oldest sound uplink was made, in whole seconds since 1970; None without any.
      last: the same of the newest.
    """

    read: int
    refusals: Refusals
    finished: tuple[ConsumedFile, ...]
    first: int | None
    last: int | None


class Ingest(Protocol):
    """Reads a log. Whatever the engine, window, builder and quarantine end alike."""

    def __call__(self, given: Ingestion) -> Ingested:
        """Reads all files to their end.

        Raises:
          DataError: a file is missing.
          WorkerError: the engine failed; nothing counts as read.
        """
        ...


def find_ingest(name: str) -> Ingest:
    """The engine that `engine.ingest` names; imports its module.

    Raises:
      ConfigError: there is none of that name, or it cannot be imported.
    """
    what = f"engine.ingest: engine {name!r}"
    return find_function(ingest_target(name), what=what)


def ingest_here(given: Ingestion) -> Ingested:
    """The engine `local`: this process, file after file, in a bounded amount of memory."""
    refusals = Refusals(len(given.files))
    finished: list[ConsumedFile] = []
    total = 0
    first: int | None = None
    last: int | None = None
    for batch in read_uplinks(
        given.log,
        given.files,
        contract=given.contract,
        window=given.window,
        quarantine=given.quarantine,
    ):
        given.builder.add(batch)
        total += len(batch)
        refusals.add(batch)
        if batch.finished is not None:
            finished.append(batch.finished)
        if len(batch):
            oldest = int(batch.created_at_seconds.min())
            newest = int(batch.created_at_seconds.max())
            first = oldest if first is None else min(first, oldest)
            last = newest if last is None else max(last, newest)
    return Ingested(total, refusals, tuple(finished), first, last)
