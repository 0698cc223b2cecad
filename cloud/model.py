"""The cloud recommender: a TFRS two-tower model that can take the edge's embeddings in.

The towers start as the linear item-item model that the item-to-item embeddings
define and learn from there. Their product is kept in parts, `h_c = u ⊙ v`: the
cloud embedding of a (user, item) pair, whose sum plus an item bias is the logit
`z_c`. So `u` alone, a few dozen bytes, is the personal part of a downlink.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.exchange_model import ExchangeModel, ExchangeSizes
from cloud.keras_version import require_keras_2

require_keras_2()

import tensorflow_recommenders as tfrs  # noqa: E402 (with Keras 3 it fails in words of its own)

__all__ = ["CloudModel", "CloudModelSpec"]

Array = npt.NDArray[np.float32]

# An EASE score near 1 is a likely item, 0 says nothing; these make rough logits of that.
_START_SCALE = 6.0
_START_LOGIT = -2.0


@dataclasses.dataclass(frozen=True)
class CloudModelSpec(ExchangeSizes):
    """Sizes and loss weights of the cloud model.

    Attributes:
      num_items: number of items, the padding row not counted.
      rank: width of one item-to-item block; the cloud embedding has `2 * rank`.
      hidden_dim: width of the user tower's hidden layer.
      free_dim: columns of the cloud embedding that are learned freely.
      l2: how firmly the towers are held to where they start.
      seed: of the random initial weights.
    """

    num_items: int
    rank: int
    free_dim: int
    hidden_dim: int
    l2: float
    seed: int


class CloudModel(ExchangeModel):
    """Two towers, a fusion input, and a loss of labels and distilled edge logits."""

    def __init__(
        self,
        spec: CloudModelSpec,
        *,
        item_inputs: Array,
        attributes: Array,
        state_dim: int,
        preference_columns: slice,
    ) -> None:
        """Builds the towers.

        Args:
          spec: the sizes.
          item_inputs: `[items + 1, 2 * rank + c] float32`: target embeddings of the two
            item-to-item blocks, then categories.
          attributes: `[items + 1, a] float32`, the inputs of the item bias.
          state_dim: width of the user tower's input.
          preference_columns: the rank columns of the state that hold the whole history's
            pooled preference embedding.
        """
        super().__init__()
        self.spec = spec
        width = 2 * spec.rank + spec.free_dim
        self._item_inputs = tf.constant(item_inputs)
        self._attributes = tf.constant(attributes)
        user_start = np.zeros((state_dim, width), np.float32)
        user_start[preference_columns, : spec.rank] = _START_SCALE * np.eye(spec.rank)
        item_start = np.zeros((item_inputs.shape[1], width), np.float32)
        item_start[: 2 * spec.rank, : 2 * spec.rank] = np.eye(2 * spec.rank)
        rng = np.random.default_rng([spec.seed, 0xC10])
        item_start[2 * spec.rank :, 2 * spec.rank :] = 0.3 * rng.standard_normal(
            (item_inputs.shape[1] - 2 * spec.rank, spec.free_dim)
        )
        constant = tf.keras.initializers.Constant
        dense = tf.keras.layers.Dense

        def anchored(start: Array, *, scale: float = 1.0) -> dict[str, object]:
            """Keyword arguments of a kernel that starts at `start` and is held near it."""
            return {
                "kernel_initializer": constant(start),
                "kernel_regularizer": _Anchor(start, spec.l2 * scale),
            }

        self.user_linear = dense(width, name="user_linear", **anchored(user_start))
        self.user_hidden = dense(
            spec.hidden_dim,
            activation="relu",
            # An initializer with a seed of its own: the global generator would make a model
            # depend on what was built before it.
            kernel_initializer=tf.keras.initializers.GlorotUniform(seed=spec.seed),
            name="user_hidden",
        )
        self.user_residual = dense(
            width,
            name="user_residual",
            **anchored(np.zeros((spec.hidden_dim, width), np.float32)),
        )
        # What downlinks are made with: a copy of the user tower that follows it slowly, since
        # weights that are out on devices were trained to read it.
        self.sent_linear = dense(width, name="sent_linear", trainable=False)
        self.sent_hidden = dense(
            spec.hidden_dim, activation="relu", name="sent_hidden", trainable=False
        )
        self.sent_residual = dense(width, name="sent_residual", trainable=False)
        self.item_linear = dense(
            width, use_bias=False, name="item_linear", **anchored(item_start, scale=36.0)
        )
        self.item_embedding = tf.keras.layers.Embedding(
            spec.num_items + 1,
            width,
            embeddings_initializer="zeros",
            embeddings_regularizer=tf.keras.regularizers.L2(spec.l2 * 36.0),
            name="item_embedding",
        )
        self.item_bias = tf.keras.layers.Embedding(
            spec.num_items + 1, 1, embeddings_initializer="zeros", name="item_bias"
        )
        self.attribute_bias = dense(
            1,
            kernel_initializer="zeros",
            bias_initializer=constant(_START_LOGIT),
            name="attribute_bias",
        )
        self.add_fusion(width)
        # The labelled candidates are a ranking task in TFRS's sense.
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.BinaryCrossentropy(
                from_logits=True, reduction=tf.keras.losses.Reduction.NONE
            )
        )
        nothing = tf.zeros([1, state_dim])
        self.build_fusion(nothing)
        self.sent_vectors(nothing)
        self.follow(1.0)

    def freeze_items(self) -> None:
        """Ends the learning of the item side, which devices hold from now on."""
        for layer in (self.item_linear, self.item_embedding, self.item_bias, self.attribute_bias):
            layer.trainable = False

    def item_vectors(self, items: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`[...] int32` items to `[..., d_c] float32`, the `v` of `h_c = u ⊙ v`."""
        del training
        return self.item_linear(tf.gather(self._item_inputs, items)) + self.item_embedding(items)

    def item_logits(self, items: tf.Tensor) -> tf.Tensor:
        """`[...] int32` items to `[...] float32`, the item's share of `z_c`."""
        attributes = self.attribute_bias(tf.gather(self._attributes, items))
        return tf.squeeze(attributes + self.item_bias(items), -1)

    def user_alone(self, states: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`u` of the cloud's own view, of states `[n, s] float32`: `[n, d_c] float32`."""
        del training
        return self.user_linear(states) + self.user_residual(self.user_hidden(states))

    def sent_vectors(self, states: tf.Tensor) -> tf.Tensor:
        """`u` as downlinks carry it, of states `[n, s] float32`: `[n, d_c] float32`."""
        return self.sent_linear(states) + self.sent_residual(self.sent_hidden(states))

    def follow(self, rate: float) -> None:
        """Moves what downlinks are made with towards the user tower, by the share `rate`."""
        learned = (self.user_linear, self.user_hidden, self.user_residual)
        sent = (self.sent_linear, self.sent_hidden, self.sent_residual)
        for source, target in zip(learned, sent, strict=True):
            for new, old in zip(source.variables, target.variables, strict=True):
                old.assign(new if rate == 1.0 else old + rate * (new - old))

    def label_loss(
        self, users: tf.Tensor, items: tf.Tensor, labels: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """The binary cross-entropy of labelled candidates, a mean over all: `[] float32`."""
        del training
        # The mean is taken here, since Keras refuses its own within a `tf.distribute.Strategy`.
        rows = self.task(labels=labels, predictions=self.logits(users, items))
        return tf.reduce_sum(rows) / tf.cast(tf.size(rows), tf.float32)


class _Anchor(tf.keras.regularizers.Regularizer):
    """Squared distance of a kernel to where it started."""

    def __init__(self, start: Array, weight: float) -> None:
        self._start = tf.constant(start)
        self._weight = weight

    def __call__(self, kernel: tf.Tensor) -> tf.Tensor:
        return self._weight * tf.reduce_sum(tf.square(kernel - self._start))
