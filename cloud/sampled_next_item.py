"""The steps of the next-item block in large catalogs, each over the rows that it reads alone."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.lazy_adam import LazyAdam
from cloud.sampled_softmax import ItemSampler, sampled_loss
from ecct_tf.config import NextItemConfig
from ecct_tf.knowledge import Block

__all__ = ["SampledTrainer", "pooled", "pooling_weights", "random_table"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_START = 0.1
_ROWS_AT_ONCE = 1 << 16


class SampledTrainer:
    """Learns source and target embeddings by naming the next item among drawn ones.

    What it learns is what steps of Adam over the whole tables would (`LazyAdam`); a step costs what
    its batch reads, whatever the catalog.

    Args:
      rng: of the first embeddings.
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
        rate = config.learning_rate
        shrink = 1.0 - rate * config.weight_decay
        source, target = (random_table(rng, num_items + 1, rank) for _ in range(2))
        self._source = LazyAdam(source, learning_rate=rate, decay=shrink)
        self._target = LazyAdam(target, learning_rate=rate, decay=shrink)
        mix = np.full((len(decays), rank), 0.5 / len(decays), np.float32)
        self._mix = LazyAdam(mix, learning_rate=rate)
        self._bias = LazyAdam(np.log1p(counts).astype(np.float32), learning_rate=rate)
        self._sampler = ItemSampler(counts, size=config.sampled_items)
        self._pooling = tf.constant(pooling_weights(decays, length))
        ids = tf.TensorSpec([None], tf.int32)
        table = tf.TensorSpec([None, rank], tf.float32)
        self._gradients = tf.function(
            self._gradients_of,
            input_signature=[
                table, table, tf.TensorSpec([None], tf.float32),
                tf.TensorSpec(mix.shape, tf.float32), tf.TensorSpec([None, length], tf.int32),
                tf.TensorSpec([None, length], tf.float32), ids, ids,
                tf.TensorSpec([None], tf.float32),
            ],
            autograph=False,
        )  # fmt: skip

    def step(self, contexts: Ids, targets: Ids, keep: Array, rng: np.random.Generator) -> None:
        """One step on a batch: `[B, L] int32`, `[B] int32`, `[B, L] float32`; `rng` draws items."""
        drawn = self._sampler.draw(rng)
        read, places = np.unique(contexts, return_inverse=True)
        named = np.union1d(drawn, targets)
        every = np.arange(len(self._mix.table))
        gradients = self._gradients(
            self._source.rows(read),
            self._target.rows(named),
            self._bias.rows(named),
            self._mix.rows(every),
            np.where(contexts > 0, places.reshape(contexts.shape), -1).astype(np.int32),
            keep,
            np.searchsorted(named, targets).astype(np.int32),
            np.searchsorted(named, drawn).astype(np.int32),
            self._sampler.expected[named],
        )
        source, target, bias, mix = (part.numpy() for part in gradients)
        self._source.apply(read, source)
        self._target.apply(named, target)
        self._bias.apply(named, bias)
        self._mix.apply(every, mix)

    def _gradients_of(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        bias: tf.Tensor,
        mix: tf.Tensor,
        contexts: tf.Tensor,
        keep: tf.Tensor,
        targets: tf.Tensor,
        drawn: tf.Tensor,
        expected: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Of the rows of a batch, by which contexts, targets and draws are numbered."""
        with tf.GradientTape() as tape:
            tape.watch([source, target, bias, mix])
            mask = tf.cast(contexts >= 0, tf.float32) * keep
            embedded = tf.gather(source, tf.maximum(contexts, 0))
            loss = sampled_loss(
                pooled(embedded, mask, self._pooling, mix),
                target,
                bias,
                targets=targets,
                drawn=drawn,
                expected=expected,
            )
        found = tape.gradient(loss, [source, target, bias, mix])
        return [tf.convert_to_tensor(gradient) for gradient in found]

    def learned(self) -> list[Array]:
        """All that is learned: source and target embeddings, biases and the mix of decays."""
        tables = (self._source, self._target, self._bias, self._mix)
        return [table.whole() for table in tables]

    def block(self) -> Block:
        """The learned block, its padding row zero."""
        source, target, _, mix = self.learned()
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


def random_table(rng: np.random.Generator, rows: int, rank: int) -> Array:
    """`[rows, rank] float32`, drawn as at once, some at a time."""
    table = np.empty((rows, rank), np.float32)
    for start in range(0, rows, _ROWS_AT_ONCE):
        some = table[start : start + _ROWS_AT_ONCE]
        some[:] = _START * rng.standard_normal(some.shape)
    return table
