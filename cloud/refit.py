"""Item-to-item knowledge, refitted with what devices know beside the cloud's own view."""

import dataclasses

from cloud.features import attribute_moments, item_attributes
from cloud.input_space import InputSpace, learned_blocks
from cloud.similarity import preference_block, sequence_block
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.data import CloudView
from ecct_tf.knowledge.pair_counts import PairCounts
from ecct_tf.phases import phase

__all__ = ["refit_space"]


def refit_space(
    space: InputSpace,
    view: CloudView,
    config: CloudConfig,
    added: PairCounts,
    *,
    features: FeatureConfig,
    seed: int,
) -> InputSpace:
    """`space` with blocks and popularity of all that is known of pairs of items.

    Args:
      space: of the view alone; whether it has a learned block does not matter.
      view: the cloud's side of the data.
      config: ranks and how to compute the blocks.
      added: what devices added, from their federated sum.
      features: how devices pool histories, which the learned block is trained for.
      seed: of the learned block.
    """
    histories = view.older.histories
    with phase(f"item similarity with the devices' sum, {view.num_items:,} items"):
        preference = preference_block(
            histories,
            num_items=view.num_items,
            rank=space.rank,
            regularization=config.regularization,
            similarity=config.similarity,
            symmetric=config.symmetric_preference,
            added=added,
        )
        sequence = sequence_block(
            histories,
            num_items=view.num_items,
            rank=space.rank,
            decay=config.sequence_decay,
            added=added,
        )
    learned = learned_blocks(view, config, features=features, seed=seed, added=added)
    mean, scale = attribute_moments(view, places=space.has_places, added=added.items)
    return dataclasses.replace(
        space,
        preference=preference,
        sequence=sequence,
        learned=learned,
        attributes=item_attributes(
            view, places=space.has_places, moments=(mean, scale), added=added.items
        ),
        attribute_mean=mean,
        attribute_scale=scale,
    )
