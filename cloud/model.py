"""The cloud recommender: a TFRS two-tower model that can take the edge's embeddings in.

The towers start as the linear item-item model that the item-to-item embeddings
define and learn from there. Their product is kept in parts, `h_c = u ⊙ v`: the
cloud embedding of a (user, item) pair, whose sum plus an item bias is the logit
`z_c`. So `u` alone, a few dozen bytes, is the personal part of a downlink.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.keras_version import require_keras_2
from ecct_tf.knowledge import binary_cross_entropy, distillation

require_keras_2()

import tensorflow_recommenders as tfrs  # noqa: E402 (with Keras 3 it fails in words of its own)

__all__ = ["CloudModel", "CloudModelSpec", "EdgeAnswers", "EdgeKnowledge"]

Array = npt.NDArray[np.float32]

# An EASE score near 1 is a likely item, 0 says nothing; these make rough logits of that.
_START_SCALE = 6.0
_START_LOGIT = -2.0


@dataclasses.dataclass(frozen=True)
class CloudModelSpec:
    """Sizes and loss weights of the cloud model.

    Attributes:
      num_items: number of items, the padding row not counted.
      rank: width of one item-to-item block; the cloud embedding has `2 * rank`.
      hidden_dim: width of the user tower's hidden layer.
      edge_dim: d_e, width of the edge embeddings that fusion takes in.
      distillation_weight: λ_c.
      temperature: T of the distillation.
      l2: how firmly the towers are held to where they start.
      answer_ridge: λ of the regression by which a user's logits move the user's embedding; 0
        leaves logits to the distillation.
      seed: of the random initial weights.
    """

    num_items: int
    rank: int
    free_dim: int
    hidden_dim: int
    edge_dim: int
    distillation_weight: float
    temperature: float
    l2: float
    answer_ridge: float
    seed: int


class EdgeAnswers(NamedTuple):
    """A of the users' newest answers.

    Attributes:
      items: `[n, A] int32`.
      logits: `[n, A] float32`, `z_e`.
      trust: `[n, A] float32`, less than 1 for stale answers, 0 where there is none.
    """

    items: tf.Tensor
    logits: tf.Tensor
    trust: tf.Tensor


@dataclasses.dataclass(frozen=True)
class EdgeKnowledge:
    """The newest uplink of each user in a batch.

    Attributes:
      items: `[n, Q] int32`, 0 where nothing is known.
      embeddings: `[n, Q, d_e] float32`, `h_e`.
      trust: `[n] float32`, 0 for a user without knowledge, less than 1 for stale knowledge.
      answers: what devices said of items; None where only the embeddings are fused.
    """

    items: tf.Tensor
    embeddings: tf.Tensor
    trust: tf.Tensor
    answers: EdgeAnswers | None = None


class CloudModel(tfrs.Model):
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
        self.fusion_gate = dense(1, kernel_initializer="zeros", name="fusion_gate")
        self.fusion_mean = dense(
            width, use_bias=False, kernel_initializer="zeros", name="fusion_mean"
        )
        self.fusion_scale = self.add_weight(
            name="fusion_scale", shape=(width,), initializer=constant(1.0)
        )
        # The labelled candidates are a ranking task in TFRS's sense.
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.BinaryCrossentropy(
                from_logits=True, reduction=tf.keras.losses.Reduction.NONE
            )
        )

        self._build_weights(state_dim)

    def _build_weights(self, state_dim: int) -> None:
        """Creates every variable now: later calls may come from inside a `tf.function`."""
        nobody = EdgeKnowledge(
            items=tf.zeros([1, 1], tf.int32),
            embeddings=tf.zeros([1, 1, self.spec.edge_dim]),
            trust=tf.zeros([1]),
        )
        nothing = tf.zeros([1, state_dim])
        self.logits(self.user_vectors(nothing, nobody), tf.zeros([1, 1], tf.int32))
        self.sent_vectors(nothing)
        self.follow(1.0)

    def freeze_items(self) -> None:
        """Ends the learning of the item side, which devices hold from now on."""
        for layer in (self.item_linear, self.item_embedding, self.item_bias, self.attribute_bias):
            layer.trainable = False

    def item_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """`[...] int32` items to `[..., d_c] float32`, the `v` of `h_c = u ⊙ v`."""
        return self.item_linear(tf.gather(self._item_inputs, items)) + self.item_embedding(items)

    def item_logits(self, items: tf.Tensor) -> tf.Tensor:
        """`[...] int32` items to `[...] float32`, the item's share of `z_c`."""
        attributes = self.attribute_bias(tf.gather(self._attributes, items))
        return tf.squeeze(attributes + self.item_bias(items), -1)

    def user_vectors(self, states: tf.Tensor, knowledge: EdgeKnowledge | None) -> tf.Tensor:
        """User embeddings `u`.

        Args:
          states: `[n, s] float32`.
          knowledge: the edge's embeddings to fuse, or None for the cloud's view alone.

        Returns:
          `[n, d_c] float32`.
        """
        alone = self.user_linear(states) + self.user_residual(self.user_hidden(states))
        if knowledge is None:
            return alone
        vectors = self.item_vectors(knowledge.items)
        gates = tf.tanh(self.fusion_gate(knowledge.embeddings))
        attended = tf.reduce_mean(gates * vectors, axis=1) * self.fusion_scale
        mean = self.fusion_mean(tf.reduce_mean(knowledge.embeddings, axis=1))
        fused = alone + knowledge.trust[:, None] * (attended + mean)
        if knowledge.answers is None or not self.spec.answer_ridge:
            return fused
        return fused + self._answered(fused, knowledge.answers)

    def _answered(self, users: tf.Tensor, answers: EdgeAnswers) -> tf.Tensor:
        """The smallest change of `users` `[n, d_c]` that explains the devices' logits.

        A ridge regression for each user of `z_e - z_c` on the item vectors of the answers: what
        a device says of a few items then moves the user's logits of all items that lie near. Its
        intercept is left out: a device whose logits all lie higher than the cloud's ranks alike.
        """
        vectors = self.item_vectors(answers.items)
        expected = tf.einsum("nd,nad->na", users, vectors) + self.item_logits(answers.items)
        trust = answers.trust[..., None]
        total = tf.reduce_sum(trust, axis=1, keepdims=True)

        def centred(values: tf.Tensor) -> tf.Tensor:
            return values - tf.math.divide_no_nan(
                tf.reduce_sum(trust * values, axis=1, keepdims=True), total
            )

        vectors = centred(vectors)
        trusted = vectors * trust
        gram = tf.matmul(trusted, vectors, transpose_a=True)
        gram += self.spec.answer_ridge * tf.eye(tf.shape(gram)[-1])
        residuals = centred((answers.logits - expected)[..., None])
        wanted = tf.matmul(trusted, residuals, transpose_a=True)
        return tf.linalg.solve(gram, wanted)[..., 0]

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

    def logits(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """`z_c` of user embeddings `[n, d_c]` with items `[n, c] int32`: `[n, c] float32`."""
        products = tf.einsum("nd,ncd->nc", users, self.item_vectors(items))
        return products + self.item_logits(items)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of one batch: labels where the batch has them, edge logits where it has them."""
        del training
        loss = tf.constant(0.0)
        if "labels" in inputs:
            users = self.user_vectors(inputs["states"], _knowledge(inputs, ""))
            # The mean is taken here, since Keras refuses its own within a `tf.distribute.Strategy`.
            rows = self.task(
                labels=inputs["labels"], predictions=self.logits(users, inputs["items"])
            )
            loss += tf.reduce_sum(rows) / tf.cast(tf.size(rows), tf.float32)
        if "teacher" in inputs:
            users = self.user_vectors(inputs["teacher_states"], _knowledge(inputs, "teacher_"))
            students = self.logits(users, inputs["teacher_items"])
            # What a device adds to all its logits changes no ranking, and learning it would bend
            # the user tower, whose item side is fixed.
            students, teacher = _centred(students), _centred(inputs["teacher"])
            each = distillation(
                students, teacher, temperature=self.spec.temperature
            ) - _teacher_entropy(teacher, self.spec.temperature)
            weighted = each * inputs["teacher_trust"][:, None]
            if "teacher_weights" in inputs:
                weighted *= inputs["teacher_weights"]
            loss += self.spec.distillation_weight * tf.reduce_mean(weighted)
        return loss


class _Anchor(tf.keras.regularizers.Regularizer):
    """Squared distance of a kernel to where it started."""

    def __init__(self, start: Array, weight: float) -> None:
        self._start = tf.constant(start)
        self._weight = weight

    def __call__(self, kernel: tf.Tensor) -> tf.Tensor:
        return self._weight * tf.reduce_sum(tf.square(kernel - self._start))


def _centred(logits: tf.Tensor) -> tf.Tensor:
    """`[n, Q]` logits without each row's mean."""
    return logits - tf.reduce_mean(logits, axis=-1, keepdims=True)


def _teacher_entropy(teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """What the distillation loss cannot fall below; subtracted so that the loss reads as a gap."""
    soft = tf.sigmoid(teacher / temperature)
    return temperature**2 * binary_cross_entropy(teacher / temperature, soft)


def _knowledge(inputs: dict[str, tf.Tensor], prefix: str) -> EdgeKnowledge | None:
    if f"{prefix}edge_items" not in inputs:
        return None
    return EdgeKnowledge(
        items=inputs[f"{prefix}edge_items"],
        embeddings=inputs[f"{prefix}edge_embeddings"],
        trust=inputs[f"{prefix}trust"],
    )
