"""The item table of a cloud: what its input space and its model say of the items."""

import numpy as np
import tensorflow as tf

from cloud.exchange_model import ExchangeModel
from cloud.input_space import InputSpace
from ecct_tf.config import FeatureConfig
from ecct_tf.knowledge import Block, ItemTable

__all__ = ["model_table"]


def model_table(space: InputSpace, model: ExchangeModel, *, features: FeatureConfig) -> ItemTable:
    """The table that devices fetch, its moments still 0 and 1.

    Args:
      space: item-to-item blocks, attributes and categories.
      model: embeds items, unless it sends rows.
      features: how devices pool histories.
    """
    rows = space.num_items + 1
    vectors, biases = np.zeros((rows, 0), np.float32), np.zeros(rows, np.float32)
    if not model.sends_rows:
        everything = tf.range(rows)
        vectors = model.item_vectors(everything).numpy()
        biases = model.item_logits(everything).numpy()
    blocks = [space.preference, space.sequence, *space.learned]
    if space.categories.shape[1]:
        blocks.append(Block("category", space.categories, space.categories))
    width = features.width(num_blocks=len(blocks), num_attributes=space.table_attributes.shape[1])
    return ItemTable(
        blocks=tuple(blocks),
        attributes=space.table_attributes,
        cloud=vectors,
        bias=biases,
        feature_mean=np.zeros(width, np.float32),
        feature_scale=np.ones(width, np.float32),
        row_dim=model.width if model.sends_rows else 0,
        counts_newest=space.recent is not None,
    )
