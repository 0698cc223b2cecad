"""Item-to-item embeddings learned to name the next item.

The closed forms in `cloud.similarity` say what goes together; this block is trained for
what a device asks of its item table: which item follows a history that is pooled by
recency. The cloud trains it on older interactions and devices apply it to their newest,
so neither has to show the other its own. Inferred: the paper leaves the models open.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.divergence import check_learned
from cloud.next_item_loss import next_item_loss
from cloud.next_item_trainer import NextItemStart, NextItemTrainer, pooled
from cloud.passes import passes
from cloud.sampled_next_item import SampledTrainer
from ecct_tf.config import NextItemConfig
from ecct_tf.data.views import joined_of, sizes_of
from ecct_tf.knowledge import Block
from ecct_tf.knowledge.pair_counts import PairCounts

__all__ = ["next_item_block"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


def next_item_block(
    histories: Sequence[Ids],
    *,
    num_items: int,
    rank: int,
    decays: tuple[float, ...],
    length: int,
    config: NextItemConfig,
    seed: int,
    added: PairCounts | None = None,
) -> Block:
    """Learns the block from `histories`.

    A position's user vector is `sum_k a_k ⊙ pooled_k`, where `pooled_k` sums the source
    embeddings of the history at the k-th recency decay; its logits for all items are the
    products with the target embeddings plus a bias, its loss the cross-entropy of the item
    that came next. The full softmax costs as much as there are items: above `config.full_items`
    it is over `config.sampled_items` drawn for each batch. An epoch has at most
    `config.max_positions` positions, others in each, so that a larger population costs no more.

    Args:
      histories: per user `[n] int32`, items 1..num_items, oldest first.
      num_items: the largest item id.
      rank: width of the embeddings.
      decays: recency decays at which histories are pooled, as devices do.
      length: newest interactions of a history that are read.
      config: how to train.
      seed: of the first embeddings, the order and the dropout.
      added: what devices know of pairs beside these histories: "j soon after i" is a history of
        two, as often as it came up, wider steps less often than the very next.

    Returns:
      The block; the weights `a` are folded into its target embeddings.

    Raises:
      DivergenceError: when they are not finite.
    """
    if added is not None:
        histories = [*histories, *_pairs(added)]
    positions = _Positions(histories, length)
    if not len(positions):
        nothing = np.zeros((num_items + 1, rank), np.float32)
        return Block("next item", nothing, nothing)
    rng = np.random.default_rng([seed, 0x4E47])
    counts = positions.counts(num_items)
    sizes = {"num_items": num_items, "rank": rank, "length": length}
    kind = SampledTrainer if num_items > config.full_items else _Trainer
    trainer = kind(rng, decays=decays, counts=counts, config=config, **sizes)
    steps = -(-min(len(positions), config.max_positions) // config.batch_size)
    for _ in range(passes(config.epochs, steps=steps, min_steps=config.min_steps)):
        # A copy: what is not drawn takes no memory.
        order = rng.permutation(len(positions))[: config.max_positions].copy()
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            keep = (rng.random((len(rows), length)) >= config.dropout).astype(np.float32)
            contexts, targets = positions.contexts(rows), positions.targets(rows)
            trainer.step(contexts, targets, keep, rng)
    block = trainer.block()
    check_learned(
        trainer.learned(),
        loss=0.0,
        when="the block that names the next item, before the first round",
        settings={
            f"cloud.next_item.{name}": getattr(config, name)
            for name in ("learning_rate", "weight_decay", "epochs")
        },
    )
    return block


def _pairs(added: PairCounts) -> list[Ids]:
    """`[2] int32` each: a pair as often as the weight of the very next item goes into its own."""
    counted = (added.after / added.step).tocoo()
    times = np.floor(counted.data + 0.5).astype(np.int64)
    pairs = np.stack([counted.row, counted.col], axis=1).astype(np.int32)
    return list(np.repeat(pairs, times, axis=0))


class _Trainer(NextItemTrainer):
    """Learns with a loss that names the next item among all."""

    def _begin(self, start: NextItemStart, *, length: int, config: NextItemConfig) -> None:
        self._source, self._target = tf.Variable(start.source), tf.Variable(start.target)
        self._mix, self._bias = tf.Variable(start.mix), tf.Variable(start.bias)
        # Traced once, though the last batch of an epoch is shorter.
        batch = [
            tf.TensorSpec([None, length], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, length], tf.float32),
        ]
        self._compiled = tf.function(self._step, input_signature=batch, autograph=False)
        self._optimizer = tf.keras.optimizers.Adam(config.learning_rate)
        self._optimizer.build(self._variables)
        self._decay = 1.0 - config.learning_rate * config.weight_decay

    @property
    def _variables(self) -> list[tf.Variable]:
        return [self._source, self._target, self._mix, self._bias]

    def learned(self) -> list[Array]:
        """All that is learned: source and target embeddings, the mix of decays and biases."""
        return [variable.numpy() for variable in self._variables]

    def step(self, contexts: Ids, targets: Ids, keep: Array, rng: np.random.Generator) -> None:
        """One step on a batch: `[B, L] int32`, `[B] int32`, `[B, L] float32`; nothing is drawn."""
        del rng
        self._compiled(contexts, targets, keep)

    def _step(self, contexts: tf.Tensor, targets: tf.Tensor, keep: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            mask = tf.cast(contexts > 0, tf.float32) * keep
            users = pooled(tf.gather(self._source, contexts), mask, self._pooling, self._mix)
            # Item 0 is padding and never comes next.
            loss = next_item_loss(users, self._target[1:], self._bias[1:], targets - 1)
        self._apply(tape.gradient(loss, self._variables))

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self._optimizer.apply_gradients(zip(dense, self._variables, strict=True))
        for embeddings in (self._source, self._target):
            embeddings.assign(embeddings * self._decay)


class _Positions:
    """Each interaction but a user's first, with what came before, which is looked up when read."""

    def __init__(self, histories: Sequence[Ids], length: int) -> None:
        self._length = length
        sizes = sizes_of(histories)
        self._items: Ids = joined_of(histories)
        sizes = sizes[sizes > 0]
        self._first = np.cumsum(sizes) - sizes
        # Positions of each history and of those before it.
        self._ends = np.cumsum(sizes - 1)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def counts(self, num_items: int) -> npt.NDArray[np.int64]:
        """`[num_items + 1]`: how often each item is a target."""
        every = np.bincount(self._items, minlength=num_items + 1)
        return every - np.bincount(self._items[self._first], minlength=num_items + 1)

    def targets(self, rows: npt.NDArray[np.int64]) -> Ids:
        """`[b] int32`: the interactions of `rows` `[b]`."""
        return self._items[self._places(rows)[0]]

    def contexts(self, rows: npt.NDArray[np.int64]) -> Ids:
        """`[b, L] int32`: what came before `rows` `[b]`, padded before the oldest."""
        places, owners = self._places(rows)
        before = places[:, None] - np.arange(self._length, 0, -1)
        found = self._items[np.maximum(before, 0)]
        found[before < self._first[owners][:, None]] = 0
        return found

    def _places(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """`[b]` twice: where among all items `rows` `[b]` are, and whose of them each is."""
        owners = np.searchsorted(self._ends, rows, side="right")
        # A history's first interaction is no position.
        return rows + owners + 1, owners
