"""A cloud of one's own whose score is no product: a ranker in the manner of DLRM.

    ecct simulate --set cloud.model=own_ranker:build --set cloud.fit_epochs=10 ...

Embeddings of ids and histories, dense layers under a numeric column and a vector, the dot products
of each two of them, and dense layers on top (Naumov et al., arXiv 1906.00091). The data set's items
need the columns `price`, a number, and `text`, a vector.
"""

from itertools import combinations

import tensorflow as tf

import ecct_tf as ecct

_WIDTH = 16
# d_c: what the last hidden layer says of a pair goes to devices, h_c.
_PAIR = 12


def build(spec: ecct.CloudSpec) -> ecct.RankerCloud:
    """The ranker, the cross-entropy of labels, and Adagrad."""
    item = _embedding(spec.candidates["item_id"].size)
    met = _embedding(spec.queries["history"].size)
    inputs = spec.pair_inputs("history", "item_id", "price", "text")
    known = tf.cast(inputs["history"] > 0, tf.float32)[..., None]
    taste = tf.reduce_sum(met(inputs["history"]) * known, axis=1) / (
        1.0 + tf.reduce_sum(known, axis=1)
    )
    price = tf.keras.layers.Normalization(axis=None)
    price.adapt(spec.candidates["price"].values)
    bottom = _dense(32, _WIDTH)(price(inputs["price"])[:, None])
    text = tf.keras.layers.Dense(_WIDTH, activation="tanh")(inputs["text"])
    vectors = [taste, item(inputs["item_id"]), bottom, text]
    crossed = [
        tf.reduce_sum(one * other, axis=-1, keepdims=True)
        for one, other in combinations(vectors, 2)
    ]
    pair = _dense(32, _PAIR)(tf.concat([bottom, *crossed], axis=-1))
    logit = tf.keras.layers.Dense(1)(pair)[:, 0]
    return ecct.RankerCloud(
        ranker=tf.keras.Model(inputs, {"embedding": pair, "logit": logit}),
        optimizer=tf.keras.optimizers.Adagrad(0.1),
        # Both have a row an item, and get more when items come.
        tables={"item": [item, met]},
    )


def _dense(*widths: int) -> tf.keras.Sequential:
    return tf.keras.Sequential(
        [tf.keras.layers.Dense(width, activation="relu") for width in widths]
    )


def _embedding(rows: int) -> tf.keras.layers.Embedding:
    return tf.keras.layers.Embedding(
        rows, _WIDTH, embeddings_regularizer=tf.keras.regularizers.L2(1e-6)
    )
