"""From a device's data, its item table and its downlink to the inputs of an edge model."""

from typing import Any

import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.config import FeatureConfig
from ecct_tf.edge.features import Interactions, ItemTensors, bounded, interaction_features
from ecct_tf.edge.model import EdgeInputs
from ecct_tf.knowledge.rows import CloudRows, Told, look_up

__all__ = [
    "cloud_knowledge",
    "cloud_told",
    "input_embedding",
    "input_logit",
    "join_inputs",
    "pair_inputs",
    "with_item_vectors",
]


def cloud_knowledge(
    items: ItemTensors, user_embeddings: tf.Tensor, candidates: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Completes a downlink into what the cloud says of each candidate.

    Args:
      items: the item table.
      user_embeddings: `[..., B, d_c] float32`, the user embedding of each row.
      candidates: `[..., B] int32`.

    Returns:
      `h_c` `[..., B, d_c]` and `z_c` `[..., B]`, `float32`.
    """
    embedding = user_embeddings * tf.gather(items.cloud, candidates)
    logit = fixed_order.sum_last(embedding) + tf.gather(items.bias, candidates)
    return embedding, logit


def cloud_told(
    items: ItemTensors, known: Any, candidates: tf.Tensor, *, owner: tf.Tensor | None = None
) -> Told:
    """What the cloud says of candidates, in whichever form its downlinks have.

    Args:
      items: the item table.
      known: as decoded from the downlink: the user embedding `[..., d_c] float32`, or `CloudRows`;
        with `owner` of U users, `[..., U, d_c]` or `[..., U, K]`.
      candidates: `[..., B] int32`.
      owner: `[..., B] int32`, whose each candidate is; None where all are one user's.
    """
    if isinstance(known, CloudRows):
        return look_up(known, candidates, owner=owner)
    if owner is None:
        by_row = tf.expand_dims(known, -2)
    else:
        by_row = tf.gather(known, owner, batch_dims=candidates.shape.rank - 1)
    return Told(*cloud_knowledge(items, by_row, candidates))


def join_inputs(
    items: ItemTensors,
    interactions: Interactions,
    *,
    profile: tf.Tensor,
    told: Told,
    use_logit: bool,
    use_embedding: bool = True,
) -> EdgeInputs:
    """Joins the parts of `EdgeInputs`."""
    return EdgeInputs(
        interactions=interactions.features,
        slots=interactions.slots,
        slot_mask=interactions.slot_mask,
        profile=profile,
        cloud_embedding=input_embedding(told.embedding, use_embedding=use_embedding),
        cloud_logit=input_logit(items, told.logit, use_logit=use_logit, known=told.known),
    )


def input_embedding(cloud_embedding: tf.Tensor, *, use_embedding: bool) -> tf.Tensor:
    """`h_c` as an input, or zero while embeddings are withheld."""
    return cloud_embedding if use_embedding else tf.zeros_like(cloud_embedding)


def input_logit(
    items: ItemTensors, cloud_logit: tf.Tensor, *, use_logit: bool, known: tf.Tensor | None = None
) -> tf.Tensor:
    """`z_c` as an input: standardised and clipped, or zero while logits are withheld.

    Zero is the mean of the cloud's logits, and so what the cloud would say of any item; it stands
    too where the cloud says nothing of an item, which is where `known` is 0.
    """
    if not use_logit:
        return tf.zeros_like(cloud_logit)
    scaled = bounded((cloud_logit - items.logit_mean) * items.logit_scale)
    return scaled if known is None else scaled * known


def with_item_vectors(
    inputs: EdgeInputs, items: ItemTensors, *, history: tf.Tensor, candidates: tf.Tensor
) -> EdgeInputs:
    """`inputs` with the item vectors of histories and candidates, for models that read them.

    Args:
      inputs: of B rows.
      items: the item table. An item of a history has the vector that it has as a source of
        item-to-item knowledge, a candidate the one that it has as a target, all blocks in a row.
      history: `[..., B, L] int32`, newest last, 0 for padding; `[..., 1, L]` when all rows share
        one.
      candidates: `[..., B] int32`.
    """
    mask = tf.expand_dims(tf.cast(history > 0, tf.float32), -1)
    return inputs._replace(
        history_items=tf.gather(items.source, history) * mask,
        history_mask=mask,
        candidate_items=tf.gather(items.target, candidates),
    )


def pair_inputs(
    items: ItemTensors,
    *,
    block_sizes: tuple[int, ...],
    config: FeatureConfig,
    history: tf.Tensor,
    candidates: tf.Tensor,
    profile: tf.Tensor,
    user_embeddings: Any,
    use_logit: bool,
    use_embedding: bool = True,
    clock: tf.Tensor | None = None,
    reads_items: bool = False,
    pool_first: bool = False,
    interactions: Interactions | None = None,
) -> EdgeInputs:
    """Inputs for K candidates of each user.

    Args:
      items: the item table.
      block_sizes: widths of its blocks.
      config: how histories are pooled.
      history: `[..., L] int32`, newest last.
      candidates: `[..., K] int32`.
      profile: `[..., columns] int32`.
      user_embeddings: `[..., d_c] float32`, or `CloudRows`, decoded from the downlink.
      use_logit: whether stage 2 has begun.
      use_embedding: whether the model reads the cloud's embedding.
      clock: `[..., W] float32`, readings of the time; None says nothing.
      reads_items: whether the model reads item vectors.
      pool_first: as in `interaction_features`.
      interactions: what `interaction_features` gave of them; None computes it here.

    Returns:
      Inputs with `[..., K]` rows; all of a user have one history.
    """
    rows = tf.shape(candidates)
    columns = profile.shape[-1]
    if interactions is None:
        interactions = interaction_features(
            items,
            block_sizes=block_sizes,
            config=config,
            history=history,
            candidates=candidates,
            clock=clock,
            pool_first=pool_first,
        )
    inputs = join_inputs(
        items,
        interactions,
        profile=tf.broadcast_to(tf.expand_dims(profile, -2), tf.concat([rows, [columns]], axis=0)),
        told=cloud_told(items, user_embeddings, candidates),
        use_logit=use_logit,
        use_embedding=use_embedding,
    )
    if not reads_items:
        return inputs
    return with_item_vectors(
        inputs, items, history=tf.expand_dims(history, -2), candidates=candidates
    )
