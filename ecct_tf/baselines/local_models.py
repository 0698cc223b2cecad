"""Models of plain federated learning, with item embeddings that are learned and averaged.

Both are pure functions of stacked weights: every tensor has a leading axis of C devices,
each with its own copy.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.data.profile import ProfileShape
from ecct_tf.edge.clock import context_inputs, elapsed_weights, is_known, request_context
from ecct_tf.edge.layout import Weight, WeightLayout
from ecct_tf.edge.primitives import concat, dense, embed, relu, row_dot
from ecct_tf.edge.profile import number_inputs, set_inputs

__all__ = ["LocalModel", "Rows", "factorization_model", "history_model", "score_function_model"]


class Rows(NamedTuple):
    """What a model reads for B positions of K candidates each.

    Attributes:
      candidates: `[C, B, K, W] float32`, rows of the item table.
      history: `[C, B, L, W] float32`, rows of the item table.
      history_mask: `[C, B, L] float32`.
      profile: `[C, B, columns] int32`.
      clock: `[C, B, W] float32`, readings of the time; W is 0 without a clock.
    """

    candidates: tf.Tensor
    history: tf.Tensor
    history_mask: tf.Tensor
    profile: tf.Tensor
    clock: tf.Tensor


@dataclasses.dataclass(frozen=True)
class LocalModel:
    """A model over an item table and a head.

    Attributes:
      num_items: number of items, without padding.
      row_width: W, width of a row of the item table.
      embedding_dim: how many of its columns are the embedding, and start at random.
      initial_scale: standard deviation of their start.
      history_length: L.
      head: the weights besides the table.
      forward: `(head [C, H], Rows) -> logits [C, B, K]`.
      features: how it reads the clock.
    """

    num_items: int
    row_width: int
    embedding_dim: int
    initial_scale: float
    history_length: int
    head: WeightLayout
    forward: Callable[[tf.Tensor, Rows], tf.Tensor]
    features: FeatureConfig

    @property
    def table_size(self) -> int:
        """Values in the item table, the padding row included."""
        return (self.num_items + 1) * self.row_width

    @property
    def size(self) -> int:
        """P, the length of the flat vector: the table, then the head."""
        return self.table_size + self.head.size

    def initial(self, seed: int) -> npt.NDArray[np.float32]:
        """Draws initial weights, `[P] float32`, reproducible from `seed`."""
        table = np.zeros((self.num_items + 1, self.row_width), np.float32)
        rng = np.random.default_rng([seed, 0x17E])
        shape = (self.num_items, self.embedding_dim)
        table[1:, : self.embedding_dim] = self.initial_scale * rng.standard_normal(shape)
        return np.concatenate([table.ravel(), self.head.initial(seed)])


def history_model(
    *,
    num_items: int,
    features: FeatureConfig,
    profile: ProfileShape,
    embedding_dim: int,
    hidden_dim: int,
    profile_dim: int,
    initial_scale: float,
) -> LocalModel:
    """The model of FedAvg: the history, pooled at several decays, against the candidate.

    It is the edge model with learned embeddings in place of the cloud's: candidate,
    elementwise and dot products of the candidate with each pooled history, embeddings of private
    categories and private numbers enter a network of one hidden layer. The logit also has the dot
    products and a bias of the item (the last column of its row), so that it starts as the
    factorisation of an item-to-item matrix. With a clock the history is pooled by elapsed time
    too, and the time of the request enters the network.
    """
    clocked = features.clock
    pools = len(features.decays) + (len(features.clock_hours) if clocked else 0)
    width = (
        embedding_dim * (1 + pools)
        + pools
        + 1
        + profile_dim * (len(profile.sizes) + len(profile.sets))
    )
    width += 2 * profile.numbers + features.request_width + features.context_width
    head = WeightLayout(
        (
            *(
                Weight(f"profile_{index}", (rows, profile_dim), "backbone", 0.1)
                for index, rows in enumerate(profile.sizes)
            ),
            *(
                Weight(f"set_{index}", (values, profile_dim), "backbone", 0.1)
                for index, values in enumerate(profile.sets)
            ),
            Weight("hidden/kernel", (width, hidden_dim), "backbone", 1.0 / math.sqrt(width)),
            Weight("hidden/bias", (hidden_dim,), "backbone"),
            Weight("output/hidden", (hidden_dim,), "head", 1.0 / math.sqrt(hidden_dim)),
            Weight("output/dots", (pools,), "head"),
            Weight("output/bias", (1,), "head"),
        )
    )
    ages = np.arange(features.history_length - 1, -1, -1)
    pooling = np.stack([decay**ages for decay in features.decays]).astype(np.float32)

    def forward(flat: tf.Tensor, rows: Rows) -> tf.Tensor:
        weights = head.unpack(flat)
        shape = tf.shape(rows.candidates)
        devices, positions, choices = shape[0], shape[1], shape[2]
        # Splits rather than slices: the gradient of a slice fills a tensor with zeros.
        candidate, item_bias = tf.split(rows.candidates, [embedding_dim, 1], axis=-1)
        mix = rows.history_mask[..., None, :] * tf.constant(pooling)
        if clocked and features.clock_hours:
            elapsed = elapsed_weights(rows.clock, config=features, mask=rows.history_mask)
            mix = tf.concat([mix, elapsed * is_known(rows.clock)], axis=-2)
        mix /= tf.maximum(tf.reduce_sum(mix, axis=-1, keepdims=True), 1e-6)
        pooled, _ = tf.split(tf.matmul(mix, rows.history), [embedding_dim, 1], axis=-1)
        products = candidate[..., None, :] * pooled[..., None, :, :]
        dots = tf.reduce_sum(products, axis=-1)
        private = [
            embed(weights[f"profile_{index}"], rows.profile[..., index], rows=size)
            for index, size in enumerate(profile.sizes)
        ]
        if profile.numbers:
            start = len(profile.sizes)
            private.append(number_inputs(rows.profile[..., start : start + profile.numbers]))
        if profile.sets:
            shares = set_inputs(rows.profile[..., -sum(profile.sets) :], profile.sets)
            private += [
                tf.matmul(part, weights[f"set_{index}"])
                for index, part in enumerate(tf.split(shares, profile.sets, axis=-1))
            ]

        def by_row(tensor: tf.Tensor, columns: int) -> tf.Tensor:
            return tf.reshape(tensor, [devices, positions * choices, columns])

        context = []
        if clocked:
            given = request_context(rows.clock, config=features) * rows.clock[..., :1]
            context = [tf.repeat(given, choices, axis=1)]
        if features.context:
            said = context_inputs(rows.clock, config=features)
            context.append(tf.repeat(said, choices, axis=1))
        flat_dots = by_row(dots, pools)
        item_bias = by_row(item_bias, 1)
        joined = concat(
            [
                by_row(candidate, embedding_dim),
                by_row(products, embedding_dim * pools),
                flat_dots,
                item_bias,
                *(tf.repeat(part, choices, axis=1) for part in private),
                *context,
            ]
        )
        hidden = relu(dense(joined, weights["hidden/kernel"], weights["hidden/bias"]))
        logit = row_dot(
            concat([hidden, flat_dots]),
            concat([weights["output/hidden"], 1.0 + weights["output/dots"]]),
            weights["output/bias"],
        )
        return tf.reshape(logit + item_bias[..., 0], [devices, positions, choices])

    return LocalModel(
        num_items=num_items,
        row_width=embedding_dim + 1,
        embedding_dim=embedding_dim,
        initial_scale=initial_scale,
        history_length=features.history_length,
        head=head,
        forward=forward,
        features=features,
    )


def factorization_model(*, num_items: int, embedding_dim: int, initial_scale: float) -> LocalModel:
    """Matrix factorisation: a user's vector times the item's embedding, and the item's bias.

    The head is the user's vector, which begins at zeros: at first only biases rank.
    """
    head = WeightLayout((Weight("user", (embedding_dim,), "head"),))

    def forward(flat: tf.Tensor, rows: Rows) -> tf.Tensor:
        shape = tf.shape(rows.candidates)
        joined = tf.reshape(rows.candidates, [shape[0], shape[1] * shape[2], embedding_dim + 1])
        embeddings, bias = tf.split(joined, [embedding_dim, 1], axis=-1)
        user = head.unpack(flat)["user"]
        logits = row_dot(embeddings, user, tf.zeros_like(user[:, :1])) + bias[..., 0]
        return tf.reshape(logits, shape[:3])

    return LocalModel(
        num_items=num_items,
        row_width=embedding_dim + 1,
        embedding_dim=embedding_dim,
        initial_scale=initial_scale,
        history_length=0,
        head=head,
        forward=forward,
        features=FeatureConfig(clock=False),
    )


def score_function_model(*, num_items: int, embedding_dim: int, initial_scale: float) -> LocalModel:
    """The model of PFedRec: a linear score function of the item's embedding, and no history."""
    head = WeightLayout(
        (
            Weight("score/kernel", (embedding_dim,), "head", 1.0 / math.sqrt(embedding_dim)),
            Weight("score/bias", (1,), "head"),
        )
    )

    def forward(flat: tf.Tensor, rows: Rows) -> tf.Tensor:
        weights = head.unpack(flat)
        shape = tf.shape(rows.candidates)
        joined = tf.reshape(rows.candidates, [shape[0], shape[1] * shape[2], embedding_dim])
        logit = row_dot(joined, weights["score/kernel"], weights["score/bias"])
        return tf.reshape(logit, shape[:3])

    return LocalModel(
        num_items=num_items,
        row_width=embedding_dim,
        embedding_dim=embedding_dim,
        initial_scale=initial_scale,
        history_length=0,
        head=head,
        forward=forward,
        # It reads no history, and no clock either.
        features=FeatureConfig(clock=False),
    )
