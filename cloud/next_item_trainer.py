"""What trainers of the next-item block share: where they start, how they pool, what they give."""

import abc
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import NextItemConfig
from ecct_tf.knowledge import Block

__all__ = ["NextItemStart", "NextItemTrainer", "pooled", "pooling_weights"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_START = 0.1
_ROWS_AT_ONCE = 1 << 16


class NextItemStart(NamedTuple):
    """What a trainer starts from.

    Attributes:
      source: `[items + 1, rank] float32`, embeddings of what came before.
      target: `[items + 1, rank] float32`, embeddings of what comes next.
      mix: `[decays, rank] float32`, weights of the recency decays.
      bias: `[items + 1] float32`, by how often each item came next.
      counts: `[items + 1]`, how often that was.
    """

    source: Array
    target: Array
    mix: Array
    bias: Array
    counts: npt.NDArray[np.int64]


class NextItemTrainer(abc.ABC):
    """Learns source and target embeddings by naming the next item.

    Args:
      rng: draws the first embeddings.
      num_items: the largest item id.
      rank: width of the embeddings.
      decays: recency decays at which histories are pooled.
      length: interactions of a history.
      counts: `[items + 1]`, how often each item came next.
      config: how to train.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        num_items: int,
        rank: int,
        decays: tuple[float, ...],
        length: int,
        counts: npt.NDArray[np.int64],
        config: NextItemConfig,
    ) -> None:
        self._pooling = tf.constant(pooling_weights(decays, length))
        source, target = (_random_table(rng, num_items + 1, rank) for _ in range(2))
        mix = np.full((len(decays), rank), 0.5 / len(decays), np.float32)
        bias = np.log1p(counts).astype(np.float32)
        start = NextItemStart(source, target, mix, bias, counts)
        self._begin(start, length=length, config=config)

    @abc.abstractmethod
    def _begin(self, start: NextItemStart, *, length: int, config: NextItemConfig) -> None:
        """Sets up what is learned, and the steps."""

    @abc.abstractmethod
    def step(self, contexts: Ids, targets: Ids, keep: Array, rng: np.random.Generator) -> None:
        """One step on a batch.

        Args:
          contexts: `[B, L] int32`, what came before; 0 is padding.
          targets: `[B] int32`, what came next.
          keep: `[B, L] float32`, 0 for what is dropped.
          rng: draws what a step needs at random.
        """

    @abc.abstractmethod
    def learned(self) -> list[Array]:
        """All that is learned: source and target embeddings, the mix of decays and biases."""

    def block(self) -> Block:
        """The learned block, its padding row zero."""
        source, target, mix, _ = self.learned()
        target = target * mix.sum(axis=0)
        source[0] = target[0] = 0.0
        return Block("next item", source, target)


def pooling_weights(decays: tuple[float, ...], length: int) -> Array:
    """`[L, decays]`: what an interaction weighs by its age, the newest last."""
    ages = np.arange(length - 1, -1, -1)
    return np.stack([decay**ages for decay in decays], 1).astype(np.float32)


def pooled(embedded: tf.Tensor, mask: tf.Tensor, pooling: tf.Tensor, mix: tf.Tensor) -> tf.Tensor:
    """What histories say.

    Args:
      embedded: `[B, L, rank] float32`, source embeddings.
      mask: `[B, L] float32`, 0 where there is no interaction.
      pooling: of `pooling_weights`.
      mix: `[decays, rank] float32`.

    Returns:
      `[B, rank] float32`.
    """
    size = tf.sqrt(tf.maximum(tf.matmul(mask, pooling), 1.0))
    weights = mask[..., None] * pooling / size[:, None]
    return tf.reduce_sum(tf.matmul(weights, embedded, transpose_a=True) * mix, axis=1)


def _random_table(rng: np.random.Generator, rows: int, rank: int) -> Array:
    """`[rows, rank] float32`, drawn as at once, some at a time."""
    table = np.empty((rows, rank), np.float32)
    for start in range(0, rows, _ROWS_AT_ONCE):
        some = table[start : start + _ROWS_AT_ONCE]
        some[:] = _START * rng.standard_normal(some.shape)
    return table
