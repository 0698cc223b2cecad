"""What starting weights are trained on: positions that an inner copy of the cloud has not seen."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.recommender import CloudRecommender
from ecct_tf.config import FeatureConfig, SampleConfig, StartConfig
from ecct_tf.data import CloudView, OlderInteractions
from ecct_tf.data.clock import clock_readings
from ecct_tf.data.samples import draw_samples
from ecct_tf.edge import (
    EdgeModel,
    ItemTensors,
    cloud_knowledge,
    input_logit,
    interaction_features,
    no_slots,
    read_rows,
)
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import CloudRows, ItemTable, look_up
from ecct_tf.knowledge.device_sums import with_noise
from ecct_tf.knowledge.recent_popularity import PopularitySpec, newest_counts
from ecct_tf.knowledge.rows import Told

__all__ = ["Samples", "StartSamples", "hidden_popularity", "inner_view"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_USERS = 0x57A1
_CHUNK = 2048


def inner_view(view: CloudView, fraction: float) -> CloudView:
    """The view of a cloud that knows the newest `fraction` of each older history not yet.

    A user keeps at least one interaction; one with a single interaction keeps it. How many stay of
    one history, `StartConfig.left_of` says too, which reads no data.
    """
    sizes = np.diff(view.older.offsets)
    hidden = np.minimum(np.ceil(fraction * sizes).astype(np.int64), np.maximum(sizes - 1, 0))
    kept = sizes - hidden
    place = np.arange(len(view.older.items)) - np.repeat(view.older.offsets[:-1], sizes)
    chosen = place < np.repeat(kept, sizes)
    return dataclasses.replace(
        view,
        older=OlderInteractions(
            items=view.older.items[chosen],
            offsets=np.concatenate([[0], np.cumsum(kept)]),
            timestamps=view.older.timestamps[chosen],
        ),
    )


def hidden_popularity(
    view: CloudView, inner: CloudView, *, spec: PopularitySpec, seed: tuple[int, int]
) -> Array:
    """`[items + 1] float32`: recent popularity among the interactions that `inner` does not know.

    With as much noise as the devices' sum has: weights that learned from a sum without it would
    trust that of devices too much.

    Args:
      view: the cloud's side of the data.
      inner: the same users with their older interactions, as of `inner_view`.
      spec: of the devices' sum.
      seed: of the noise, not that of the devices' sum.
    """
    older = view.older
    hidden = np.diff(older.offsets) - np.diff(inner.older.offsets)
    counts = newest_counts(
        older.items,
        older.offsets,
        newest=np.minimum(hidden, spec.positions),
        num_items=view.num_items,
    )
    noised = with_noise(spec, tf.constant(counts), tf.constant(seed, tf.int64))
    return spec.attribute(noised.numpy(), inner.item_counts)


class _Drawn(NamedTuple):
    """Positions that the inner cloud has not seen.

    `[p]`, `[p, L]`, `[p, c]`, the item first, and readings of the clock `[p, W]`.
    """

    users: Ids
    histories: Ids
    candidates: Ids
    clocks: Array


class Samples(NamedTuple):
    """S pairs: `[S, F]` and `[S, L or 0, blocks] float16`, `[S] int16`, `[S] float32` twice.

    And what item vectors come from, rows of `StartSamples.items`, `[S, L] int32` and `[S] int32`.
    """

    features: npt.NDArray[np.float16]
    slots: npt.NDArray[np.float16]
    slot_counts: npt.NDArray[np.int16]
    cloud_logit: Array
    labels: Array
    histories: Ids
    candidates: Ids


class StartSamples:
    """The hidden positions of a view, and what edge models read of them.

    Attributes:
      table: the item table of the inner cloud.
      items: as tensors, the rows of it that the positions read.
    """

    def __init__(
        self,
        view: CloudView,
        config: StartConfig,
        *,
        features: FeatureConfig,
        build: Callable[[CloudView], CloudRecommender],
        seed: int,
    ) -> None:
        """Draws the positions and builds the inner cloud.

        Args:
          view: the cloud's side of the data.
          config: how many positions to draw.
          features: how devices pool histories.
          build: makes a cloud of the run's kind, fitted to a view.
          seed: from which all randomness derives.

        Raises:
          ConfigError: when no user has two older interactions.
        """
        inner = inner_view(view, config.inner_fraction)
        self._features = features
        self._drawn = _draw(view, inner, config, features=features, seed=seed)
        try:
            self._cloud = build(inner)
        except ConfigError as error:
            raise ConfigError(
                "the cloud cannot train starting weights, for which it hides the newest "
                f"{config.inner_fraction:g} of each user's older interactions "
                f"({config.section}.inner_fraction) and fits a cloud to the others: {error}"
            ) from error
        self.table = self._cloud.publish()
        drawn = self._drawn
        self.items, self._places = read_rows(self.table, drawn.histories, drawn.candidates)
        # The newest alone: those of all tiers would take several times the memory.
        self._kept: tuple[tuple[bool, bool], Samples] | None = None

    def of(self, model: EdgeModel, *, reads_logit: bool) -> Samples:
        """What `model` reads.

        Args:
          model: the edge architecture.
          reads_logit: whether it reads the cloud's logit; where it does not, that is 0.
        """
        read = model.reads_slots, model.reads_items
        if self._kept is None or self._kept[0] != read:
            self._kept = None
            found = _samples(
                self._drawn,
                self._places,
                self.table,
                self.items,
                self._cloud,
                features=self._features,
                with_slots=model.reads_slots,
                with_items=model.reads_items,
            )
            self._kept = read, found
        samples = self._kept[1]
        if reads_logit:
            return samples
        return samples._replace(cloud_logit=np.zeros_like(samples.cloud_logit))


def _draw(
    view: CloudView, inner: CloudView, config: StartConfig, *, features: FeatureConfig, seed: int
) -> _Drawn:
    known = np.diff(inner.older.offsets)
    samples = SampleConfig(config.negatives, config.max_positions, guard_positions=0)
    parts: list[_Drawn] = []
    left = config.max_samples
    for user in np.random.default_rng([seed, _USERS]).permutation(view.num_users).tolist():
        history = view.older.of(user)
        if len(history) == known[user] or left <= 0:
            continue
        drawn = draw_samples(
            history,
            num_older=int(known[user]),
            num_items=view.num_items,
            history_length=features.history_length,
            samples=samples,
            seed=seed,
            user=user,
        )
        left -= drawn.candidates.size
        users = np.full(len(drawn.candidates), user, np.int32)
        clocks = clock_readings(view.older.times_of(user), drawn.positions, config=features)
        parts.append(_Drawn(users, drawn.histories, drawn.candidates, clocks))
    if not parts:
        raise ConfigError(
            "the cloud cannot train starting weights: expected a user with two or more older "
            "interactions, found none; lower data.recent_fraction, or set edge.start=random"
        )
    return _Drawn(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _samples(
    drawn: _Drawn,
    places: tuple[Ids, ...],
    table: ItemTable,
    items: ItemTensors,
    cloud: CloudRecommender,
    *,
    features: FeatureConfig,
    with_slots: bool,
    with_items: bool,
) -> Samples:
    """What an edge model reads of each position's candidates, computed in chunks.

    Args:
      drawn: the positions.
      places: where `items` has their histories and their candidates.
      table: of which `items` are rows.
      items: what interaction features are computed from.
      cloud: the inner one.
      features: how devices pool histories.
      with_slots: whether the model reads dot products by slot.
      with_items: whether it reads item vectors.
    """
    histories, candidates = places
    own = None
    if table.counts_newest:
        own = tf.constant(np.arange(candidates.shape[1]) == 0, tf.float32)[None]
    sizes = tuple(block.source.shape[1] for block in table.blocks)

    @tf.function(reduce_retracing=True, autograph=False)
    def compute(
        histories: tf.Tensor, candidates: tf.Tensor, asked: tf.Tensor, known: Any, clocks: tf.Tensor
    ) -> Any:
        found = interaction_features(
            items,
            block_sizes=sizes,
            config=features,
            history=histories,
            candidates=candidates,
            clock=clocks,
            own=own,
        )
        if isinstance(known, CloudRows):
            told = look_up(known, asked)
        else:
            repeated = tf.repeat(known[:, None], tf.shape(candidates)[1], axis=1)
            told = Told(*cloud_knowledge(items, repeated, candidates))
        slots = found.slots if with_slots else no_slots(found)
        return (
            tf.cast(found.features, tf.float16),
            tf.cast(slots, tf.float16),
            input_logit(items, told.logit, use_logit=True, known=told.known),
        )

    parts = []
    for start in range(0, len(drawn.users), _CHUNK):
        rows = slice(start, start + _CHUNK)
        known = _known(cloud, drawn.users[rows], sends_rows=bool(table.row_dim))
        found = compute(
            histories[rows],
            candidates[rows],
            drawn.candidates[rows],
            tf.nest.map_structure(tf.constant, known),
            drawn.clocks[rows],
        )
        parts.append([part.numpy() for part in found])
    joined = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    pairs = drawn.candidates.size
    computed, slots, logit = (array.reshape(pairs, *array.shape[2:]) for array in joined)
    width = drawn.candidates.shape[1]
    labels = np.zeros(drawn.candidates.shape, np.float32)
    labels[:, 0] = 1.0
    used = (drawn.histories > 0).sum(axis=1).astype(np.int16)
    histories = histories if with_items else histories[:, :0]
    return Samples(
        computed,
        slots,
        np.repeat(used, width),
        logit,
        labels.ravel(),
        np.repeat(histories, width, axis=0),
        candidates.ravel(),
    )


def _known(cloud: CloudRecommender, users: Ids, *, sends_rows: bool) -> Any:
    """What devices of `users` `[n]` would know of the cloud: embeddings `[n, d_c]`, or rows."""
    if not sends_rows:
        return cloud.user_embeddings(users, knowledge=None, round_number=0)
    once, places = np.unique(users, return_inverse=True)
    rows = cloud.downlinks(once, round_number=0)
    return tf.nest.map_structure(lambda part: part[places], rows)
