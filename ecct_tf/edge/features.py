"""Interaction features: what a device's recent history says about a candidate.

For each item-to-item block of the item table they are recency-weighted dot products
of the history with the candidate at several decays, and the dot products with the
last items alone; then the candidate's attributes and how far they lie from the
history's, and, with a clock, what `ecct_tf.edge.clock` says. Nothing here is trained, so a
phone computes a sample's features once.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.config import FeatureConfig
from ecct_tf.data.samples import pad_history
from ecct_tf.edge.clock import clock_features, context_inputs, elapsed_weights, is_known
from ecct_tf.edge.history_products import HistoryProducts, block_rows
from ecct_tf.edge.item_tensors import ItemTensors
from ecct_tf.knowledge.recent_popularity import without_one

__all__ = [
    "Interactions",
    "ItemTensors",
    "bounded",
    "interaction_features",
    "no_slots",
    "pad_history",
]

_ATTRIBUTE_DECAY = 0.9
_BOUND = 10.0


class Interactions(NamedTuple):
    """Frozen features of `K` candidates against one history.

    Attributes:
      features: `[..., K, F] float32`, standardised and clipped.
      slots: `[..., K, L, num_blocks] float32`, the dot products by slot; `[..., K, 0, num_blocks]`
        of histories that were pooled first.
      slot_mask: `[..., K, L, 1] float32`.
    """

    features: tf.Tensor
    slots: tf.Tensor
    slot_mask: tf.Tensor


def interaction_features(
    items: ItemTensors,
    *,
    block_sizes: tuple[int, ...],
    config: FeatureConfig,
    history: tf.Tensor,
    candidates: tf.Tensor,
    clock: tf.Tensor | None = None,
    clip: bool = True,
    pool_first: bool = False,
    own: tf.Tensor | None = None,
) -> Interactions:
    """Computes the interaction features.

    Args:
      items: the item table.
      block_sizes: widths of its blocks.
      config: how to pool.
      history: `[..., L] int32`, newest last, 0 for padding (at the front).
      candidates: `[..., K] int32`.
      clock: `[..., W] float32`, readings as `ecct_tf.data.clock` makes them; None is silent.
      clip: whether to clip the standardised features; not while their moments are measured.
      pool_first: as in `HistoryProducts`, for models that read no slots.
      own: `[..., K] float32`, 1 for candidates whose own interaction is counted in the last
        attribute, recent popularity, and is not to be read there; None for no candidate.

    Returns:
      The features, `[..., K, F]`, and the dot products by slot.
    """
    mask = tf.cast(history > 0, tf.float32)
    products = HistoryProducts(
        block_rows(items.source, history, block_sizes),
        block_rows(items.target, candidates, block_sizes),
        mask,
        pool_first,
    )
    weights = [tf.constant(_pooling(config))]
    if config.clock and config.clock_hours and clock is not None:
        weights.append(elapsed_weights(clock, config=config, mask=mask))
    columns, *timed = products.pooled(*weights)
    if items.attributes.shape[-1] != 0:
        attributes = tf.gather(items.attributes, candidates)
        if own is not None:
            fewer = without_one(attributes[..., -1:], tf.expand_dims(own, -1))
            attributes = tf.concat([attributes[..., :-1], fewer], axis=-1)
        mean = _mean_attributes(items, config, history, mask)
        columns += [attributes, tf.abs(attributes - mean[..., None, :])]
    rows, length = tf.shape(candidates), tf.shape(mask)[-1:]
    of_clock = []
    if config.clock and clock is not None:
        by_time = timed[0] if timed else []
        of_clock = clock_features(by_time, config=config, clock=clock, rows=rows)
    scaled = _standardised(
        items, columns, of_clock, num_blocks=len(block_sizes), config=config, clock=clock
    )
    return Interactions(
        features=bounded(scaled) if clip else scaled,
        slots=_empty(rows, len(block_sizes)) if pool_first else tf.stack(products.slots, axis=-1),
        slot_mask=tf.broadcast_to(mask[..., None, :, None], tf.concat([rows, length, [1]], axis=0)),
    )


def no_slots(found: Interactions) -> tf.Tensor:
    """`[..., K, 0, num_blocks]`, for models that read none; the dot products are not put together.

    A slice of `found.slots` would have them computed, and thrown away.
    """
    return _empty(tf.shape(found.features)[:-1], found.slots.shape[-1])


def _empty(rows: tf.Tensor, num_blocks: int) -> tf.Tensor:
    return tf.zeros(tf.concat([rows, [0, num_blocks]], axis=0))


def _standardised(
    items: ItemTensors,
    columns: list[tf.Tensor],
    of_clock: list[tf.Tensor],
    *,
    num_blocks: int,
    config: FeatureConfig,
    clock: tf.Tensor | None,
) -> tf.Tensor:
    """Joins `columns` with those `of_clock`; a silent clock says the mean, which is 0.

    The context is no number with moments: nobody but its device knows it.
    """
    added = config.clock_features(num_blocks=num_blocks) if config.clock_width else 0
    own = width = int(items.feature_mean.shape[0]) - added
    scale = items.feature_scale
    if config.clock and clock is not None:
        width += added - config.context_width
        silenced = tf.constant((np.arange(width) >= own).astype(np.float32))
        scale = scale[:width] * (1.0 - silenced * (1.0 - is_known(clock)))
    raw = tf.concat([*columns, *of_clock], axis=-1)
    parts = [(raw - items.feature_mean[:width]) * scale[..., :width]]
    rows = tf.shape(raw)[:-1]
    if clock is None and added:
        parts.append(tf.zeros(tf.concat([rows, [added]], axis=0)))
    elif config.context:
        given = tf.expand_dims(context_inputs(clock, config=config), -2)
        parts.append(tf.broadcast_to(given, tf.concat([rows, [given.shape[-1]]], axis=0)))
    return tf.concat(parts, axis=-1) if len(parts) > 1 else parts[0]


def _pooling(config: FeatureConfig) -> npt.NDArray[np.float32]:
    """`[per_block, L] float32`: the weights of the slots in each feature of a block."""
    ages = np.arange(config.history_length - 1, -1, -1)
    rows = [decay**ages for decay in config.decays]
    rows += [(ages == age).astype(np.float64) for age in range(config.last_items)]
    return np.stack(rows).astype(np.float32)


def _mean_attributes(
    items: ItemTensors, config: FeatureConfig, history: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    ages = np.arange(config.history_length - 1, -1, -1)
    weights = tf.constant((_ATTRIBUTE_DECAY**ages).astype(np.float32)) * mask
    total = tf.maximum(fixed_order.sum_last(weights, keepdims=True), 1e-6)
    weighted = tf.gather(items.attributes, history) * tf.expand_dims(weights, -1)
    return fixed_order.sum_last(weighted, axis=-2) / total


def bounded(values: tf.Tensor) -> tf.Tensor:
    """Clips standardised values: dot products have heavy tails, which would rule a batch."""
    return tf.clip_by_value(values, -_BOUND, _BOUND)
