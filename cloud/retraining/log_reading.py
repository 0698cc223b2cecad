"""Reads what is new in the uplink log since a version."""

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cloud.array_files import read_arrays
from cloud.registry import ErasedMarks, Registry, Version
from cloud.retraining.config import JobConfig
from cloud.retraining.engine_config import EngineConfig
from cloud.retraining.forgetting import forget_rounds
from cloud.retraining.ingestion import Ingested, Ingestion, find_ingest
from cloud.retraining.refusals import Refusals
from cloud.retraining.uplinks import KnowledgeBuilder
from cloud.uplink_log import (
    ASKED_FOLDER,
    Asked,
    ConsumedFile,
    ForgetNote,
    ForgetNotes,
    Forgotten,
    LeftOut,
    LogContract,
    LogFile,
    Quarantine,
    Reason,
    ReplayWindow,
    list_log,
    warn_of,
)
from ecct_tf.errors import ConfigError, RegistryError
from ecct_tf.files import read_plain_text, write_text

__all__ = [
    "WINDOW",
    "WORK_NAME",
    "UplinksRead",
    "asked_rounds",
    "declared",
    "files_referred_to",
    "first_messages",
    "noted",
    "notes_since",
    "read_before",
    "read_new",
    "write_files_read",
]

_log = logging.getLogger(__name__)

# Large arrays while they are made.
WORK_NAME = ".work"
WINDOW = "replay_window.npz"
# Of more files of the log the names are in a file of the version, not in its manifest.
_FILES_IN_MANIFEST, _FILES_NAME = 1_000, "uplink_files.json"


@dataclasses.dataclass(frozen=True)
class UplinksRead:
    """What was read.

    Attributes:
      summary: counts and the list of all files read so far, for a manifest.
      window: state of the replay window, for the next job.
    """

    summary: dict[str, Any]
    window: Mapping[str, npt.NDArray[Any]]


def read_before(
    version: Version | None,
    *,
    num_users: int,
    newest_round: int,
    notes: Sequence[ForgetNote] = (),
) -> tuple[tuple[ConsumedFile, ...], ReplayWindow]:
    """The files of the log that `version` knows, and the rounds of each user that it has seen.

    Args:
      version: the promoted one; None when there is none.
      num_users: that there are now.
      newest_round: the last that was asked; no user's rounds go beyond it.
      notes: what is to be forgotten since the version was made.
    """
    # A version that no job made has read no log.
    if version is None or "uplinks" not in version.manifest.data:
        return (), ReplayWindow(num_users)
    summary = version.manifest.data["uplinks"]
    consumed = tuple(ConsumedFile(**file) for file in _files_read(version, summary))
    window = ReplayWindow.from_arrays(read_arrays(version.path / WINDOW))
    forgotten = forget_rounds(window.grown(num_users), notes)
    return consumed, forgotten.capped(newest_round)


def files_referred_to(registry: Registry) -> frozenset[str]:
    """Names of files of the log that a stored version has read, or that a note to forget names.

    Raises:
      RegistryError: a version's list of files cannot be read.
      DataError: a note cannot be read.
    """
    found: set[str] = set()
    for version in registry.versions():
        summary = version.manifest.data.get("uplinks", {})
        found.update(file["name"] for file in _files_read(version, summary))
    for note in noted(registry).notes:
        found.update((*note.scope, *note.files))
    return frozenset(found)


def write_files_read(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """`summary` of `UplinksRead` for a manifest, without the names of very many files.

    Whoever lists versions reads all manifests; so many names are in a file beside, which a job
    alone reads.

    Args:
      folder: of the version's draft.
      summary: of what was read.
    """
    files = summary["files"]
    if len(files) <= _FILES_IN_MANIFEST:
        return dict(summary)
    write_text(folder / _FILES_NAME, json.dumps(files, separators=(",", ":")) + "\n", private=True)
    return {**summary, "files": [], "files_in": _FILES_NAME, "num_files": len(files)}


def _files_read(version: Version, summary: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What `write_files_read` was given.

    Raises:
      RegistryError: the version's file of them cannot be read.
    """
    if "files_in" not in summary:
        found: Sequence[Mapping[str, Any]] = summary.get("files", ())
        return found
    path = version.path / summary["files_in"]
    try:
        found = json.loads(read_plain_text(path))
        if len(found) != summary["num_files"]:
            raise ValueError(f"expected {summary['num_files']} files, got {len(found)}")
    except (OSError, ValueError, TypeError) as error:
        raise RegistryError(
            f"{path}: expected the files of the log that version {version.number} has read: "
            f"{error}; restore it from a copy"
        ) from error
    return found


def noted(registry: Registry) -> Forgotten:
    """What is to be forgotten of the log, and whose answers count no more."""
    erased = ErasedMarks(registry.erased_path).read()
    notes = ForgetNotes(registry.forgotten_path).read()
    return dataclasses.replace(notes, erased=erased.numbers)


def notes_since(forgotten: Forgotten, version: Version | None) -> tuple[ForgetNote, ...]:
    """What is to be forgotten that `version` was made before, or that a rollback brought back."""
    followed = 0 if version is None else int(version.manifest.data.get("forgotten", 0))
    return forgotten.notes[followed:]


def asked_rounds(config: JobConfig, folder: Path | None, *, registry: Registry) -> Asked:
    """The rounds that devices were asked in: by `publish`, a simulation, or as declared.

    Args:
      config: the job.
      folder: of the log; None when the job has none.
      registry: whose versions were published.
    """
    folders = [registry.publications_path]
    if folder is not None:
        folders.append(folder / ASKED_FOLDER)
    return Asked.read(folders, newest_round=config.uplink_log.newest_round)


def declared(
    config: JobConfig,
    *,
    num_users: int,
    num_items: int,
    registry: Registry,
    asked: Asked,
    forgotten: Forgotten,
    now_seconds: int,
) -> LogContract:
    """What an uplink must satisfy: form and bounds as declared, and what there is and was asked.

    Args:
      config: the job.
      num_users: that there are.
      num_items: that there are.
      registry: whose versions devices may have.
      asked: the rounds.
      forgotten: what is to be forgotten of the log.
      now_seconds: the present, in whole seconds since 1970, UTC.
    """
    exchange = config.exchange
    return LogContract(
        num_users=num_users,
        num_items=num_items,
        queries=exchange.queries,
        embedding_dim=exchange.embedding_dim,
        codec=exchange.codec,
        clip_norm=exchange.clip_norm,
        clip_logit=exchange.clip_logit,
        noise_multiplier=exchange.noise_multiplier,
        newest_round=asked.newest_round,
        newest_version=max([0, *registry.numbers()]),
        newest_second=now_seconds,
        clock_slack_seconds=round(3600 * config.uplink_log.clock_slack_hours),
        asked=asked,
        forgotten=forgotten,
    )


def read_new(
    folder: Path | None,
    builder: KnowledgeBuilder,
    *,
    contract: LogContract,
    consumed: tuple[ConsumedFile, ...],
    window: ReplayWindow,
    quarantine: Path,
    max_refused: float,
    engine: EngineConfig | None = None,
) -> UplinksRead:
    """Gives the builder each sound uplink of the files that were not read yet.

    Args:
      folder: of the log; None when the job has none.
      builder: takes the uplinks.
      contract: what an uplink must satisfy.
      consumed: files that the parent version had read.
      window: which rounds were seen; what is read is added.
      quarantine: folder for refused records.
      max_refused: the largest share of devices, or of records, that one reason may refuse.
      engine: what reads it; None for this process.

    Raises:
      UplinkRefusalError: more than that was refused; nothing counts as read then.
      ConfigError: there are uplinks, and all of them are of another form than the declared
        one: the job would learn nothing and count them as read.
    """
    files: tuple[LogFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    if folder is not None and not folder.exists():
        _log.warning("there is no uplink log at %s yet; the job learns from history alone", folder)
    elif folder is not None:
        files, left_out = list_log(folder, consumed=consumed)
        warn_of(folder, left_out)
    engine = engine or EngineConfig()
    ingest = find_ingest(engine.ingest)
    if files:
        found = ingest(
            Ingestion(
                log=folder or Path(),
                files=files,
                contract=contract,
                window=window,
                builder=builder,
                quarantine=Quarantine(quarantine),
                work=quarantine.parent / WORK_NAME,
                options=engine.beam,
            )
        )
    else:
        found = Ingested(0, Refusals(0), (), None, None)
    total, refusals = found.read, found.refusals
    rejected = {reason.value: count for reason, count in refusals.total.items()}
    if not total and set(rejected) == {Reason.WRONG_FORM.value}:
        first_refused = next(Quarantine(quarantine).entries())
        count = refusals.total.total()
        raise ConfigError(
            f"uplink log {folder}: all {count:,} new uplinks are of another form than "
            f"the job's: {first_refused.message}. Set exchange.codec, exchange.queries and "
            "exchange.embedding_dim of the job as devices have them, and give the command again: "
            "nothing counts as read yet."
        )
    first_of = first_messages(Quarantine(quarantine), refusals.total)
    refusals.check(most=max_refused, where=str(folder), first=first_of)
    summary = {
        "read": total,
        "kept": builder.taken,
        "superseded": builder.superseded,
        "rejected": dict(sorted(rejected.items())),
        "first_created_at_seconds": found.first,
        "last_created_at_seconds": found.last,
        "new_files": len(found.finished),
        "left_out": [dataclasses.asdict(entry) for entry in left_out],
        "files": [file.as_dict() for file in (*consumed, *found.finished)],
    }
    return UplinksRead(summary, window.to_arrays())


def first_messages(quarantine: Quarantine, reasons: Collection[Reason]) -> dict[Reason, str]:
    """What is said of the first record of each reason, and where it lies."""
    found: dict[Reason, str] = {}
    if not reasons:
        return found
    for entry in quarantine.entries():
        found.setdefault(entry.reason, f"{entry.message} ({entry.file}:{entry.offset})")
        if len(found) == len(reasons):
            break
    return found
