"""Starting weights of edge models, trained by the cloud on its own view alone.

A device that never trained ranks with these, and rounds improve on them instead of rescuing
random ones. The cloud plays the devices' part with what it has: it hides the newest share of
each older history from an inner copy of itself, and trains the edge model on the hidden positions
with the inner copy's item table and logits. What it cannot know stays out of the weights:
private columns are drawn at random, so that none of their values means anything yet, and the
cloud embedding, whose coordinates differ from fit to fit, is silent. Inferred: the paper does not
say where its edge models start.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.recommender import CloudRecommender
from ecct_tf.config import FeatureConfig, SampleConfig, StartConfig, Tier
from ecct_tf.data import CloudView, OlderInteractions
from ecct_tf.data.clock import clock_readings
from ecct_tf.data.samples import draw_samples
from ecct_tf.edge import (
    EdgeInputs,
    EdgeModel,
    ItemTensors,
    cloud_knowledge,
    input_logit,
    interaction_features,
    item_tensors,
    with_item_vectors,
)
from ecct_tf.edge.training import PooledStep, pooled_step
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import CloudRows, ItemTable, look_up
from ecct_tf.knowledge.rows import Told

__all__ = ["inner_view", "starting_weights"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_USERS, _ORDER = 0x57A1, 0x57A3
_CHUNK = 2048

_log = logging.getLogger(__name__)


def inner_view(view: CloudView, fraction: float) -> CloudView:
    """The view of a cloud that knows the newest `fraction` of each older history not yet.

    A user keeps at least one interaction; one with a single interaction keeps it.
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


def starting_weights(
    view: CloudView,
    models: Sequence[EdgeModel],
    config: StartConfig,
    *,
    features: FeatureConfig,
    build: Callable[[CloudView], CloudRecommender],
    reads_logit: bool = True,
    seed: int,
) -> dict[Tier, Array]:
    """Trains the starting weights of edge models.

    Args:
      view: the cloud's side of the data.
      models: the edge architectures, built for the item tables that the cloud publishes.
      config: how to train.
      features: how devices pool histories.
      build: makes a cloud of the run's kind, fitted to a view.
      reads_logit: whether devices will have the cloud's logit as an input. Where they will not,
        the weights must not come to lean on it.
      seed: from which all randomness derives.

    Returns:
      `[P] float32` by tier.

    Raises:
      ConfigError: when no user has two older interactions, or when a model reads other
        interaction features than the cloud's item table yields.
    """
    inner = inner_view(view, config.inner_fraction)
    drawn = _draw(view, inner, config, features=features, seed=seed)
    cloud = build(inner)
    table = cloud.publish()
    items = ItemTensors(*(tf.constant(array) for array in item_tensors(table)))
    width = len(table.feature_mean)
    found = {}
    for model in models:
        if model.spec.interaction_dim != width:
            raise ConfigError(
                f"edge model {model.tier!r}: expected one that reads {width} interaction features, "
                f"as the cloud's item table yields them, got one that reads "
                f"{model.spec.interaction_dim}"
            )
        samples = _samples(
            drawn,
            table,
            items,
            cloud,
            features=features,
            with_slots=model.reads_slots,
            with_items=model.reads_items,
            reads_logit=reads_logit,
        )
        found[model.tier] = _train(model, samples, items, config, seed=seed)
    return found


class _Drawn(NamedTuple):
    """Positions that the inner cloud has not seen.

    `[p]`, `[p, L]`, `[p, c]`, the item first, and readings of the clock `[p, W]`.
    """

    users: Ids
    histories: Ids
    candidates: Ids
    clocks: Array


class _Samples(NamedTuple):
    """S pairs: `[S, F]` and `[S, L or 0, blocks] float16`, `[S] int16`, `[S] float32` twice.

    And what item vectors come from, `[S, L] int32` and `[S] int32`.
    """

    features: npt.NDArray[np.float16]
    slots: npt.NDArray[np.float16]
    slot_counts: npt.NDArray[np.int16]
    cloud_logit: Array
    labels: Array
    histories: Ids
    candidates: Ids


def _draw(
    view: CloudView, inner: CloudView, config: StartConfig, *, features: FeatureConfig, seed: int
) -> _Drawn:
    known = np.diff(inner.older.offsets)
    samples = SampleConfig(negatives=config.negatives, max_positions=config.max_positions)
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
    table: ItemTable,
    items: ItemTensors,
    cloud: CloudRecommender,
    *,
    features: FeatureConfig,
    with_slots: bool,
    with_items: bool,
    reads_logit: bool,
) -> _Samples:
    """What an edge model reads of each position's candidates, computed in chunks."""
    sizes = tuple(block.source.shape[1] for block in table.blocks)

    @tf.function(reduce_retracing=True, autograph=False)
    def compute(histories: tf.Tensor, candidates: tf.Tensor, known: Any, clocks: tf.Tensor) -> Any:
        found = interaction_features(
            items,
            block_sizes=sizes,
            config=features,
            history=histories,
            candidates=candidates,
            clock=clocks,
        )
        if isinstance(known, CloudRows):
            told = look_up(known, candidates)
        else:
            repeated = tf.repeat(known[:, None], tf.shape(candidates)[1], axis=1)
            told = Told(*cloud_knowledge(items, repeated, candidates))
        slots = found.slots if with_slots else found.slots[..., :0, :]
        return (
            tf.cast(found.features, tf.float16),
            tf.cast(slots, tf.float16),
            input_logit(items, told.logit, use_logit=reads_logit, known=told.known),
        )

    parts = []
    for start in range(0, len(drawn.users), _CHUNK):
        rows = slice(start, start + _CHUNK)
        known = _known(cloud, drawn.users[rows], sends_rows=bool(table.row_dim))
        found = compute(
            drawn.histories[rows],
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
    histories = drawn.histories if with_items else drawn.histories[:, :0]
    return _Samples(
        computed,
        slots,
        np.repeat(used, width),
        logit,
        labels.ravel(),
        np.repeat(histories, width, axis=0),
        drawn.candidates.ravel(),
    )


def _known(cloud: CloudRecommender, users: Ids, *, sends_rows: bool) -> Any:
    """What devices of `users` `[n]` would know of the cloud: embeddings `[n, d_c]`, or rows."""
    if not sends_rows:
        return cloud.user_embeddings(users, knowledge=None, round_number=0)
    once, places = np.unique(users, return_inverse=True)
    rows = cloud.downlinks(once, round_number=0)
    return tf.nest.map_structure(lambda part: part[places], rows)


def _train(
    model: EdgeModel, samples: _Samples, items: ItemTensors, config: StartConfig, *, seed: int
) -> Array:
    epoch = _compiled_epoch(model, samples, items, config)
    initial = model.layout.initial(seed)
    state = _Descent(tf.constant(initial), tf.zeros([2, len(initial)]), tf.constant(0.0))
    for number in range(config.epochs):
        rng = np.random.default_rng([seed, _ORDER, number])
        order = rng.permutation(len(samples.labels)).astype(np.int32)
        profile = _random_profiles(model, len(order), batch_size=config.batch_size, rng=rng)
        state, total = epoch(state, order, profile)
        _log.info(
            "starting weights of tier %s: epoch %d on %d pairs, loss %.4f",
            model.tier, number + 1, len(order), float(total) / len(order),
        )  # fmt: skip
    # What no gradient has ever reached reads an input that was silent: it stays silent, until
    # a device that hears it learns what it is worth.
    slots, weights = state.slots.numpy(), state.weights.numpy()
    reached: Array = np.where(slots[1] == 0.0, np.float32(0.0), weights)
    return reached


class _Descent(NamedTuple):
    """Weights `[P]`, Adam's slots `[2, P]` and the steps taken, all `float32`."""

    weights: tf.Tensor
    slots: tf.Tensor
    steps: tf.Tensor


def _compiled_epoch(
    model: EdgeModel, samples: _Samples, items: ItemTensors, config: StartConfig
) -> Callable[[_Descent, Ids, Ids], tuple[_Descent, tf.Tensor]]:
    """`(state, order [S], profiles [S, columns]) -> (state, sum of the losses [])`.

    One graph for all steps of an epoch: a step is so small that calling it would cost as much.
    """
    step: PooledStep = pooled_step(
        model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    data = _Samples._make(tf.constant(part) for part in samples)
    size = len(samples.labels)

    def one(
        start: tf.Tensor, total: tf.Tensor, state: _Descent, order: tf.Tensor, profile: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, _Descent]:
        end = tf.minimum(start + config.batch_size, size)
        rows = order[start:end]
        batch = _Samples._make(tf.gather(part, rows) for part in data)
        inputs = _inputs(model, batch, profile[start:end])
        if model.reads_items:
            inputs = with_item_vectors(
                inputs, items, history=batch.histories, candidates=batch.candidates
            )
        steps = state.steps + 1.0
        weights, slots, loss = step(state.weights, state.slots, steps, inputs, batch.labels)
        total += loss * tf.cast(end - start, tf.float32)
        return end, total, _Descent(weights, slots, steps)

    @tf.function(autograph=False)
    def epoch(state: _Descent, order: tf.Tensor, profile: tf.Tensor) -> Any:
        _, total, after = tf.while_loop(
            lambda start, *_: start < size,
            lambda start, total, state: one(start, total, state, order, profile),
            (tf.constant(0), tf.constant(0.0), state),
        )
        return after, total

    def run(state: _Descent, order: Ids, profile: Ids) -> tuple[_Descent, tf.Tensor]:
        after, total = epoch(state, tf.constant(order), tf.constant(profile))
        return _Descent(*after), total

    return run


def _random_profiles(
    model: EdgeModel, size: int, *, batch_size: int, rng: np.random.Generator
) -> Ids:
    """`[S, columns]`: private columns, which the cloud does not know, drawn at random."""
    sizes = model.spec.profile_sizes
    drawn = np.empty((size, len(sizes)), np.int32)
    for start in range(0, size, batch_size):
        rows = drawn[start : start + batch_size]
        for column, values in enumerate(sizes):
            rows[:, column] = rng.integers(0, values, len(rows))
    return drawn


def _inputs(model: EdgeModel, samples: _Samples, profile: tf.Tensor) -> EdgeInputs:
    """The inputs of a batch, the cloud embedding zero."""
    rows, length = tf.shape(samples.slots)[0], samples.slots.shape[1]
    in_use = tf.range(length) >= length - tf.cast(samples.slot_counts, tf.int32)[:, None]
    return EdgeInputs(
        interactions=tf.cast(samples.features, tf.float32),
        slots=tf.cast(samples.slots, tf.float32),
        slot_mask=tf.cast(in_use, tf.float32)[..., None],
        profile=profile,
        cloud_embedding=tf.zeros([rows, model.spec.cloud_dim]),
        cloud_logit=samples.cloud_logit,
    )
