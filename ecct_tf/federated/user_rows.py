"""Users of an edge node, each with rows of their own, as the rows of one device."""

import tensorflow as tf

from ecct_tf.edge import EdgeInputs

__all__ = ["merge_users"]


def merge_users(inputs: EdgeInputs) -> EdgeInputs:
    """Merges the user axis into the rows: `[..., U, K, *]` to `[..., U * K, *]`."""

    def merge(tensor: tf.Tensor, trailing: int) -> tf.Tensor:
        shape = tf.shape(tensor)
        split = tensor.shape.rank - trailing - 2
        rows = shape[split] * shape[split + 1]
        merged = tf.reshape(tensor, tf.concat([shape[:split], [rows], shape[split + 2 :]], axis=0))
        static = tensor.shape
        merged.set_shape([*static[:split], None, *static[split + 2 :]])
        return merged

    if inputs.history_items is not None:
        # Users have a history each: with more of them than one, each row gets its own.
        inputs = inputs._replace(
            history_items=_of_each_row(inputs.history_items, inputs.interactions),
            history_mask=_of_each_row(inputs.history_mask, inputs.interactions),
            candidate_items=merge(inputs.candidate_items, 1),
        )
    return inputs._replace(
        interactions=merge(inputs.interactions, 1),
        slots=merge(inputs.slots, 2),
        slot_mask=merge(inputs.slot_mask, 2),
        profile=merge(inputs.profile, 1),
        cloud_embedding=merge(inputs.cloud_embedding, 1),
        cloud_logit=merge(inputs.cloud_logit, 0),
    )


def _of_each_row(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """`[..., U, 1, L, n]` as `[..., 1, L, n]` of one user, or as `[..., U * K, L, n]`, repeated."""
    lead, (users, _, slots, width) = tf.shape(values)[:-4], values.shape[-4:]
    if users == 1:
        return tf.squeeze(values, axis=-4)
    queries = tf.shape(like)[-2]
    repeated = tf.repeat(values, queries, axis=-3)
    merged = tf.reshape(repeated, tf.concat([lead, [-1, slots, width]], axis=0))
    merged.set_shape([*values.shape[:-4], None, slots, width])
    return merged
