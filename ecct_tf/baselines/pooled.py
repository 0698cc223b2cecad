"""Training on the samples of all devices in one place, and scoring with one model for all."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.config.baselines import CentralizedConfig
from ecct_tf.data import Candidates, Split
from ecct_tf.data.clock import request_readings
from ecct_tf.edge import (
    EdgeInputs,
    EdgeModel,
    ItemTensors,
    cloud_knowledge,
    input_logit,
    pad_history,
    pair_inputs,
    with_item_vectors,
)
from ecct_tf.edge.loss_registry import build_loss
from ecct_tf.edge.training import pooled_step
from ecct_tf.federated.algorithm import mean_loss
from ecct_tf.federated.devices import DeviceData

__all__ = ["PooledBatch", "PooledSamples", "PooledScorer", "PooledTrainer", "pool_samples"]

Array = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 256


class PooledBatch(NamedTuple):
    """B samples.

    Attributes:
      features: `[B, F] float32`.
      slots: `[B, L, blocks] float32`; `[B, 0, blocks]` for tiers that do not read them.
      slot_counts: `[B] int32`, history slots in use.
      profile: `[B, columns] int32`.
      user_embeddings: `[B, d_c] float32`.
      candidates: `[B] int32`.
      labels: `[B] float32`.
      histories: `[B, L] int32`; `[B, 0]` for tiers that do not read item vectors.
    """

    features: Array
    slots: Array
    slot_counts: npt.NDArray[np.int32]
    profile: npt.NDArray[np.int32]
    user_embeddings: Array
    candidates: npt.NDArray[np.int32]
    labels: Array
    histories: npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, eq=False)
class PooledSamples:
    """S samples of all devices.

    Attributes:
      features: `[S, F] float16`.
      slots: `[S, L, blocks] float16`; `[S, 0, blocks]` for tiers that do not read them.
      slot_counts: `[S] uint8`, history slots in use.
      profile: `[S, columns] int32`.
      users: `[S] int32`.
      candidates: `[S] int32`.
      labels: `[S] uint8`.
      histories: `[S, L] int32`; `[S, 0]` for tiers that do not read item vectors.
    """

    features: npt.NDArray[np.float16]
    slots: npt.NDArray[np.float16]
    slot_counts: npt.NDArray[np.uint8]
    profile: npt.NDArray[np.int32]
    users: npt.NDArray[np.int32]
    candidates: npt.NDArray[np.int32]
    labels: npt.NDArray[np.uint8]
    histories: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: npt.NDArray[np.int64], user_embeddings: Array) -> PooledBatch:
        """The samples `rows`, with the cloud's user embeddings `[users, d_c]` beside them."""
        return PooledBatch(
            features=self.features[rows].astype(np.float32),
            slots=self.slots[rows].astype(np.float32),
            slot_counts=self.slot_counts[rows].astype(np.int32),
            profile=self.profile[rows],
            user_embeddings=user_embeddings[self.users[rows]],
            candidates=self.candidates[rows],
            labels=self.labels[rows].astype(np.float32),
            histories=self.histories[rows],
        )


def pool_samples(devices: Sequence[DeviceData]) -> PooledSamples:
    """Puts the samples of devices one after the other."""

    def joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        return np.concatenate(parts)

    return PooledSamples(
        features=joined([device.features for device in devices]),
        slots=joined([device.slots for device in devices]),
        slot_counts=joined([device.slot_counts for device in devices]),
        profile=joined([device.profile[device.owner] for device in devices]),
        users=joined([device.users[device.owner] for device in devices]),
        candidates=joined([device.candidates for device in devices]),
        labels=joined([device.labels for device in devices]),
        histories=joined([device.histories for device in devices]),
    )


class PooledTrainer:
    """Trains one edge model on the samples of all devices, with Adam."""

    def __init__(
        self,
        config: CentralizedConfig,
        model: EdgeModel,
        samples: PooledSamples,
        items: ItemTensors,
        user_embeddings: Array,
    ) -> None:
        """Prepares training.

        Args:
          config: how to train.
          model: the edge architecture.
          samples: of all devices.
          items: the item table that their features come from.
          user_embeddings: `[users, d_c] float32`, the cloud's.
        """
        self.model = model
        self.samples = samples
        self._config = config
        self._items = ItemTensors(*(tf.constant(array) for array in items))
        self._user_embeddings = user_embeddings
        loss = build_loss(config.loss, setting="centralized.loss")
        self._group = 1 + config.negatives if loss.by_position else 1
        self._update = pooled_step(
            model,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            loss=loss,
            group_size=self._group,
        )
        self._step = tf.function(self._train_batch, reduce_retracing=True, autograph=False)

    def epoch(
        self, weights: Array, slots: Array, *, steps: int, rng: np.random.Generator
    ) -> tuple[Array, Array, int, float]:
        """One pass over the samples, or over whole positions if the loss reads those.

        Args:
          weights: `[P] float32`.
          slots: `[2, P] float32`.
          steps: batches done before.
          rng: draws their order.

        Returns:
          Weights, slots and steps afterwards, and the mean loss.
        """
        first = rng.permutation(len(self.samples) // self._group) * self._group
        order = (first[:, None] + np.arange(self._group)).ravel()
        size = max(self._config.batch_size // self._group, 1) * self._group
        state = (tf.constant(weights), tf.constant(slots))
        total = 0.0
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            steps += 1
            batch = self.samples.batch(rows, self._user_embeddings)
            *state, loss = self._step(*state, tf.constant(steps, tf.float32), batch)
            total += float(loss) * len(rows)
        return state[0].numpy(), state[1].numpy(), steps, mean_loss(total, len(order))

    def _train_batch(
        self, weights: tf.Tensor, slots: tf.Tensor, step: tf.Tensor, batch: PooledBatch
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        embedding, logit = cloud_knowledge(self._items, batch.user_embeddings, batch.candidates)
        length = batch.slots.shape[1]
        in_use = tf.range(length) >= length - batch.slot_counts[:, None]
        inputs = EdgeInputs(
            interactions=batch.features,
            slots=batch.slots,
            slot_mask=tf.cast(in_use, tf.float32)[..., None],
            profile=batch.profile,
            cloud_embedding=embedding,
            cloud_logit=input_logit(self._items, logit, use_logit=True),
        )
        if self.model.reads_items:
            inputs = with_item_vectors(
                inputs, self._items, history=batch.histories, candidates=batch.candidates
            )
        return self._update(weights, slots, step, inputs, batch.labels)


class PooledScorer:
    """Scores every user's candidates with one model, by either of two item tables."""

    def __init__(
        self,
        model: EdgeModel,
        tables: Sequence[ItemTensors],
        *,
        block_sizes: tuple[int, ...],
        features: FeatureConfig,
        user_embeddings: Array,
        profiles: Mapping[int, npt.NDArray[np.int32]],
        split: Split,
    ) -> None:
        """Prepares scoring.

        Args:
          model: the edge architecture.
          tables: the readings, by number.
          block_sizes: widths of the tables' blocks.
          features: how histories are pooled.
          user_embeddings: `[users, d_c] float32`, the cloud's.
          profiles: private columns `[columns] int32` by user.
          split: for the histories before tested interactions.
        """
        self._model = model
        self._tables = [ItemTensors(*(tf.constant(array) for array in one)) for one in tables]
        self._block_sizes = block_sizes
        self._features = features
        self._user_embeddings = user_embeddings
        self._profiles = profiles
        self._split = split
        self._logits = tf.function(self._logits_of, reduce_retracing=True, autograph=False)

    @property
    def num_readings(self) -> int:
        """How many item tables there are to score with."""
        return len(self._tables)

    def scores(self, weights: Array, reading: int, candidates: Candidates) -> Array:
        """Logits `[rows, 1 + negatives] float32`.

        Args:
          weights: `[P] float32`.
          reading: number of the item table.
          candidates: what to score.
        """
        result = np.zeros(candidates.items.shape, np.float32)
        for start in range(0, len(result), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            users, positions = candidates.users[rows], candidates.positions[rows]
            histories = [
                pad_history(
                    self._split.before(int(user), int(position)), self._features.history_length
                )
                for user, position in zip(users, positions, strict=True)
            ]
            result[rows] = self._logits(
                self._tables[reading],
                tf.constant(weights),
                np.stack(histories),
                candidates.items[rows],
                np.stack([self._profiles[int(user)] for user in users]),
                self._user_embeddings[users],
                request_readings(self._split, users, positions, config=self._features),
            ).numpy()
        return result

    def _logits_of(
        self,
        items: ItemTensors,
        weights: tf.Tensor,
        histories: tf.Tensor,
        candidates: tf.Tensor,
        profile: tf.Tensor,
        user_embeddings: tf.Tensor,
        clock: tf.Tensor,
    ) -> tf.Tensor:
        inputs = pair_inputs(
            items,
            block_sizes=self._block_sizes,
            config=self._features,
            history=histories,
            candidates=candidates,
            profile=profile,
            user_embeddings=user_embeddings,
            use_logit=True,
            clock=clock,
            reads_items=self._model.reads_items,
        )
        return self._model.forward(weights, inputs).logit
