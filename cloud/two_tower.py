"""A custom cloud model: two Keras towers, and what its builder is given.

    def build(spec: CloudSpec) -> TwoTowerCloud: ...

ECCT gets the towers and adds the exchange: fusion of the devices' embeddings, distillation of
their logits, the item table, downlinks and starting weights of edge models. Importing this module
takes no TensorFlow.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy.typing as npt

from ecct_tf.config import CloudConfig
from ecct_tf.errors import ConfigError

__all__ = [
    "CloudSpec",
    "Feature",
    "FeatureKind",
    "Features",
    "TwoTowerCloud",
    "check_described",
    "pair_features",
    "weighted_tasks",
]

T = TypeVar("T")
FeatureKind = Literal[
    "id", "categorical", "multi_categorical", "numeric", "vector", "history", "timestamp"
]


@dataclasses.dataclass(frozen=True, eq=False)
class Feature:
    """One named tensor that a tower reads.

    Attributes:
      kind: `id`, the kind of a column of the schema, `history` or `timestamp`.
      values: what there is of it, one row a user or item, for layers that adapt to data: ids,
        codes and times `[rows]` in whole numbers, numbers `[rows] float32`, multi-hot rows and
        vectors `[rows, width] float32`, histories `[rows, L] int32`.
      size: rows of an embedding that it indexes; of a multi-categorical column, its width. 0 for
        numbers, vectors and times.
      vocabulary: of a categorical column: code k stands for `vocabulary[k - 1]`, 0 for unknown; of
        a multi-categorical one place k for `vocabulary[k]`.
    """

    kind: FeatureKind
    values: npt.NDArray[Any]
    size: int = 0
    vocabulary: tuple[str, ...] = ()


class Features(dict[str, Feature]):
    """Features of one tower by name; one that there is not is named with those that there are."""

    def __missing__(self, name: str) -> Feature:
        raise ConfigError(
            f"a tower asks for the feature {name!r}: expected one of {', '.join(self)}; the cloud "
            "has centralized columns alone, federated ones stay on their devices"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class CloudSpec:
    """What the builder of a cloud model is given; all of it is the cloud's own knowledge.

    Attributes:
      queries: what the query tower reads, by name: `user_id`, the user's centralized columns,
        `history` (the newest item numbers that the cloud knows, oldest first, 0 in front) and
        `timestamp` (seconds of the newest of them).
      candidates: what the candidate tower reads, by name: `item_id`, where 0 is padding, and the
        item's columns.
      config: the section `cloud` of the run or job.
      seed: of the random initial weights; Keras initialisers without a seed follow it too.

    Example:
      >>> import numpy as np
      >>> ids = Feature("id", np.arange(3, dtype=np.int32), size=3)
      >>> spec = CloudSpec({"user_id": ids}, {"item_id": ids}, CloudConfig(), seed=0)
      >>> spec.queries["user_id"].size
      3
    """

    queries: Mapping[str, Feature]
    candidates: Mapping[str, Feature]
    config: CloudConfig
    seed: int

    def query_inputs(self, *names: str) -> dict[str, Any]:
        """Keras inputs of the query tower by name; all of them where none is named.

        Raises:
          ConfigError: there is no such feature.
        """
        return _inputs(self.queries, names)

    def candidate_inputs(self, *names: str) -> dict[str, Any]:
        """Keras inputs of the candidate tower, likewise.

        Raises:
          ConfigError: likewise.
        """
        return _inputs(self.candidates, names)

    def pair_inputs(self, *names: str) -> dict[str, Any]:
        """Keras inputs of a model of pairs, which reads features of both sides, likewise.

        Raises:
          ConfigError: likewise, or both sides have a feature of one name.
        """
        return _inputs(Features(pair_features(self.queries, self.candidates)), names)


@dataclasses.dataclass(frozen=True, eq=False)
class TwoTowerCloud:
    """Two Keras towers as the cloud of an exchange.

    The score of a user and an item is the dot product of their embeddings: that is what makes the
    product of the two a cloud embedding, and the user's alone a downlink.

    Attributes:
      query_tower: a Keras model from a dictionary of named tensors to user embeddings
        `[n, d] float32`.
      candidate_tower: likewise for items, of the same width.
      task: what the towers learn from the cloud's own interactions: a task of TFRS, `Retrieval` or
        `Ranking`, with its loss and metrics; several as pairs `(task, weight)`; by default
        `Retrieval`. A ranking task gets the positive and its negatives as
        `[n, 1 + cloud.negatives]` labels and logits, a retrieval task the embeddings of the batch.
      optimizer: a Keras optimiser; by default Adam with `cloud.learning_rate`. Each phase of
        training begins with a fresh one of its kind.
      tables: what has a row for each `user`, each `item`, or each value of a column, by that name:
        layers, whose first weight it is, or variables. They get rows when new users, items and
        values come; a new item starts as the mean of those that share its categories, any other
        row as the mean of all.

    Example:
      >>> from types import SimpleNamespace
      >>> tower = SimpleNamespace(name="a Keras model")
      >>> TwoTowerCloud(tower, tower, tables={}).task is None
      True
    """

    query_tower: Any
    candidate_tower: Any
    task: Any = None
    optimizer: Any = None
    tables: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_described(self.task, self.tables)

    @property
    def weighted_tasks(self) -> list[tuple[Any, float]]:
        """The tasks, each with its weight in the loss."""
        if self.task is None:
            import tensorflow_recommenders as tfrs

            return [(tfrs.tasks.Retrieval(), 1.0)]
        return weighted_tasks(self.task)


def check_described(task: Any, tables: Any) -> None:
    """Refuses tasks and tables that are not of the form that a description has.

    Raises:
      ConfigError: they are not.
    """
    if not isinstance(tables, Mapping):
        raise ConfigError(
            "tables: expected a dictionary such as {'item': [layer, ...]}, got "
            f"{type(tables).__name__}"
        )
    given = task if isinstance(task, Sequence) else [(task, 1.0)]
    for each in given:
        pair = isinstance(each, Sequence) and len(each) == 2 and not isinstance(each, str)
        if not pair or not isinstance(each[1], int | float):
            raise ConfigError(
                "task: expected a task of TFRS, or pairs [(task, weight), ...], got "
                f"{each!r} in {type(task).__name__}"
            )
        if task is not None and not callable(each[0]):
            raise ConfigError(f"task: expected a task of TFRS such as Retrieval(), got {each[0]!r}")


def weighted_tasks(task: Any) -> list[tuple[Any, float]]:
    """A task, or pairs of tasks and weights, as such pairs."""
    if isinstance(task, Sequence):
        return [(each, float(weight)) for each, weight in task]
    return [(task, 1.0)]


def pair_features(queries: Mapping[str, T], candidates: Mapping[str, T]) -> dict[str, T]:
    """What a model of pairs reads, by name.

    Raises:
      ConfigError: a user's and an item's column have one name.
    """
    both = [name for name in queries if name in candidates]
    if both:
        raise ConfigError(
            f"column {both[0]!r}: users and items have one of this name each, and a model of pairs "
            "reads both by their names; rename one in the schema, and give the file's own as its "
            "header"
        )
    return {**queries, **candidates}


def _inputs(features: Mapping[str, Feature], names: Sequence[str]) -> dict[str, Any]:
    import tensorflow as tf

    return {
        name: tf.keras.Input(
            features[name].values.shape[1:], dtype=features[name].values.dtype.name, name=name
        )
        for name in names or features
    }
