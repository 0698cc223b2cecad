"""The steps of the next-item block in large catalogs, each over the rows that it reads alone."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.lazy_adam import LazyAdam
from cloud.next_item_trainer import NextItemStart, NextItemTrainer, pooled
from cloud.sampled_softmax import ItemSampler, sampled_loss
from ecct_tf.config import NextItemConfig

__all__ = ["SampledTrainer"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


class SampledTrainer(NextItemTrainer):
    """Learns source and target embeddings by naming the next item among drawn ones.

    What it learns is what steps of Adam over the whole tables would (`LazyAdam`); a step costs what
    its batch reads, whatever the catalog.
    """

    def _begin(self, start: NextItemStart, *, length: int, config: NextItemConfig) -> None:
        rate = config.learning_rate
        shrink = 1.0 - rate * config.weight_decay
        self._source = LazyAdam(start.source, learning_rate=rate, decay=shrink)
        self._target = LazyAdam(start.target, learning_rate=rate, decay=shrink)
        self._mix = LazyAdam(start.mix, learning_rate=rate)
        self._bias = LazyAdam(start.bias, learning_rate=rate)
        self._sampler = ItemSampler(start.counts, size=config.sampled_items)
        ids = tf.TensorSpec([None], tf.int32)
        table = tf.TensorSpec([None, start.source.shape[1]], tf.float32)
        self._gradients = tf.function(
            self._gradients_of,
            input_signature=[
                table, table, tf.TensorSpec([None], tf.float32),
                tf.TensorSpec(start.mix.shape, tf.float32), tf.TensorSpec([None, length], tf.int32),
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
        """All that is learned: source and target embeddings, the mix of decays and biases."""
        return [table.whole() for table in (self._source, self._target, self._mix, self._bias)]
