"""Starting weights of edge models, trained by the cloud on its own view alone.

A device that never trained ranks with these, and rounds improve on them instead of rescuing
random ones. The cloud plays the devices' part with what it has: it hides the newest share of
each older history from an inner copy of itself, and trains the edge model on the hidden positions
with the inner copy's item table and logits. What it cannot know stays out of the weights:
private columns are drawn at random, so that none of their values means anything yet, and the
cloud embedding, whose coordinates differ from fit to fit, is silent. Inferred: the paper does not
say where its edge models start.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.passes import passes
from cloud.recommender import CloudRecommender
from cloud.start_samples import Samples, StartSamples
from ecct_tf.config import FeatureConfig, StartConfig, Tier
from ecct_tf.data import CloudView
from ecct_tf.data.numbers import LARGEST_VALUE, STEPS
from ecct_tf.edge import EdgeInputs, EdgeModel, ItemTensors, with_item_vectors
from ecct_tf.edge.loss_registry import build_loss
from ecct_tf.edge.losses import EdgeLoss
from ecct_tf.edge.training import PooledStep, pooled_step
from ecct_tf.errors import ConfigError

__all__ = ["starting_weights"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_ORDER = 0x57A3
# The cloud does not know how many values users have: of a made-up one each has so many.
_HELD = 0.25

_log = logging.getLogger(__name__)


def starting_weights(
    view: CloudView,
    models: Sequence[EdgeModel],
    config: StartConfig,
    *,
    features: FeatureConfig,
    build: Callable[[CloudView], CloudRecommender],
    reads_logit: bool = True,
    seed: int,
    samples: StartSamples | None = None,
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
      samples: made of the same view, settings, clouds and seed; None makes them.

    Returns:
      `[P] float32` by tier.

    Raises:
      ConfigError: when no user has two older interactions, or when a model reads other
        interaction features than the cloud's item table yields.
    """
    known = samples or StartSamples(view, config, features=features, build=build, seed=seed)
    width = len(known.table.feature_mean)
    found = {}
    for model in models:
        if model.spec.interaction_dim != width:
            raise ConfigError(
                f"edge model {model.tier!r}: expected one that reads {width} interaction features, "
                f"as the cloud's item table yields them, got one that reads "
                f"{model.spec.interaction_dim}"
            )
        read = known.of(model, reads_logit=reads_logit)
        found[model.tier] = _train(model, read, known.items, config, seed=seed)
    return found


def _train(
    model: EdgeModel, samples: Samples, items: ItemTensors, config: StartConfig, *, seed: int
) -> Array:
    loss = build_loss(config.loss, setting=f"{config.section}.loss")
    group = 1 + config.negatives if loss.by_position else 1
    batch = max(config.batch_size // group, 1) * group
    epoch = _compiled_epoch(model, samples, items, config, loss=loss, group=group, batch=batch)
    initial = model.layout.initial(seed)
    state = _Descent(tf.constant(initial), tf.zeros([2, len(initial)]), tf.constant(0.0))
    steps = -(-len(samples.labels) // batch)
    for number in range(passes(config.epochs, steps=steps, min_steps=config.min_steps)):
        rng = np.random.default_rng([seed, _ORDER, number])
        first = rng.permutation(len(samples.labels) // group).astype(np.int32) * group
        order = (first[:, None] + np.arange(group, dtype=np.int32)).ravel()
        profile = _random_profiles(model, len(order), batch_size=batch, rng=rng)
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
    model: EdgeModel,
    samples: Samples,
    items: ItemTensors,
    config: StartConfig,
    *,
    loss: EdgeLoss,
    group: int,
    batch: int,
) -> Callable[[_Descent, Ids, Ids], tuple[_Descent, tf.Tensor]]:
    """`(state, order [S], profiles [S, columns]) -> (state, sum of the losses [])`.

    One graph for all steps of an epoch: a step is so small that calling it would cost as much.
    """
    step: PooledStep = pooled_step(
        model,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        loss=loss,
        group_size=group,
    )
    data = Samples._make(tf.constant(part) for part in samples)
    size = len(samples.labels)

    def one(
        start: tf.Tensor, total: tf.Tensor, state: _Descent, order: tf.Tensor, profile: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, _Descent]:
        end = tf.minimum(start + batch, size)
        rows = order[start:end]
        part = Samples._make(tf.gather(values, rows) for values in data)
        inputs = _inputs(model, part, profile[start:end])
        if model.reads_items:
            inputs = with_item_vectors(
                inputs, items, history=part.histories, candidates=part.candidates
            )
        steps = state.steps + 1.0
        weights, slots, loss = step(state.weights, state.slots, steps, inputs, part.labels)
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
    sizes, numbers, sets = model.profile.sizes, model.profile.numbers, sum(model.profile.sets)
    drawn = np.empty((size, len(sizes) + numbers + sets), np.int32)
    for start in range(0, size, batch_size):
        rows = drawn[start : start + batch_size]
        for column, values in enumerate(sizes):
            rows[:, column] = rng.integers(0, values, len(rows))
        for column in range(len(sizes), len(sizes) + numbers):
            rows[:, column] = _random_codes(len(rows), rng)
        if sets:
            rows[:, len(sizes) + numbers :] = rng.random((len(rows), sets)) < _HELD
    return drawn


def _random_codes(count: int, rng: np.random.Generator) -> Ids:
    """`[count]`: scaled numbers as a public rule leaves them, and a quarter that are unknown."""
    values = np.clip(rng.standard_normal(count), -LARGEST_VALUE, LARGEST_VALUE)
    codes = 1 + np.floor((values + LARGEST_VALUE) * STEPS + 0.5)
    found: Ids = np.where(rng.random(count) < 0.25, 0, codes).astype(np.int32)
    return found


def _inputs(model: EdgeModel, samples: Samples, profile: tf.Tensor) -> EdgeInputs:
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
