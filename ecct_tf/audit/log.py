"""All uplinks of a run, out of the log that it wrote."""

import re
import tempfile
from pathlib import Path

import numpy as np

from cloud.uplink_log import (
    LogContract,
    Quarantine,
    ReplayWindow,
    log_files,
    read_uplinks,
    reading_log,
)
from ecct_tf.audit.received import Received
from ecct_tf.config import RunConfig
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["received_of_log"]


_FILE = re.compile(r"seed(\d+)-round-(\d+)")


def received_of_log(
    folder: Path, config: RunConfig, store: KnowledgeStore, *, rounds: int, num_items: int
) -> Received | None:
    """What the run's log holds of its first `rounds`; None where it lacks what the cloud kept.

    Files of other runs in the same log are told by their names, which carry the seed.

    Args:
      folder: of the log.
      config: of the run.
      store: what its cloud kept.
      rounds: of the checkpoint that is audited.
      num_items: of the data.
    """
    if not folder.is_dir():
        return None
    with reading_log(folder):
        return _received(folder, config, store, rounds=rounds, num_items=num_items)


def _received(
    folder: Path, config: RunConfig, store: KnowledgeStore, *, rounds: int, num_items: int
) -> Received | None:
    files = tuple(
        file
        for file in log_files(folder)
        if (found := _FILE.match(Path(file.name).name))
        and int(found[1]) == config.seed
        and int(found[2]) < rounds
    )
    exchange = config.exchange
    num_users = len(store.rounds)
    contract = LogContract(
        num_users=num_users,
        num_items=num_items,
        queries=exchange.queries,
        embedding_dim=config.edge.embedding_dim,
        codec=exchange.codec,
        clip_norm=exchange.clip_norm,
        clip_logit=exchange.clip_logit,
        noise_multiplier=exchange.noise_multiplier,
        newest_round=rounds - 1,
        newest_version=0,
    )
    with tempfile.TemporaryDirectory() as refused:
        sound = read_uplinks(
            folder,
            files,
            contract=contract,
            window=ReplayWindow(num_users),
            quarantine=Quarantine(Path(refused)),
        )
        batches = list(sound)
    if not batches or any(batch.rejected for batch in batches):
        return None
    logits = [np.where(each.with_logits[:, None], each.logits, np.nan) for each in batches]
    received = Received(
        users=np.concatenate([each.users for each in batches]).astype(np.int64),
        rounds=np.concatenate([each.rounds for each in batches]).astype(np.int64),
        items=np.concatenate([each.items for each in batches]).astype(np.int64),
        embeddings=np.concatenate([each.embeddings for each in batches]).astype(np.float64),
        logits=np.concatenate(logits).astype(np.float64),
        source="uplink log",
    )
    return received if _holds(received, Received.from_store(store)) else None


def _holds(logged: Received, kept: Received) -> bool:
    """Whether each uplink that was kept is in the log, word for word."""
    place = {pair: row for row, pair in enumerate(zip(logged.users, logged.rounds, strict=True))}
    rows = [place.get(pair, -1) for pair in zip(kept.users, kept.rounds, strict=True)]
    return -1 not in rows and np.array_equal(logged.items[rows], kept.items)
