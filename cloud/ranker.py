"""A custom cloud model whose score is no product: one Keras model of a user and an item.

    def build(spec: CloudSpec) -> RankerCloud: ...

A DLRM, a model with cross features: it reads a user's and an item's columns together. ECCT adds
the same exchange as to two towers; downlinks then carry rows for items that the cloud chose.
Importing this module takes no TensorFlow.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from cloud.two_tower import check_described, weighted_tasks

__all__ = ["RankerCloud"]


@dataclasses.dataclass(frozen=True, eq=False)
class RankerCloud:
    """A Keras model of pairs as the cloud of an exchange.

    Attributes:
      ranker: a Keras model from a dictionary of named tensors, one row a pair of a user and an
        item, to `{"embedding": [n, d] float32, "logit": [n] float32}`: h_c, which edge models read,
        and z_c, the score, of any sign.
      task: what it learns from the cloud's own interactions: a task of TFRS, `Ranking`, with its
        loss and metrics; several as pairs `(task, weight)`; by default `Ranking` with the
        cross-entropy of logits. It gets each positive and its negatives as
        `[n, 1 + cloud.negatives]` labels and logits.
      optimizer: a Keras optimiser; by default Adam with `cloud.learning_rate`.
      tables: what has a row for each `user`, `item` or value, as of a `TwoTowerCloud`.

    Example:
      >>> from types import SimpleNamespace
      >>> RankerCloud(SimpleNamespace(name="a Keras model")).tables
      {}
    """

    ranker: Any
    task: Any = None
    optimizer: Any = None
    tables: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_described(self.task, self.tables)

    @property
    def weighted_tasks(self) -> list[tuple[Any, float]]:
        """The tasks, each with its weight in the loss."""
        if self.task is None:
            import tensorflow as tf
            import tensorflow_recommenders as tfrs

            loss = tf.keras.losses.BinaryCrossentropy(from_logits=True)
            return [(tfrs.tasks.Ranking(loss=loss), 1.0)]
        return weighted_tasks(self.task)
