"""What the benchmarks of the retraining job share: uplinks of everybody, drawn from a seed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.uplink_log import ASKED_FOLDER, AskedNotes, Note, UplinkLogWriter
from ecct_tf.knowledge import build_codec
from ecct_tf.wire import UplinkForm, UplinkRecord, pack_uplinks

QUERIES, EDGE_DIM, CODEC = 24, 16, "int8"
_AT_ONCE = 50_000


def write_uplinks(
    folder: Path, *, users: int, items: int, round_number: int, cloud_version: int
) -> None:
    """Appends an uplink of each user; embeddings and logits are drawn, not learned."""
    rng = np.random.default_rng([0, round_number])
    asked = np.stack([1 + rng.choice(items, QUERIES, replace=False) for _ in range(users)])
    _note(folder, round_number=round_number, cloud_version=cloud_version)
    everybody = np.arange(users, dtype=np.int32)
    records = _records(
        rng, everybody, asked, round_number=round_number, cloud_version=cloud_version
    )
    UplinkLogWriter(folder).append(records, name=f"round-{round_number}")


def write_many_uplinks(
    folder: Path, *, users: int, items: int, round_number: int, seed: int
) -> None:
    """The same of very many users, some at a time; an item may be asked about twice."""
    rng = np.random.default_rng([seed, round_number])
    _note(folder, round_number=round_number, cloud_version=0)
    for number, start in enumerate(range(0, users, _AT_ONCE)):
        some = np.arange(start, min(start + _AT_ONCE, users), dtype=np.int32)
        asked = rng.integers(1, items + 1, (len(some), QUERIES))
        records = _records(rng, some, asked, round_number=round_number, cloud_version=0)
        UplinkLogWriter(folder).append(records, name=f"round-{round_number}-{number:05d}")


def _note(folder: Path, *, round_number: int, cloud_version: int) -> None:
    AskedNotes(folder / ASKED_FOLDER).add(
        Note(round_number, cloud_version, _asked_at(round_number))
    )


def _asked_at(round_number: int) -> int:
    return 1_700_000_000 + 86_400 * round_number


def _records(
    rng: np.random.Generator,
    users: npt.NDArray[np.int32],
    asked: npt.NDArray[np.int64],
    *,
    round_number: int,
    cloud_version: int,
) -> Iterator[UplinkRecord]:
    embeddings = rng.normal(size=(len(users), QUERIES, EDGE_DIM)).astype(np.float32)
    logits = rng.normal(size=(len(users), QUERIES)).astype(np.float32)
    codec = build_codec(CODEC)
    form = UplinkForm(queries=QUERIES, embedding_dim=EDGE_DIM, codec=CODEC, with_logits=True)
    payloads = pack_uplinks(
        users,
        asked.astype(np.int32),
        embeddings=[np.asarray(part) for part in codec.encode(tf.constant(embeddings))],
        logits=[np.asarray(part) for part in codec.encode(tf.constant(logits))],
        form=form,
    )
    for user, payload in zip(users.tolist(), payloads, strict=True):
        yield UplinkRecord(
            user=user,
            round_number=round_number,
            cloud_version=cloud_version,
            created_at_seconds=_asked_at(round_number),
            form=form,
            payload=payload.tobytes(),
        )
