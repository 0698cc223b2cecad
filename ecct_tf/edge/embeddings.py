"""Small trainable tables, as layers: of one value a row, and of several."""

import dataclasses

import tensorflow as tf

from ecct_tf.edge.architecture import Weights
from ecct_tf.edge.arithmetic import matmul
from ecct_tf.edge.layout import Weight
from ecct_tf.edge.primitives import embed

__all__ = ["Embedding", "EmbeddingBag"]


@dataclasses.dataclass(frozen=True)
class Embedding:
    """A small trainable table: `[..., B] int32` to `[..., B, dim]`. For vocabularies of tens.

    Attributes:
      name: of its weights.
      rows: how many values there are; ids lie in `[0, rows)`.
      dim: width of a row.
    """

    name: str
    rows: int
    dim: int

    @property
    def weights(self) -> tuple[Weight, ...]:
        """`[rows, dim]`."""
        return (Weight(self.name, (self.rows, self.dim), "backbone", 0.1),)

    def __call__(self, weights: Weights, ids: tf.Tensor) -> tf.Tensor:
        """The rows of `ids`."""
        return embed(weights[self.name], ids, rows=self.rows)


@dataclasses.dataclass(frozen=True)
class EmbeddingBag:
    """The mean embedding of the values that a row has: `[..., B, values]` to `[..., B, dim]`.

    It reads a part of `EdgeInputs.sets`, whose values share one; zero for a row that has none.

    Attributes:
      name: of its weights.
      values: how many there are; a table for vocabularies of tens or hundreds.
      dim: width of an embedding.
    """

    name: str
    values: int
    dim: int

    @property
    def weights(self) -> tuple[Weight, ...]:
        """`[values, dim]`."""
        return (Weight(self.name, (self.values, self.dim), "backbone", 0.1),)

    def __call__(self, weights: Weights, shares: tf.Tensor) -> tf.Tensor:
        """The mean rows of the table."""
        return matmul(shares, weights[self.name])
