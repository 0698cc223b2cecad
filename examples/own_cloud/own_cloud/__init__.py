"""A cloud model of one's own: two towers over ids, histories, a price and a text vector.

Items have the columns `price` (numeric) and `text` (a vector, such as a sentence embedding).
"""

import tensorflow as tf
import tensorflow_recommenders as tfrs

import ecct_tf as ecct

_WIDTH = 32


def build(spec: ecct.CloudSpec) -> ecct.TwoTowerCloud:
    """The towers, a retrieval and a ranking task, and Adagrad."""
    item = _embedding(spec.candidates["item_id"].size)
    met = _embedding(spec.queries["history"].size)
    return ecct.TwoTowerCloud(
        query_tower=_query_tower(spec, met),
        candidate_tower=_candidate_tower(spec, item),
        task=[
            (tfrs.tasks.Retrieval(temperature=0.5), 1.0),
            (tfrs.tasks.Ranking(loss=tf.keras.losses.BinaryCrossentropy(from_logits=True)), 0.2),
        ],
        optimizer=tf.keras.optimizers.Adagrad(0.05),
        # Both have a row an item, and get more when items come.
        tables={"item": [item, met]},
    )


def _query_tower(spec: ecct.CloudSpec, met: tf.keras.layers.Embedding) -> tf.keras.Model:
    """The mean of what a user met, and how much that was."""
    inputs = spec.query_inputs("history")
    known = tf.cast(inputs["history"] > 0, tf.float32)[..., None]
    count = tf.reduce_sum(known, axis=1)
    taste = tf.reduce_sum(met(inputs["history"]) * known, axis=1) / (1.0 + count)
    joined = tf.concat([taste, tf.math.log1p(count)], axis=-1)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(_WIDTH)(joined))


def _candidate_tower(spec: ecct.CloudSpec, item: tf.keras.layers.Embedding) -> tf.keras.Model:
    """An item's id, price and text."""
    inputs = spec.candidate_inputs("item_id", "price", "text")
    price = tf.keras.layers.Normalization(axis=None)
    price.adapt(spec.candidates["price"].values)
    text = tf.keras.layers.Dense(_WIDTH, activation="tanh")(inputs["text"])
    joined = tf.concat([item(inputs["item_id"]), price(inputs["price"])[:, None], text], axis=-1)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(_WIDTH)(joined))


def _embedding(rows: int) -> tf.keras.layers.Embedding:
    return tf.keras.layers.Embedding(
        rows, _WIDTH, embeddings_regularizer=tf.keras.regularizers.L2(1e-6)
    )
