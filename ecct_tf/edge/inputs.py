"""From a device's data, its item table and its downlink to the inputs of an edge model."""

import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.config import FeatureConfig
from ecct_tf.edge.features import Interactions, ItemTensors, bounded, interaction_features
from ecct_tf.edge.model import EdgeInputs

__all__ = [
    "cloud_knowledge",
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


def join_inputs(
    items: ItemTensors,
    interactions: Interactions,
    *,
    profile: tf.Tensor,
    cloud_embedding: tf.Tensor,
    cloud_logit: tf.Tensor,
    use_logit: bool,
) -> EdgeInputs:
    """Joins the parts of `EdgeInputs`."""
    return EdgeInputs(
        interactions=interactions.features,
        slots=interactions.slots,
        slot_mask=interactions.slot_mask,
        profile=profile,
        cloud_embedding=cloud_embedding,
        cloud_logit=input_logit(items, cloud_logit, use_logit=use_logit),
    )


def input_logit(items: ItemTensors, cloud_logit: tf.Tensor, *, use_logit: bool) -> tf.Tensor:
    """`z_c` as an input: standardised and clipped, or zero while logits are withheld."""
    if not use_logit:
        return tf.zeros_like(cloud_logit)
    return bounded((cloud_logit - items.logit_mean) * items.logit_scale)


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
    user_embeddings: tf.Tensor,
    use_logit: bool,
    clock: tf.Tensor | None = None,
    reads_items: bool = False,
) -> EdgeInputs:
    """Inputs for K candidates of each user.

    Args:
      items: the item table.
      block_sizes: widths of its blocks.
      config: how histories are pooled.
      history: `[..., L] int32`, newest last.
      candidates: `[..., K] int32`.
      profile: `[..., columns] int32`.
      user_embeddings: `[..., d_c] float32`, decoded from the downlink.
      use_logit: whether stage 2 has begun.
      clock: `[..., W] float32`, readings of the time; None says nothing.
      reads_items: whether the model reads item vectors.

    Returns:
      Inputs with `[..., K]` rows; all of a user have one history.
    """
    rows = tf.shape(candidates)
    embedding, logit = cloud_knowledge(items, tf.expand_dims(user_embeddings, -2), candidates)
    columns = profile.shape[-1]
    inputs = join_inputs(
        items,
        interaction_features(
            items,
            block_sizes=block_sizes,
            config=config,
            history=history,
            candidates=candidates,
            clock=clock,
        ),
        profile=tf.broadcast_to(tf.expand_dims(profile, -2), tf.concat([rows, [columns]], axis=0)),
        cloud_embedding=embedding,
        cloud_logit=logit,
        use_logit=use_logit,
    )
    if not reads_items:
        return inputs
    return with_item_vectors(
        inputs, items, history=tf.expand_dims(history, -2), candidates=candidates
    )
