"""Two custom Keras towers as the model of an exchange."""

from typing import Any

import numpy as np
import tensorflow as tf

from cloud.exchange_model import ExchangeSizes
from cloud.growth import PUBLISHED_ITEMS
from cloud.own_model import OwnModel, call_model, constants, refuse_random, refuse_unknown
from cloud.tower_inputs import TowerInputs
from cloud.two_tower import TwoTowerCloud
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import guarded

__all__ = ["TowerModel"]


class TowerModel(OwnModel):
    """The towers of a `TwoTowerCloud`, with fusion, distillation and a copy for downlinks.

    A state is a row number of `inputs.query_rows`.

    Args:
      towers: the towers.
      sizes: how uplinks are taken in.
      inputs: the features.
      what: names the cloud in messages.

    Raises:
      ConfigError: the towers are none that an exchange can be made of.
    """

    def __init__(
        self, towers: TwoTowerCloud, sizes: ExchangeSizes, *, inputs: TowerInputs, what: str
    ) -> None:
        super().__init__(towers, sizes, what=what)
        self.query_tower, self.candidate_tower = towers.query_tower, towers.candidate_tower
        for name, tower in (("query", self.query_tower), ("candidate", self.candidate_tower)):
            if not isinstance(tower, tf.keras.Model):
                raise ConfigError(
                    f"{what}: expected a tf.keras.Model as {name}_tower, got {type(tower).__name__}"
                )
            refuse_random(tower, what=f"{what}: {name}_tower")
            rows = inputs.query_rows if name == "query" else inputs.candidate_rows
            refuse_unknown(tower, rows, what=f"{what}: {name}_tower")
        self._queries = constants(inputs.query_rows)
        self._candidates = constants(inputs.candidate_rows)
        self._published: tf.Variable | None = None
        width = self._checked_width()
        self.add_fusion(width)
        self.build_fusion(tf.zeros([1], tf.int32))
        self.try_tasks()
        self.copy_for_downlinks()
        self.check_tables(inputs, **{"published/0": PUBLISHED_ITEMS})

    @property
    def parts(self) -> dict[str, Any]:
        """The towers."""
        return {"query": self.query_tower, "candidate": self.candidate_tower}

    def item_vectors(self, items: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`[...] int32` items to `[..., d_c] float32`, zeros for the padding.

        From publication on as published, whatever becomes of an item's columns: devices hold them.
        """
        if self._published is not None:
            return tf.gather(self._published, items)
        return self._tower_vectors(items, training=training)

    def _tower_vectors(self, items: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        items = tf.convert_to_tensor(items, tf.int32)
        flat = tf.reshape(items, [-1])
        vectors = call_model(
            self.candidate_tower,
            {name: tf.gather(rows, flat) for name, rows in self._candidates.items()},
            training=training and self.candidate_tower.trainable,
        )
        vectors *= tf.cast(flat > 0, vectors.dtype)[:, None]
        return tf.reshape(vectors, tf.concat([tf.shape(items), tf.shape(vectors)[-1:]], axis=0))

    def item_logits(self, items: tf.Tensor) -> tf.Tensor:
        """Zeros: a dot product says everything."""
        return tf.zeros(tf.shape(items))

    def user_alone(self, states: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`u` of the cloud's own view, of row numbers `[n] int32`: `[n, d_c] float32`."""
        states = tf.convert_to_tensor(states, tf.int32)
        named = {name: tf.gather(rows, states) for name, rows in self._queries.items()}
        return call_model(self.query_tower, named, training=training)

    def sent_vectors(self, states: tf.Tensor) -> tf.Tensor:
        """`u` as downlinks carry it; takes the tower's place for the moment."""
        with self.as_sent():
            return self.user_alone(states)

    def freeze_items(self) -> None:
        """Ends the learning of the candidate tower, and of layers that it shares."""
        self.candidate_tower.trainable = False
        everything = tf.range(len(next(iter(self._candidates.values()))))
        self._published = tf.Variable(
            self._tower_vectors(everything), trainable=False, name="published"
        )

    def label_loss(
        self, users: tf.Tensor, items: tf.Tensor, labels: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """The weighted sum of the tasks' losses, each a mean over its rows: `[] float32`."""
        vectors = self.item_vectors(items, training=training)

        def logits() -> tf.Tensor:
            return tf.einsum("nd,ncd->nc", users, vectors)

        return self.task_loss(users, items, labels, vectors=vectors, logits=logits)

    def more_variables(self) -> dict[str, list[tf.Variable]]:
        """What was published of the items, once it was."""
        return {"published": [] if self._published is None else [self._published]}

    def restored(self) -> None:
        """Preprocessing layers take what they adapted to from the variables.

        Items that came after the snapshot, whose published rows are not numbers, get theirs from
        the tower.
        """
        super().restored()
        if self._published is not None:
            (new,) = np.nonzero(np.isnan(self._published.numpy()).any(axis=1))
            if len(new):
                rows = self._tower_vectors(tf.constant(new, tf.int32))
                self._published.scatter_nd_update(new[:, None], rows)

    def _checked_width(self) -> int:
        shapes = {}
        for name, tower, call, known in (
            ("query", self.query_tower, self.user_alone, self._queries),
            ("candidate", self.candidate_tower, self.item_vectors, self._candidates),
        ):
            hint = f"; the tower is given {', '.join(known)}: centralized columns alone"
            with guarded(f"{self._what}: {name}_tower", module=type(tower).__module__, hint=hint):
                vectors = call(tf.ones([2], tf.int32))
            if not tf.is_tensor(vectors) or vectors.shape.rank != 2 or vectors.shape[0] != 2:
                raise ConfigError(
                    f"{self._what}: expected {name}_tower to answer embeddings [n, d], got "
                    f"{getattr(vectors, 'shape', type(vectors).__name__)} for n=2"
                )
            if not np.isfinite(vectors.numpy()).all():
                raise ConfigError(
                    f"{self._what}: expected finite embeddings of {name}_tower, got others before "
                    "any training; look for a logarithm, a division or a scale of zero"
                )
            shapes[name] = int(vectors.shape[1])
        if shapes["query"] != shapes["candidate"]:
            raise ConfigError(
                f"{self._what}: expected towers of one width, got embeddings of "
                f"{shapes['query']} from query_tower and {shapes['candidate']} from candidate_tower"
            )
        return shapes["query"]
