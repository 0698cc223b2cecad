"""How devices answer the cloud: with rows of their users, or with what they add to sums."""

from typing import Any

import tensorflow as tf

from ecct_tf.edge import DeviceTask, EdgeModel, EdgeOutputs, ItemTensors, cloud_told, pair_inputs
from ecct_tf.federated.devices import DeviceData
from ecct_tf.federated.silence import worth_sending
from ecct_tf.federated.user_rows import merge_users
from ecct_tf.fixed_order import fixed_order
from ecct_tf.knowledge import ExchangeSpec, Uplink
from ecct_tf.knowledge.item_sums import ItemSumSpec

__all__ = ["answer_rows", "answers_to_sum", "expected_logits", "no_answers", "query_outputs"]


def query_outputs(
    model: EdgeModel,
    task: DeviceTask,
    weights: tf.Tensor,
    *,
    items: ItemTensors,
    block_sizes: tuple[int, ...],
    data: DeviceData,
    queries: tf.Tensor,
    known: Any,
) -> EdgeOutputs:
    """The outputs of trained models for what the cloud asks, in a fixed order of sums.

    Args:
      model: the edge architecture.
      task: what a device does with it.
      weights: `[..., P] float32`.
      items: the item table.
      block_sizes: widths of its blocks.
      data: a device, or a shard of them.
      queries: `[..., U, Q] int32`, items by user.
      known: the cloud's knowledge, decoded from the downlink.

    Returns:
      Outputs of `[..., U * Q]` rows.
    """
    with fixed_order():
        inputs = pair_inputs(
            items,
            block_sizes=block_sizes,
            config=task.features,
            history=data.history,
            candidates=queries,
            profile=data.profile,
            user_embeddings=known,
            use_logit=task.uses_logits,
            use_embedding=task.uses_embeddings,
            reads_items=model.reads_items,
        )
    return model.forward(weights, merge_users(inputs), fixed_order=True)


def expected_logits(items: ItemTensors, queries: tf.Tensor, *, known: Any) -> tf.Tensor:
    """What the cloud itself says of the items that it asks about: `z_c` `[..., U, Q] float32`."""
    with fixed_order():
        return cloud_told(items, known, queries).logit


def answer_rows(
    exchange: ExchangeSpec,
    outputs: EdgeOutputs,
    *,
    users: tf.Tensor,
    queries: tf.Tensor,
    expected: tf.Tensor | None,
    speak_above: float,
    noise_seed: tf.Tensor | None,
) -> Uplink:
    """An uplink with a row for each user who answers; padding and the silent have none.

    Args:
      exchange: the payloads.
      outputs: outputs of `[..., U * Q]` rows.
      users: `[..., U] int32`, below 0 for padding.
      queries: `[..., U, Q] int32`.
      expected: `[..., U, Q] float32`, what the cloud says itself; None where all answer.
      speak_above: root mean square difference from it, from which on a user answers.
      noise_seed: `[2] int64`, seed of the local noise; None without noise.
    """
    users = tf.reshape(users, [-1])
    embeddings = tf.reshape(outputs.embedding, [-1, exchange.num_queries, exchange.embedding_dim])
    logits = tf.reshape(outputs.logit, [-1, exchange.num_queries])
    answering = users >= 0
    if expected is not None:
        expected = tf.reshape(expected, [-1, exchange.num_queries])
        answering &= worth_sending(logits, expected, bound=speak_above)
    rows = tf.where(answering)[:, 0]
    return exchange.make_uplink(
        tf.gather(users, rows),
        tf.gather(tf.reshape(queries, [-1, exchange.num_queries]), rows),
        tf.gather(embeddings, rows),
        tf.gather(logits, rows),
        noise_seed=noise_seed,
    )


def answers_to_sum(
    sums: ItemSumSpec,
    exchange: ExchangeSpec,
    outputs: EdgeOutputs,
    *,
    users: tf.Tensor,
    queries: tf.Tensor,
    expected: tf.Tensor,
    round_number: tf.Tensor,
) -> tf.Tensor:
    """What devices add to sums over devices, as `ItemSumSpec.contribution` says.

    Args:
      sums: the form of the sums.
      exchange: the payloads.
      outputs: outputs of `[..., U * Q]` rows.
      users: `[..., U] int32`, below 0 for padding.
      queries: `[..., U, Q] int32`.
      expected: `[..., U, Q] float32`, what the cloud says itself.
      round_number: `[] int32`.
    """
    # One device without a device axis is a shard of one.
    lead = [-1, tf.shape(queries)[-2], exchange.num_queries]
    return sums.contribution(
        users=tf.reshape(users, lead[:2]),
        items=tf.reshape(queries, lead),
        embeddings=tf.reshape(outputs.embedding, [*lead, exchange.embedding_dim]),
        logits=tf.reshape(outputs.logit, lead),
        expected=tf.reshape(expected, lead),
        round_number=round_number,
    )


def no_answers(exchange: ExchangeSpec, users: tf.Tensor, *, noise_seed: tf.Tensor | None) -> Uplink:
    """An uplink without rows, of devices that do not answer."""
    users = tf.reshape(users, [-1])
    nobody = tf.where(users < -1)[:, 0]
    rows = tf.size(nobody)
    return exchange.make_uplink(
        tf.gather(users, nobody),
        tf.zeros([rows, exchange.num_queries], tf.int32),
        tf.zeros([rows, exchange.num_queries, exchange.embedding_dim]),
        tf.zeros([rows, exchange.num_queries]),
        noise_seed=noise_seed,
    )
