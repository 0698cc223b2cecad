"""Reads what is new in the uplink log since a version."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.retraining.config import UplinkConfig
from cloud.retraining.uplinks import KnowledgeBuilder
from cloud.uplink_log import (
    ConsumedFile,
    LogContract,
    Quarantine,
    ReplayWindow,
    log_files,
    read_uplinks,
)

__all__ = ["UplinksRead", "consumed_files", "read_new"]

_log = logging.getLogger(__name__)

_LAST_ROUND = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class UplinksRead:
    """What was read.

    Attributes:
      summary: counts and the list of all files read so far, for a manifest.
      window: state of the replay window, for the next job.
    """

    summary: dict[str, Any]
    window: Mapping[str, npt.NDArray[Any]]


def consumed_files(summary: Mapping[str, Any]) -> tuple[ConsumedFile, ...]:
    """The files that a version's summary lists."""
    return tuple(ConsumedFile(**file) for file in summary.get("files", ()))


def read_new(
    folder: Path | None,
    builder: KnowledgeBuilder,
    *,
    exchange: UplinkConfig,
    num_users: int,
    num_items: int,
    newest_version: int,
    consumed: tuple[ConsumedFile, ...],
    window: ReplayWindow,
    quarantine: Path,
) -> UplinksRead:
    """Gives the builder each sound uplink of the files that were not read yet.

    Args:
      folder: of the log; None when the job has none.
      builder: takes the uplinks.
      exchange: what was declared to the devices.
      num_users: users of the vocabulary.
      num_items: items of the vocabulary.
      newest_version: the last version of the cloud.
      consumed: files that the parent version had read.
      window: which rounds were seen; what is read is added.
      quarantine: folder for refused records.
    """
    files = []
    if folder is not None and not folder.is_dir():
        _log.warning("there is no uplink log at %s yet; the job learns from history alone", folder)
    elif folder is not None:
        files = list(log_files(folder, consumed=consumed))
    contract = LogContract(
        num_users=num_users,
        num_items=num_items,
        queries=exchange.queries,
        embedding_dim=exchange.embedding_dim,
        codec=exchange.codec,
        clip_norm=exchange.clip_norm,
        clip_logit=exchange.clip_logit,
        noise_multiplier=exchange.noise_multiplier,
        newest_round=_LAST_ROUND,
        newest_version=newest_version,
    )
    rejected: Counter[str] = Counter()
    finished, total, first, last = [], 0, None, None
    batches = read_uplinks(
        folder or Path(),
        files,
        contract=contract,
        window=window,
        quarantine=Quarantine(quarantine),
    )
    for batch in batches:
        builder.add(batch)
        total += len(batch)
        rejected.update({reason.value: count for reason, count in batch.rejected.items()})
        if batch.finished is not None:
            finished.append(batch.finished)
        if len(batch):
            times: npt.NDArray[np.int64] = batch.created_at_seconds
            first = min(int(times.min()), first if first is not None else int(times.min()))
            last = max(int(times.max()), last or 0)
    summary = {
        "read": total,
        "kept": builder.taken,
        "superseded": builder.superseded,
        "rejected": dict(sorted(rejected.items())),
        "first_created_at_seconds": first,
        "last_created_at_seconds": last,
        "new_files": len(finished),
        "files": [file.as_dict() for file in (*consumed, *finished)],
    }
    return UplinksRead(summary, window.to_arrays())
