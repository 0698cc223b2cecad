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
from ecct_tf.edge.clock import clock_features, context_inputs, is_known
from ecct_tf.edge.item_tensors import ItemTensors

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
      slots: `[..., K, L, num_blocks] float32`, the dot products by slot.
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

    Returns:
      The features, `[..., K, F]`, and the dot products by slot.
    """
    mask = tf.cast(history > 0, tf.float32)
    sources = tf.gather(items.source, history) * tf.expand_dims(mask, -1)
    targets = tf.gather(items.target, candidates)
    slots = [
        fixed_order.matmul(target, source, transpose_b=True)
        for source, target in zip(
            _blocks(sources, block_sizes), _blocks(targets, block_sizes), strict=True
        )
    ]
    pooling = tf.constant(_pooling(config))
    pooled = [_last_axis_product(block, pooling) for block in slots]
    if items.attributes.shape[-1] != 0:
        attributes = tf.gather(items.attributes, candidates)
        mean = _mean_attributes(items, config, history, mask)
        pooled += [attributes, tf.abs(attributes - mean[..., None, :])]
    raw = tf.concat(pooled, axis=-1)
    if config.clock_width:
        scaled = _with_clock(items, raw, slots, config=config, clock=clock, mask=mask)
    else:
        scaled = (raw - items.feature_mean) * items.feature_scale
    slot_mask = tf.broadcast_to(
        mask[..., None, :, None], tf.concat([tf.shape(slots[0]), [1]], axis=0)
    )
    return Interactions(
        features=bounded(scaled) if clip else scaled,
        slots=tf.stack(slots, axis=-1),
        slot_mask=slot_mask,
    )


def no_slots(found: Interactions) -> tf.Tensor:
    """`[..., K, 0, num_blocks]`, for models that read none; the dot products are not put together.

    A slice of `found.slots` would have them computed, and thrown away.
    """
    blocks = found.slots.shape[-1]
    lead = tf.shape(found.features)[:-1]
    return tf.zeros(tf.concat([lead, [0, blocks]], axis=0), found.slots.dtype)


def _with_clock(
    items: ItemTensors,
    raw: tf.Tensor,
    slots: list[tf.Tensor],
    *,
    config: FeatureConfig,
    clock: tf.Tensor | None,
    mask: tf.Tensor,
) -> tf.Tensor:
    """Standardises `raw` and adds what a reading says; a silent one says the mean, which is 0.

    The context is no number with moments: nobody but its device knows it.
    """
    added = config.clock_features(num_blocks=len(slots))
    scaled = (raw - items.feature_mean[:-added]) * items.feature_scale[:-added]
    if clock is None:
        rows = tf.concat([tf.shape(scaled)[:-1], [added]], axis=0)
        return tf.concat([scaled, tf.zeros(rows)], axis=-1)
    parts = [scaled]
    if config.clock:
        own = slice(-added, -config.context_width or None)
        found = clock_features(slots, config=config, clock=clock, mask=mask)
        found = (found - items.feature_mean[own]) * items.feature_scale[own]
        parts.append(found * is_known(clock))
    if config.context:
        given = tf.expand_dims(context_inputs(clock, config=config), -2)
        rows = tf.concat([tf.shape(scaled)[:-1], [given.shape[-1]]], axis=0)
        parts.append(tf.broadcast_to(given, rows))
    return tf.concat(parts, axis=-1)


def _blocks(rows: tf.Tensor, sizes: tuple[int, ...]) -> list[tf.Tensor]:
    """Cuts `[..., D]` into blocks; one that is all is not copied."""
    if len(sizes) == 1:
        return [rows]
    ends = np.cumsum(sizes)
    return [rows[..., end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _pooling(config: FeatureConfig) -> npt.NDArray[np.float32]:
    """`[L, per_block] float32`: the matrix from a slot's dot products to features."""
    ages = np.arange(config.history_length - 1, -1, -1)
    columns = [decay**ages for decay in config.decays]
    columns += [(ages == age).astype(np.float64) for age in range(config.last_items)]
    return np.stack(columns, axis=1).astype(np.float32)


def _last_axis_product(tensor: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """`[..., n] x [n, m]` as one flat matrix product, whatever the leading axes."""
    flat = fixed_order.matmul(tf.reshape(tensor, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(flat, tf.concat([tf.shape(tensor)[:-1], [matrix.shape[1]]], axis=0))


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
