"""A Keras model of pairs, whose score is no product, as the model of an exchange."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from cloud.exchange_model import EdgeKnowledge, ExchangeSizes
from cloud.own_model import OwnModel, call_model, constants, refuse_random, refuse_unknown
from cloud.ranker import RankerCloud
from cloud.tower_inputs import TowerInputs
from cloud.two_tower import pair_features
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import guarded

__all__ = ["PairUsers", "RankerModel"]


class PairUsers(NamedTuple):
    """Users as the model needs them to score pairs.

    Attributes:
      states: `[n] int32`, row numbers of `TowerInputs.query_rows`.
      weights: `[n, d_c] float32`, of `h_c` in `z_c`: what uplinks add; zeros without any.
      training: whether the model trains.
    """

    states: tf.Tensor
    weights: tf.Tensor
    training: bool = False


class RankerModel(OwnModel):
    """The model of a `RankerCloud`, with fusion, distillation and a copy for downlinks.

    The score of a pair is `z_c + w · h_c`, where `w` is what a user's uplinks add, made of them by
    the layers that make `u` of two towers' users; without uplinks it is zero. Downlinks carry rows,
    so that devices hold nothing of the items and all of the model goes on learning.

    Args:
      described: the model of pairs.
      sizes: how uplinks are taken in.
      inputs: the features.
      what: names the cloud in messages.

    Raises:
      ConfigError: the model is none that an exchange can be made of.
    """

    sends_rows = True

    def __init__(
        self, described: RankerCloud, sizes: ExchangeSizes, *, inputs: TowerInputs, what: str
    ) -> None:
        super().__init__(described, sizes, what=what)
        self.ranker = described.ranker
        if not isinstance(self.ranker, tf.keras.Model):
            raise ConfigError(
                f"{what}: expected a tf.keras.Model as ranker, got {type(self.ranker).__name__}"
            )
        for task, _ in described.weighted_tasks:
            if isinstance(task, tfrs.tasks.Retrieval):
                raise ConfigError(
                    f"{what}: a Retrieval task learns from a user's and an item's embedding, and "
                    "a ranker has none of either alone; expected Ranking, or two towers "
                    "(TwoTowerCloud)"
                )
        refuse_random(self.ranker, what=f"{what}: ranker")
        self._names = tuple(pair_features(inputs.query_rows, inputs.candidate_rows))
        refuse_unknown(self.ranker, dict.fromkeys(self._names), what=f"{what}: ranker")
        self._queries = constants(inputs.query_rows)
        self._candidates = constants(inputs.candidate_rows)
        self.add_fusion(self._checked_width())
        self.build_fusion(tf.zeros([1], tf.int32))
        self.try_tasks()
        self.copy_for_downlinks()
        self.check_tables(inputs)

    @property
    def parts(self) -> dict[str, Any]:
        """The model of pairs."""
        return {"ranker": self.ranker}

    def pairs(
        self, states: tf.Tensor, items: tf.Tensor, *, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the model says of pairs; zeros for the padding.

        Args:
          states: `[n] int32`.
          items: `[n, c] int32`.
          training: whether it trains.

        Returns:
          `h_c` `[n, c, d_c]` and `z_c` `[n, c]`, `float32`.
        """
        scored = self.scored_by(self._queries, self._candidates)
        return scored(states, items, training=training)

    def scored_by(
        self, queries: Mapping[str, tf.Tensor], candidates: Mapping[str, tf.Tensor]
    ) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        """`pairs` over other rows of the features, by name."""

        def pairs(
            states: tf.Tensor, items: tf.Tensor, *, training: bool = False
        ) -> tuple[tf.Tensor, tf.Tensor]:
            items = tf.convert_to_tensor(items, tf.int32)
            shape, flat = tf.shape(items), tf.reshape(items, [-1])
            rows = tf.repeat(tf.convert_to_tensor(states, tf.int32), shape[1])
            named = {name: tf.gather(values, rows) for name, values in queries.items()}
            named |= {name: tf.gather(values, flat) for name, values in candidates.items()}
            said = self._said(call_model(self.ranker, named, training=training))
            known = tf.cast(flat > 0, tf.float32)
            embedding = said["embedding"] * known[:, None]
            logit = tf.reshape(said["logit"], [-1]) * known
            width = embedding.shape[-1]
            return (
                tf.reshape(embedding, tf.concat([shape, [width]], axis=0)),
                tf.reshape(logit, shape),
            )

        return pairs

    @property
    def feature_rows(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a user's states and items are looked up in, as arrays by name."""
        queries = {name: values.numpy() for name, values in self._queries.items()}
        return queries, {name: values.numpy() for name, values in self._candidates.items()}

    @property
    def num_items(self) -> int:
        """Number of items, the padding row not counted."""
        return int(next(iter(self._candidates.values())).shape[0]) - 1

    def sent_pairs(self, states: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`pairs` as downlinks carry them; the copy takes the model's place for the moment."""
        with self.as_sent():
            return self.pairs(states, items)

    @property
    def sent(self) -> list[tf.Variable]:
        """What downlinks are made with."""
        return list(self._sent)

    def user_vectors(
        self, states: tf.Tensor, knowledge: EdgeKnowledge | None, *, training: bool = False
    ) -> PairUsers:
        """Users, and what their uplinks add.

        Args:
          states: `[n] int32`.
          knowledge: the edge's embeddings to fuse, or None for the cloud's view alone.
          training: whether the model trains.
        """
        states = tf.convert_to_tensor(states, tf.int32)
        nothing = PairUsers(states, tf.zeros([tf.shape(states)[0], self.width]), training)
        if knowledge is None:
            return nothing
        vectors, _ = self.pairs(states, knowledge.items, training=training)
        heard = nothing._replace(weights=self.heard(knowledge, vectors))
        answers = knowledge.answers
        if answers is None or not self.spec.answer_ridge:
            return heard
        vectors, logits = self.pairs(states, answers.items)
        expected = logits + tf.einsum("nd,nad->na", heard.weights, vectors)
        return heard._replace(weights=heard.weights + self.explained(answers, vectors, expected))

    def logits(self, users: PairUsers, items: tf.Tensor) -> tf.Tensor:
        """`z_c` of users with items `[n, c] int32`: `[n, c] float32`."""
        embeddings, logits = self.pairs(users.states, items, training=users.training)
        return logits + tf.einsum("nd,ncd->nc", users.weights, embeddings)

    def label_loss(
        self, users: PairUsers, items: tf.Tensor, labels: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """The weighted sum of the tasks' losses, each a mean over its rows: `[] float32`."""
        del training  # The users say it.
        return self.task_loss(
            users.weights, items, labels, logits=lambda: self.logits(users, items)
        )

    def freeze_items(self) -> None:
        """Nothing: devices hold no part of the items, so that all goes on learning."""

    def _said(self, answer: Any) -> Mapping[str, tf.Tensor]:
        names = ("embedding", "logit")
        if not isinstance(answer, Mapping) or not set(names) <= set(answer):
            got = sorted(answer) if isinstance(answer, Mapping) else type(answer).__name__
            raise ConfigError(
                f"{self._what}: expected the ranker to answer a dictionary of embedding [n, d] and "
                f"logit [n], got {got}"
            )
        return answer

    def _checked_width(self) -> int:
        hint = f"; it is given {', '.join(self._names)}: centralized columns alone"
        named = {name: values[:2] for name, values in self._queries.items()}
        named |= {name: values[:2] for name, values in self._candidates.items()}
        module = type(self.ranker).__module__
        with guarded(f"{self._what}: ranker", module=module, hint=hint):
            answer = call_model(self.ranker, named, training=False)
        said = self._said(answer)
        for name, ranks in (("embedding", [2]), ("logit", [1, 2])):
            found = said[name]
            fits = tf.is_tensor(found) and found.shape.rank in ranks and found.shape[0] == 2
            if not fits or (name == "logit" and int(tf.size(found)) != 2):
                wanted = "embedding [n, d]" if name == "embedding" else "logit [n] or [n, 1]"
                got = getattr(found, "shape", type(found).__name__)
                raise ConfigError(
                    f"{self._what}: expected the ranker's {wanted}, got {got} for n=2"
                )
            if not np.isfinite(found.numpy()).all():
                raise ConfigError(
                    f"{self._what}: expected a finite {name} of the ranker, got others before any "
                    "training; look for a logarithm, a division or a scale of zero"
                )
        return int(said["embedding"].shape[1])
