"""What a cloud says of pairs that do not factorise: a row for each item that it chose.

A cloud whose score is no product of a user's and an item's part sends, instead of a user
embedding, `h_c` and `z_c` of K items of its own choice. The device asks for nothing: it looks
up what it happens to need, and of the other items the cloud said nothing. Then `h_c` is zero,
`z_c` as an input is the centre of the cloud's logits, and nothing is distilled.
"""

from typing import Any, NamedTuple

import tensorflow as tf

__all__ = ["CloudRows", "Told", "look_up"]


class CloudRows(NamedTuple):
    """Rows of one user or many, as numbers or as a codec wrote them.

    Attributes:
      items: `[..., K] int32`, each once; 0 where there are fewer, whose row says nothing.
      embeddings: `[..., K, d_c] float32`, `h_c`; or what a codec made of it.
      logits: `[..., K] float32`, `z_c`; likewise.
    """

    items: Any
    embeddings: Any
    logits: Any


class Told(NamedTuple):
    """What a cloud says of candidates.

    Attributes:
      embedding: `[..., B, d_c] float32`, `h_c`; zero where it says nothing.
      logit: `[..., B] float32`, `z_c`; likewise.
      known: `[..., B] float32`, 1 where it says something, else 0; None where it says something
        of every item.
    """

    embedding: tf.Tensor
    logit: tf.Tensor
    known: tf.Tensor | None = None


def look_up(rows: CloudRows, candidates: tf.Tensor, *, owner: tf.Tensor | None = None) -> Told:
    """Finds the rows of candidates; no number is computed, so that all runtimes agree.

    Args:
      rows: decoded, of one user with the leading axes of `candidates`; with `owner` of U users,
        `[..., U, K]`.
      candidates: `[..., B] int32`.
      owner: `[..., B] int32`, whose each candidate is.

    Example:
      >>> parts = [7, 3], [[1.0], [2.0]], [5.0, 6.0]
      >>> rows = CloudRows(*(tf.constant(part) for part in parts))
      >>> told = look_up(rows, tf.constant([3, 4]))
      >>> told.logit.numpy().tolist(), told.known.numpy().tolist()
      ([6.0, 0.0], [1.0, 0.0])
    """
    lead = candidates.shape.rank - 1
    embeddings, logits = rows.embeddings, rows.logits
    if owner is None:
        named = tf.expand_dims(rows.items, -2)
    else:
        named = tf.gather(rows.items, owner, batch_dims=lead)
    same = tf.cast(tf.equal(tf.expand_dims(candidates, -1), named), tf.float32)
    known = tf.reduce_max(same, axis=-1) * tf.cast(candidates > 0, tf.float32)
    place = tf.argmax(same, axis=-1, output_type=tf.int32)
    if owner is not None:
        place += owner * tf.shape(rows.items)[-1]
        embeddings, logits = _joined(embeddings, lead=lead), _joined(logits, lead=lead)
    embedding = tf.gather(embeddings, place, batch_dims=lead)
    logit = tf.gather(logits, place, batch_dims=lead)
    return Told(embedding * tf.expand_dims(known, -1), logit * known, known)


def _joined(tensor: tf.Tensor, *, lead: int) -> tf.Tensor:
    """`[..., U, K, ...]` as `[..., U * K, ...]`, with `lead` axes in front."""
    shape, rest = tf.shape(tensor), tensor.shape[lead + 2 :]
    joined = tf.reshape(tensor, tf.concat([shape[:lead], [-1], shape[lead + 2 :]], axis=0))
    return tf.ensure_shape(joined, [*tensor.shape[:lead], None, *rest])
