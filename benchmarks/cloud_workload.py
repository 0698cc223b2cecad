"""What the benchmarks of the retraining job share: uplinks of everybody, drawn from a seed."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from cloud.uplink_log import ASKED_FOLDER, AskedNotes, Note, UplinkLogWriter
from ecct_tf.knowledge import build_codec
from ecct_tf.wire import UplinkForm, UplinkRecord, pack_uplinks

QUERIES, EDGE_DIM, CODEC = 24, 16, "int8"


def write_uplinks(
    folder: Path, *, users: int, items: int, round_number: int, cloud_version: int
) -> None:
    """Appends an uplink of each user; embeddings and logits are drawn, not learned."""
    rng = np.random.default_rng([0, round_number])
    asked = np.stack([1 + rng.choice(items, QUERIES, replace=False) for _ in range(users)])
    embeddings = rng.normal(size=(users, QUERIES, EDGE_DIM)).astype(np.float32)
    logits = rng.normal(size=(users, QUERIES)).astype(np.float32)
    codec = build_codec(CODEC)
    form = UplinkForm(queries=QUERIES, embedding_dim=EDGE_DIM, codec=CODEC, with_logits=True)
    payloads = pack_uplinks(
        np.arange(users, dtype=np.int32),
        asked.astype(np.int32),
        embeddings=[np.asarray(part) for part in codec.encode(tf.constant(embeddings))],
        logits=[np.asarray(part) for part in codec.encode(tf.constant(logits))],
        form=form,
    )
    asked_at = 1_700_000_000 + 86_400 * round_number
    AskedNotes(folder / ASKED_FOLDER).add(Note(round_number, cloud_version, asked_at))
    UplinkLogWriter(folder).append(
        (
            UplinkRecord(
                user=user,
                round_number=round_number,
                cloud_version=cloud_version,
                created_at_seconds=asked_at,
                form=form,
                payload=payload.tobytes(),
            )
            for user, payload in enumerate(payloads)
        ),
        name=f"round-{round_number}",
    )
