"""A job small enough for a test, and a log for it."""

import numpy as np
import tensorflow as tf

from cloud.retraining import load_job_config
from cloud.uplink_log import ASKED_FOLDER, AskedNotes, Note, UplinkLogWriter
from ecct_tf.knowledge import build_codec
from ecct_tf.wire import UplinkForm, UplinkRecord, pack_uplinks

USERS, ITEMS = 24, 120
QUERIES, EDGE_DIM = 6, 3

SMALL = (
    "data.dataset=synthetic",
    f"data.synthetic_users={USERS}",
    f"data.synthetic_items={ITEMS}",
    "cloud.rank=3",
    "cloud.free_dim=2",
    "cloud.hidden_dim=4",
    "cloud.batch_size=32",
    "cloud.update_batch_size=6",
    "cloud.learning_rate=0.005",
    "cloud.fit_epochs=1",
    "cloud.update_epochs=3",
    "cloud.next_item.epochs=1",
    "cloud.next_item.rank=3",
    "features.history_length=6",
    "features.last_items=2",
    f"exchange.queries={QUERIES}",
    f"exchange.embedding_dim={EDGE_DIM}",
    "validation.negatives=20",
    "validation.patience=3",
    "validation.metric=mrr",
    "cloud.distillation_weight=0.1",
    "checkpoint.every=2",
)


def settings(folder, **changes):
    """The overrides of a small job whose registry and log lie in `folder`."""
    paths = (f"registry={folder / 'registry'}", f"uplinks={folder / 'log'}")
    return [*SMALL, *paths, *(f"{name.replace('__', '.')}={v}" for name, v in changes.items())]


def small_job(folder, **changes):
    return load_job_config(None, overrides=settings(folder, **changes))


def write_log(folder, users, *, round_number=0, cloud_version=0, seed=0, name=None):
    """Appends an uplink of each of `users`, that likes even items, and notes that it was asked."""
    asked = Note(round_number, cloud_version, 1_700_000_000)
    AskedNotes(folder / "log" / ASKED_FOLDER).add(asked)
    if not len(users):
        return ()
    rng = np.random.default_rng([seed, round_number])
    users = np.asarray(users, np.int32)
    items = np.stack([1 + rng.choice(ITEMS, QUERIES, replace=False) for _ in users])
    items = items.astype(np.int32)
    codec = build_codec("int8")
    embeddings = rng.normal(size=(len(users), QUERIES, EDGE_DIM)).astype(np.float32)
    logits = np.where(items % 2 == 0, 3.0, -3.0).astype(np.float32)
    form = UplinkForm(queries=QUERIES, embedding_dim=EDGE_DIM, codec="int8", with_logits=True)
    payloads = pack_uplinks(
        users,
        items,
        embeddings=[np.asarray(part) for part in codec.encode(tf.constant(embeddings))],
        logits=[np.asarray(part) for part in codec.encode(tf.constant(logits))],
        form=form,
    )
    records = [
        UplinkRecord(
            user=int(user),
            round_number=round_number,
            cloud_version=cloud_version,
            created_at_seconds=1_700_000_000 + round_number,
            form=form,
            payload=payload.tobytes(),
        )
        for user, payload in zip(users, payloads, strict=True)
    ]
    return UplinkLogWriter(folder / "log").append(records, name=name)
