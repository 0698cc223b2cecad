"""What every cloud model has, whatever its towers: fusion, the devices' answers, distillation.

A model keeps the product of its towers in parts, `h_c = u ⊙ v`: the cloud embedding of a (user,
item) pair, whose sum plus an item bias is the logit `z_c`. Here is what turns two towers into the
cloud of an exchange; which towers they are, a subclass says. A model whose score is no product,
`RankerModel`, makes `h_c` and `z_c` of pairs and takes uplinks in by the same layers.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from cloud.keras_version import require_keras_2
from ecct_tf.knowledge import binary_cross_entropy, distillation

require_keras_2()

import tensorflow_recommenders as tfrs  # noqa: E402 (with Keras 3 it fails in words of its own)

__all__ = ["EdgeAnswers", "EdgeKnowledge", "ExchangeModel", "ExchangeSizes"]


@dataclasses.dataclass(frozen=True)
class ExchangeSizes:
    """What decides how a cloud model takes uplinks in.

    Attributes:
      edge_dim: d_e, width of the edge embeddings that fusion takes in.
      distillation_weight: λ_c.
      temperature: T of the distillation.
      answer_ridge: λ of the regression by which a user's logits move the user's embedding; 0
        leaves logits to the distillation.
    """

    edge_dim: int
    distillation_weight: float
    temperature: float
    answer_ridge: float


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
      embeddings: `[n, Q, d_e] float32`, `h_e`, or `[n, Q, 0]` where only logits cross.
      trust: `[n] float32`, 0 for a user without knowledge, less than 1 for stale knowledge.
      answers: what devices said of items; None where only the embeddings are fused.
    """

    items: tf.Tensor
    embeddings: tf.Tensor
    trust: tf.Tensor
    answers: EdgeAnswers | None = None


class ExchangeModel(tfrs.Model):
    """Two towers, a fusion input, and a loss of labels and distilled edge logits.

    A subclass brings the towers (`item_vectors`, `item_logits`, `user_alone`), what it learns from
    labels (`label_loss`), and the slow copy of the user tower that downlinks are made with
    (`sent_vectors`, `follow`). It calls `add_fusion` once, and `build_fusion` when its towers
    answer.
    """

    spec: ExchangeSizes
    width: int
    sends_rows = False
    """Whether `h_c` is no product, so that downlinks carry rows."""
    recent: tf.Tensor | None = None
    """`[items + 1] float32`, standardised popularity among the newest interactions of devices.

    The towers, which learn from older interactions, do not read it. Devices do, so their logits
    say how much it counts for each user: a weight of it is one more that answers explain.
    """

    def add_fusion(self, width: int) -> None:
        """Adds the layers that take edge embeddings in.

        Args:
          width: d_c.
        """
        dense = tf.keras.layers.Dense
        self.width = width
        self.fusion_gate = dense(1, kernel_initializer="zeros", name="fusion_gate")
        self.fusion_mean = dense(
            width, use_bias=False, kernel_initializer="zeros", name="fusion_mean"
        )
        self.fusion_scale = self.add_weight(
            name="fusion_scale", shape=(width,), initializer=tf.keras.initializers.Constant(1.0)
        )

    def build_fusion(self, states: tf.Tensor) -> None:
        """Creates every variable now: later calls may come from inside a `tf.function`.

        Args:
          states: the user tower's input of one user.
        """
        nobody = EdgeKnowledge(
            items=tf.zeros([1, 1], tf.int32),
            embeddings=tf.zeros([1, 1, self.spec.edge_dim]),
            trust=tf.zeros([1]),
        )
        self.logits(self.user_vectors(states, nobody), tf.zeros([1, 1], tf.int32))

    def item_vectors(self, items: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`[...] int32` items to `[..., d_c] float32`, the `v` of `h_c = u ⊙ v`."""
        raise NotImplementedError  # a subclass brings it

    def item_logits(self, items: tf.Tensor) -> tf.Tensor:
        """`[...] int32` items to `[...] float32`, the item's share of `z_c`."""
        raise NotImplementedError  # a subclass brings it

    def user_alone(self, states: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`u` of the cloud's own view, of states `[n, s]`: `[n, d_c] float32`."""
        raise NotImplementedError  # a subclass brings it

    def sent_vectors(self, states: tf.Tensor) -> tf.Tensor:
        """`u` as downlinks carry it, of states `[n, s]`: `[n, d_c] float32`."""
        raise NotImplementedError  # a subclass brings it

    def follow(self, rate: float) -> None:
        """Moves what downlinks are made with towards the user tower, by the share `rate`."""
        raise NotImplementedError  # a subclass brings it

    def freeze_items(self) -> None:
        """Ends the learning of the item side, which devices hold from now on."""
        raise NotImplementedError  # a subclass brings it

    def label_loss(
        self, users: tf.Tensor, items: tf.Tensor, labels: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """The loss of labelled candidates, a mean over the rows: `[] float32`.

        Args:
          users: `[n, d_c] float32`.
          items: `[n, c] int32`; what happened comes first, negatives follow.
          labels: `[n, c] float32`.
          training: whether the towers train.
        """
        raise NotImplementedError  # a subclass brings it

    def new_optimizer(self, learning_rate: float) -> Any:
        """An optimiser that has not learned anything yet."""
        return tf.keras.optimizers.Adam(learning_rate)

    @property
    def tables(self) -> Mapping[str, str] | None:
        """Of each variable with a row a user, item or value, by name: whose rows they are.

        None for the library's own model, whose layers with a row an item `cloud.growth` names.
        """
        return None

    def measured(self) -> dict[str, float]:
        """What metrics of the labels say since they were last asked, by name; often nothing."""
        return {}

    def named_variables(self) -> dict[str, tf.Variable]:
        """All variables of the model by a name that another build of it has too."""
        return {found.name: found for found in self.variables}

    def named_slots(self) -> dict[str, tf.Variable]:
        """All variables of the optimiser, likewise."""
        return {found.name: found for found in self.optimizer.variables}

    def restored(self) -> None:
        """Called when the variables have been set: derived values follow them."""

    def user_vectors(
        self, states: tf.Tensor, knowledge: EdgeKnowledge | None, *, training: bool = False
    ) -> tf.Tensor:
        """User embeddings `u`.

        Args:
          states: `[n, s]`.
          knowledge: the edge's embeddings to fuse, or None for the cloud's view alone.
          training: whether the towers train.

        Returns:
          `[n, d_c] float32`; with answers, where there is recent popularity, `[n, d_c + 1]`, its
          weight last.
        """
        alone = self.user_alone(states, training=training)
        if knowledge is None:
            return alone
        vectors = self._vectors(knowledge.items, training=training)
        fused = alone + self.heard(knowledge, vectors)
        answers = knowledge.answers
        if answers is None or not self.spec.answer_ridge:
            return fused
        vectors = self._vectors(answers.items, training=training)
        expected = tf.einsum("nd,nad->na", fused, vectors) + self.item_logits(answers.items)
        if self.recent is None:
            return fused + self.explained(answers, vectors, expected)
        recent = tf.gather(self.recent, answers.items)[..., None]
        added = self.explained(answers, tf.concat([vectors, recent], axis=-1), expected)
        return tf.pad(fused, [[0, 0], [0, 1]]) + added

    def heard(self, knowledge: EdgeKnowledge, vectors: tf.Tensor) -> tf.Tensor:
        """What edge embeddings add to their users' weights of item vectors: `[n, d_c] float32`.

        Args:
          knowledge: the edge's embeddings.
          vectors: `[n, Q, d_c] float32`, of the items that they are of.
        """
        knowledge = self._trusted(knowledge)
        gates = tf.tanh(self.fusion_gate(knowledge.embeddings))
        attended = tf.reduce_mean(gates * vectors, axis=1) * self.fusion_scale
        mean = self.fusion_mean(tf.reduce_mean(knowledge.embeddings, axis=1))
        return knowledge.trust[:, None] * (attended + mean)

    def _trusted(self, knowledge: EdgeKnowledge) -> EdgeKnowledge:
        """`knowledge`; where no embeddings cross, zeros that nobody trusts."""
        if knowledge.embeddings.shape[-1] != 0:
            return knowledge
        rows = tf.shape(knowledge.embeddings)[:-1]
        nothing = tf.zeros(tf.concat([rows, [self.spec.edge_dim]], axis=0))
        return dataclasses.replace(
            knowledge, embeddings=nothing, trust=tf.zeros_like(knowledge.trust)
        )

    def explained(self, answers: EdgeAnswers, vectors: tf.Tensor, expected: tf.Tensor) -> tf.Tensor:
        """The smallest change of users' weights, `[n, d]`, that explains the devices' logits.

        A ridge regression for each user of `z_e - z_c` on the item vectors of the answers: what
        a device says of a few items then moves the user's logits of all items that lie near. Its
        intercept is left out: a device whose logits all lie higher than the cloud's ranks alike.

        Args:
          answers: what devices said.
          vectors: `[n, A, d] float32`, of the items of the answers.
          expected: `[n, A] float32`, `z_c` of them.
        """
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

    def logits(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """`z_c` of user embeddings `[n, d_c]` with items `[n, c] int32`: `[n, c] float32`."""
        products = tf.einsum("nd,ncd->nc", users, self.item_vectors(items))
        return products + self.item_logits(items)

    def served(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """As `logits`, outside of training: of many rows, each item's vector is computed once."""
        if self.sends_rows:
            return self.logits(users, items)
        biases = _each_once(self.item_logits, items)
        vectors = self._vectors(items, training=False)
        if self.recent is not None and users.shape[-1] > vectors.shape[-1]:
            vectors = tf.concat([vectors, tf.gather(self.recent, items)[..., None]], axis=-1)
        return tf.einsum("nd,ncd->nc", users, vectors) + biases

    def _vectors(self, items: tf.Tensor, *, training: bool) -> tf.Tensor:
        return self.item_vectors(items) if training else _each_once(self.item_vectors, items)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of one batch: labels where the batch has them, edge logits where it has them."""
        loss = tf.constant(0.0)
        if "labels" in inputs:
            users = self.user_vectors(inputs["states"], _knowledge(inputs, ""), training=training)
            loss += self.label_loss(users, inputs["items"], inputs["labels"], training=training)
        if "teacher" in inputs:
            users = self.user_vectors(
                inputs["teacher_states"], _knowledge(inputs, "teacher_"), training=training
            )
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


def _each_once(compute: Callable[[tf.Tensor], tf.Tensor], items: tf.Tensor) -> tf.Tensor:
    """`compute(items)`, of items that often come up more than once."""
    distinct, places = tf.unique(tf.reshape(items, [-1]))
    rows = compute(distinct)
    lead = tf.concat([tf.shape(items), tf.shape(rows)[1:]], axis=0)
    return tf.reshape(tf.gather(rows, places), lead)


def _centred(logits: tf.Tensor) -> tf.Tensor:
    """`[n, Q]` logits without each row's mean."""
    return logits - tf.reduce_mean(logits, axis=-1, keepdims=True)


def _teacher_entropy(teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """What the distillation loss cannot fall below; subtracted so that the loss reads as a gap."""
    soft = tf.sigmoid(teacher / temperature)
    return temperature**2 * binary_cross_entropy(teacher / temperature, soft)


def _knowledge(inputs: Mapping[str, tf.Tensor], prefix: str) -> EdgeKnowledge | None:
    if f"{prefix}edge_items" not in inputs:
        return None
    return EdgeKnowledge(
        items=inputs[f"{prefix}edge_items"],
        embeddings=inputs[f"{prefix}edge_embeddings"],
        trust=inputs[f"{prefix}trust"],
    )
