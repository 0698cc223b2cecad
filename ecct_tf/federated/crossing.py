"""What crosses in a round, outside the TFF computations: downlinks made, uplinks received."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import CodecName, is_own_codec
from ecct_tf.edge import ItemTensors, cloud_told
from ecct_tf.errors import CodecError
from ecct_tf.federated.cloud_protocol import Cloud
from ecct_tf.federated.cohort import Shard
from ecct_tf.federated.device_work import DeviceWork
from ecct_tf.federated.item_rows import Asked
from ecct_tf.knowledge import Downlink, Uplink, UplinkRows, build_codec
from ecct_tf.knowledge.item_means import AskedSums

__all__ = [
    "answers_as_asked",
    "decode_rows",
    "make_downlinks",
    "received_sums",
    "received_uplink",
    "shared_as_received",
]


def make_downlinks(
    cloud: Cloud, work: DeviceWork, *, shards: Sequence[Shard], round_number: int
) -> list[Downlink]:
    """One downlink for each shard, encoded.

    Args:
      cloud: embeds and asks.
      work: of the round's stage.
      shards: the devices that answer.
      round_number: rounds done before this one.
    """
    users = np.concatenate([shard.data.users.ravel() for shard in shards])
    real = users >= 0
    exchange = work.exchange
    known = exchange.nothing_known([len(users)])
    queries = np.zeros((len(users), exchange.num_queries), np.int32)
    if work.receives:
        told = cloud.downlinks(users[real], round_number=round_number)
        exchange.check_known(told, users=int(real.sum()))
        for all_rows, rows in zip(tf.nest.flatten(known), tf.nest.flatten(told), strict=True):
            all_rows[real] = rows
    if work.sends:
        queries[real] = cloud.queries(users[real], round_number=round_number)
    encoded = tf.nest.map_structure(
        np.asarray, exchange.encode_known(tf.nest.map_structure(tf.constant, known))
    )
    downlinks = []
    start = 0
    for shard in shards:
        rows = slice(start, start + shard.data.users.size)
        shape = shard.data.users.shape

        def cut(
            part: npt.NDArray[Any], rows: slice = rows, shape: tuple[int, ...] = shape
        ) -> npt.NDArray[Any]:
            return part[rows].reshape(*shape, *part.shape[1:])

        downlinks.append(
            exchange.downlink(tf.nest.map_structure(cut, encoded), queries=cut(queries))
        )
        start = rows.stop
    return downlinks


def shared_as_received(shared: Any, codec: CodecName) -> npt.NDArray[np.float32]:
    """Shared weights, or a change of them, after they crossed.

    Raises:
      CodecError: the codec made numbers of them that are not finite.
    """
    coder = build_codec(codec)
    encoded = coder.encode(tf.constant(shared))
    found: npt.NDArray[np.float32] = coder.decode(encoded, len(shared)).numpy()
    wrong = int((~np.isfinite(found)).sum())
    if wrong and np.isfinite(shared).all():
        raise CodecError(
            f"codec {codec!r}: expected finite numbers of {len(found)} shared weights, got {wrong} "
            f"that are not; see `ecct check codec {codec}`"
        )
    return found


def received_uplink(work: DeviceWork, uplink: Any) -> Uplink:
    """A round's uplinks as arrays.

    Raises:
      CodecError: when they have not the declared form.
    """
    received = Uplink(
        np.asarray(uplink[0]),
        np.asarray(uplink[1]),
        tuple(map(np.asarray, uplink[2])),
        tuple(map(np.asarray, uplink[3])),
    )
    work.exchange.check_uplink(received)
    return received


def received_sums(
    work: DeviceWork,
    total: Any,
    *,
    items: ItemTensors,
    shards: Sequence[Shard],
    downlinks: Sequence[Downlink],
    salt: int,
) -> Asked:
    """The sum of a round's devices, and what the cloud told and asked them.

    Args:
      work: of the round's stage.
      total: as it reached the server.
      items: the item table.
      shards: the devices that answered.
      downlinks: one for each shard.
      salt: the number that devices hashed with.

    Raises:
      CodecError: it has not the declared form.
    """
    spec, found = work.sums, np.asarray(total)
    if spec is None or found.shape != (spec.size,) or found.dtype != np.int64:
        raise CodecError(
            f"sums of items: expected {None if spec is None else spec.size} numbers int64, got "
            f"{found.shape} {found.dtype}"
        )
    users = np.concatenate([shard.data.users.ravel() for shard in shards])
    real = users >= 0
    queries, expected = list[npt.NDArray[np.int32]](), list[npt.NDArray[np.float32]]()
    for downlink in downlinks:
        asked = np.asarray(downlink.queries)
        known = work.exchange.decode_known(downlink)
        if not work.receives:
            known = tf.nest.map_structure(tf.zeros_like, known)
        told = cloud_told(items, known, tf.constant(asked))
        queries.append(asked.reshape(-1, asked.shape[-1]))
        expected.append(told.logit.numpy().reshape(-1, asked.shape[-1]))
    sums = AskedSums(
        spec,
        found,
        users=users[real],
        items=np.concatenate(queries)[real],
        salt=salt,
        devices=sum(len(shard.members) for shard in shards),
    )
    return Asked(sums, np.concatenate(expected)[real])


def answers_as_asked(
    uplink: Uplink, *, shards: Sequence[Shard], downlinks: Sequence[Downlink]
) -> npt.NDArray[np.bool_]:
    """`[n] bool`: which rows of a round's uplinks answer for the items that the cloud asked about.

    Args:
      uplink: as received.
      shards: the devices that answered.
      downlinks: one for each shard.
    """
    asked = {
        int(user): row
        for shard, downlink in zip(shards, downlinks, strict=True)
        for user, row in zip(
            shard.data.users.ravel(),
            np.asarray(downlink.queries).reshape(-1, uplink.items.shape[1]),
            strict=True,
        )
    }
    rows = [
        int(user) in asked and np.array_equal(asked[int(user)], items)
        for user, items in zip(uplink.users, uplink.items, strict=True)
    ]
    return np.array(rows, np.bool_)


def decode_rows(work: DeviceWork, received: Uplink) -> UplinkRows:
    """Decodes a round's uplinks in the order of users.

    Raises:
      CodecError: a custom codec made numbers of them that are not finite.
    """
    exchange = work.exchange
    order = np.argsort(received.users, kind="stable")

    def decode(encoded: Any, width: int) -> npt.NDArray[np.float32]:
        # Encoded rows are smaller: they are put in order first.
        return np.asarray(exchange.coder.decode(tuple(part[order] for part in encoded), width))

    logits = None
    if exchange.with_logits:
        logits = decode(received.logits, exchange.num_queries)
    # Where none cross rows have none: of no width, which is how the cloud knows.
    embeddings = np.zeros((*received.items.shape, 0), np.float32)
    if exchange.with_embeddings:
        embeddings = decode(received.embeddings, exchange.embedding_dim)
    if not is_own_codec(exchange.codec):
        for values in (embeddings, logits):
            if values is not None and not np.isfinite(values).all():
                raise CodecError(
                    f"codec {exchange.codec!r}: expected finite numbers of an uplink, got others; "
                    f"see `ecct check codec {exchange.codec}`"
                )
    return UplinkRows(
        users=received.users[order],
        items=received.items[order],
        embeddings=embeddings,
        logits=logits,
    )
