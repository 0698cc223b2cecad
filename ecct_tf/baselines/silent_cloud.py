"""A cloud that says nothing: what devices reach without the exchange.

With the real item table it stands for "the item table alone, no downlink and no
uplink"; with a blank one for devices that get no cloud knowledge at all.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.knowledge import Block, ItemTable, KnowledgeStore

__all__ = ["SilentCloud", "blank_item_table"]


class SilentCloud:
    """Implements `ecct_tf.federated.Cloud`, with an item table and nothing else."""

    def __init__(self, table: ItemTable, *, num_queries: int) -> None:
        self._table = table
        self._num_queries = num_queries

    def downlinks(
        self, users: npt.NDArray[np.int32], *, round_number: int
    ) -> npt.NDArray[np.float32]:
        """Zeros, `[n, d_c]`."""
        del round_number
        return np.zeros((len(users), self._table.cloud_dim), np.float32)

    def queries(self, users: npt.NDArray[np.int32], *, round_number: int) -> npt.NDArray[np.int32]:
        """The first item throughout, `[n, Q]`: nobody reads the answers."""
        del round_number
        return np.ones((len(users), self._num_queries), np.int32)

    def update(
        self, knowledge: KnowledgeStore, *, round_number: int, use_logits: bool
    ) -> dict[str, float]:
        """Learns nothing."""
        del knowledge, round_number, use_logits
        return {}


def blank_item_table(
    like: ItemTable, *, item_counts: npt.NDArray[np.int64], seed: int
) -> ItemTable:
    """A table of the shapes of `like` with what devices could know without a cloud.

    Its item-to-item embeddings are random directions, so that a dot product tells only
    whether two items are the same. Its one attribute is how often devices met an item,
    which a federated sum of their counts yields without any cloud knowledge.

    Args:
      like: a table of the shapes wanted.
      item_counts: `[items + 1] int64`, summed over the devices' own training histories.
      seed: of the random directions.
    """
    rng = np.random.default_rng([seed, 0xB1A])
    blocks = []
    for block in like.blocks:
        rows = rng.standard_normal(block.source.shape).astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        rows[0] = 0.0
        blocks.append(Block(block.name, rows, rows))
    attributes = np.zeros_like(like.attributes)
    popularity = np.log1p(item_counts[1:]).astype(np.float32)
    attributes[1:, 0] = (popularity - popularity.mean()) / max(popularity.std(), 1e-6)
    return dataclasses.replace(
        like,
        blocks=tuple(blocks),
        attributes=attributes,
        cloud=np.zeros((like.num_items + 1, like.cloud_dim), np.float32),
        row_dim=0,
        bias=np.zeros_like(like.bias),
        feature_mean=np.zeros_like(like.feature_mean),
        feature_scale=np.ones_like(like.feature_scale),
        logit_mean=0.0,
        logit_scale=1.0,
    )
