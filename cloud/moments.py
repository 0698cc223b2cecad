"""Mean and scale of what devices compute from an item table, measured on the cloud's own view."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.chunks import in_chunks
from ecct_tf.config import FeatureConfig, SampleConfig
from ecct_tf.data import CloudView, sample_negatives
from ecct_tf.data.clock import clock_reading
from ecct_tf.edge.features import interaction_features, pad_history
from ecct_tf.edge.item_tensors import read_rows
from ecct_tf.knowledge import ItemTable

__all__ = ["OwnPositions", "own_positions", "with_moments"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_NEGATIVES = SampleConfig().negatives
_INVENTED = 1024
_MEASURED = 1 << 15


class OwnPositions(NamedTuple):
    """Positions of the cloud's own view, which stand for what devices will meet.

    Attributes:
      users: `[n] int32`.
      histories: `[n, L] int32`, what came before.
      candidates: `[n, 1 + negatives] int32`, the positive first, with as many negatives as a
        device usually draws.
      clocks: `[n, W] float32`, readings of the clock at their own times.
    """

    users: Ids
    histories: Ids
    candidates: Ids
    clocks: Array


def own_positions(view: CloudView, *, features: FeatureConfig, seed: int) -> OwnPositions:
    """The newest position of each user that has two older interactions or more.

    Of very many users those of a sample, by which mean and scale are as well known.
    Where devices hold all interactions, items in any order stand for histories.

    Args:
      view: the cloud's side of the data.
      features: how devices pool histories and read the clock.
      seed: of the negatives.
    """
    rng = np.random.default_rng([seed, 4])
    users, histories, candidates, clocks = [], [], [], []
    for user in _measured(view, seed=seed).tolist():
        older = view.older.of(user)
        # Rows of one: each is a sample of its own, since means are measured with them.
        negatives = sample_negatives(
            rng, positives=older, num_items=view.num_items, size=1, rows=_NEGATIVES
        ).ravel()
        users.append(user)
        histories.append(pad_history(older[:-1], features.history_length))
        times = view.older.times_of(user)
        clocks.append(clock_reading(times[:-1], now=int(times[-1]), config=features))
        candidates.append(np.concatenate([older[-1:], negatives]))
    if not users and not len(view.older.items):
        return _invented(view, features=features, rng=rng)
    return OwnPositions(
        np.array(users, np.int32),
        np.stack(histories),
        np.stack(candidates).astype(np.int32),
        np.stack(clocks),
    )


def _measured(view: CloudView, *, seed: int) -> Ids:
    """Users whose newest positions are measured, ascending: all, or so many, drawn at random."""
    users = np.flatnonzero(np.diff(view.older.offsets) >= 2)
    if len(users) > _MEASURED:
        rng = np.random.default_rng([seed, 4, _MEASURED])
        users = np.sort(rng.choice(users, _MEASURED, replace=False))
    return users.astype(np.int32)


def _invented(
    view: CloudView, *, features: FeatureConfig, rng: np.random.Generator
) -> OwnPositions:
    """Positions for a view without interactions: any items, at no time."""
    size = min(view.num_users, _INVENTED)
    length = features.history_length
    silent = clock_reading(np.zeros(0, np.int64), now=0, config=features)
    return OwnPositions(
        rng.permutation(view.num_users)[:size].astype(np.int32),
        rng.integers(1, view.num_items + 1, (size, length), np.int32),
        rng.integers(1, view.num_items + 1, (size, 1 + _NEGATIVES), np.int32),
        np.tile(silent, (size, 1)),
    )


def with_moments(
    table: ItemTable,
    positions: OwnPositions,
    *,
    features: FeatureConfig,
    logits: Callable[[Ids, Ids], Array],
) -> ItemTable:
    """`table` with the moments of interaction features and cloud logits.

    Args:
      table: its own moments are 0 and 1.
      positions: where to measure.
      features: how devices pool histories.
      logits: `(users [n], items [n, c]) -> z_c [n, c]`, of the cloud's own view.
    """
    width = len(table.feature_mean)
    items, places = read_rows(table, positions.histories, positions.candidates)

    def computed(histories: Ids, candidates: Ids, clocks: Array) -> Array:
        found: Array = interaction_features(
            items,
            block_sizes=tuple(block.source.shape[1] for block in table.blocks),
            config=features,
            history=tf.constant(histories),
            candidates=tf.constant(candidates),
            clock=tf.constant(clocks),
            clip=False,
        ).features.numpy()
        return found

    flat = in_chunks(computed, *places, positions.clocks).reshape(-1, width)
    found = logits(positions.users, positions.candidates)
    return dataclasses.replace(
        table,
        feature_mean=flat.mean(axis=0),
        feature_scale=1.0 / np.maximum(flat.std(axis=0), 1e-3),
        logit_mean=float(found.mean()),
        logit_scale=float(1.0 / max(found.std(), 1e-3)),
    )
