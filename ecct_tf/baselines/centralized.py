"""The upper bound: the edge model trained and served with all data in one place.

Architecture, capacity and features are those of ECCT's edge: of the run's tier, or of the largest
where its devices have several. What differs is that nobody keeps anything back: the samples of all
devices are pooled, and the cloud's knowledge reaches each of them uncoded.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cloud import CloudRecommender
from cloud.shared_spaces import InputSpaces
from cloud.start import starting_weights
from ecct_tf.baselines.pooled import PooledScorer, PooledTrainer, pool_samples
from ecct_tf.baselines.state_arrays import check_arrays
from ecct_tf.config import RunConfig, SampleConfig
from ecct_tf.config.baselines import CentralizedConfig
from ecct_tf.data import Candidates, CloudView, Dataset, DeviceView, Split, cloud_view
from ecct_tf.data.profile import device_profile, profile_shape
from ecct_tf.edge import (
    EdgeModel,
    EdgeSpec,
    ItemTensors,
    build_edge_model,
    item_tensors,
    largest_tier,
)
from ecct_tf.errors import ConfigError, DivergenceError
from ecct_tf.evaluation import evaluate_scores
from ecct_tf.federated.algorithm import Arrays, RoundReport
from ecct_tf.federated.device_set import prepare_devices

__all__ = ["Centralized", "CentralizedState", "build_centralized"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class CentralizedState(NamedTuple):
    """Weights, optimiser and the best epoch so far.

    Attributes:
      weights: `[P] float32`.
      slots: `[2, P] float32`, the moments of Adam.
      steps: `[] int64`, batches done.
      epochs: `[] int64`, epochs done, skipped ones not counted.
      best_weights: `[P] float32`, those that score.
      best_reading: `[] int64`, the item table they score with: 0 as trained with, 1 refitted.
      best_ndcg: `[] float64`, on validation.
      best_epoch: `[] int64`.
      loss: `[] float64`, of the newest epoch.
    """

    weights: Array
    slots: Array
    steps: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    best_weights: Array
    best_reading: npt.NDArray[np.int64]
    best_ndcg: npt.NDArray[np.float64]
    best_epoch: npt.NDArray[np.int64]
    loss: npt.NDArray[np.float64]


class Centralized:
    """An `Algorithm` whose round is an epoch over the pooled samples.

    After each epoch both readings of the item table are measured on validation, and the
    best weights so far are kept with the reading that suited them. Once `patience` epochs
    brought nothing better, the rest do nothing.
    """

    def __init__(
        self,
        config: CentralizedConfig,
        trainer: PooledTrainer,
        scorer: PooledScorer,
        *,
        validation: Candidates,
        k: int,
        seed: int,
        num_devices: int,
        start: Array | None = None,
    ) -> None:
        """Joins the parts; use `build_centralized`.

        Args:
          config: how to train.
          trainer: trains on the samples of all devices.
          scorer: scores by either reading of the item table.
          validation: what early stopping and the choice of the reading go by.
          k: list length of the NDCG.
          seed: of the run.
          num_devices: whose samples are pooled.
          start: `[P] float32`, what the cloud made for devices to start with; None for random.
        """
        self._config = config
        self._trainer = trainer
        self._scorer = scorer
        self._validation = validation
        self._k = k
        self._seed = seed
        self._num_devices = num_devices
        self._start = start

    @property
    def rounds(self) -> int:
        """Epochs at most."""
        return self._config.epochs

    @property
    def num_devices(self) -> int:
        """Devices whose samples are pooled."""
        return self._num_devices

    def initialize(self) -> CentralizedState:
        """What the devices of ECCT start with: the cloud's weights, or random ones."""
        own = self._start
        start = self._trainer.model.layout.initial(self._seed) if own is None else own
        return CentralizedState(
            weights=start,
            slots=np.stack([np.zeros_like(start), np.zeros_like(start)]),
            steps=np.array(0),
            epochs=np.array(0),
            best_weights=start,
            best_reading=np.array(0),
            best_ndcg=np.array(-1.0),
            best_epoch=np.array(0),
            loss=np.array(0.0),
        )

    def next(
        self,
        state: CentralizedState,
        *,
        round_number: int,
        participants: Ids,
        answering: Ids,
        delays: Ids | None = None,
    ) -> tuple[CentralizedState, RoundReport]:
        """One epoch; who takes part does not matter, nobody is asked."""
        del participants, answering, delays
        if int(state.epochs) - int(state.best_epoch) >= self._config.patience:
            return state, RoundReport(0, self._num_devices, math.nan)
        if self._start is not None and not int(state.epochs):
            # A start that no epoch improves on stays: a bound must not fall below it.
            state = self._validated(state)
        state = self._validated(self._epoch(state, round_number))
        return state, RoundReport(0, self._num_devices, float(state.loss))

    def scores(self, state: CentralizedState, candidates: Candidates) -> Mapping[str, Array]:
        """Logits of the best weights so far."""
        reading = int(state.best_reading)
        return {"everything": self._scorer.scores(state.best_weights, reading, candidates)}

    def to_arrays(self, state: CentralizedState) -> Arrays:
        """All fields."""
        return {name: np.asarray(value) for name, value in state._asdict().items()}

    def from_arrays(self, arrays: Arrays) -> CentralizedState:
        """The state that `to_arrays` was given.

        Raises:
          CheckpointError: when arrays are missing or of other shapes.
        """
        check_arrays(arrays, self.to_arrays(self.initialize()))
        return CentralizedState(**{name: arrays[name] for name in CentralizedState._fields})

    def _epoch(self, state: CentralizedState, round_number: int) -> CentralizedState:
        rng = np.random.default_rng([self._seed, 0xCE27, round_number])
        weights, slots, steps, loss = self._trainer.epoch(
            state.weights, state.slots, steps=int(state.steps), rng=rng
        )
        if not (np.isfinite(loss) and np.isfinite(weights).all()):
            raise DivergenceError(
                f"round {round_number + 1}: training of the centralized bound diverged: its loss "
                f"is {loss}, or weights are not finite. What decides: "
                f"centralized.learning_rate={self._config.learning_rate}, "
                f"centralized.weight_decay={self._config.weight_decay}. Lower the learning rate."
            )
        return state._replace(
            weights=weights,
            slots=slots,
            steps=np.array(steps),
            epochs=state.epochs + 1,
            loss=np.array(loss),
        )

    def _validated(self, state: CentralizedState) -> CentralizedState:
        for reading in range(self._scorer.num_readings):
            scores = self._scorer.scores(state.weights, reading, self._validation)
            ndcg = evaluate_scores(scores, k=self._k).ndcg
            if ndcg > float(state.best_ndcg):
                state = state._replace(
                    best_weights=state.weights,
                    best_reading=np.array(reading),
                    best_ndcg=np.array(ndcg),
                    best_epoch=state.epochs,
                )
        return state


def build_centralized(
    config: RunConfig,
    *,
    dataset: Dataset,
    split: Split,
    groups: Sequence[Sequence[DeviceView]],
    validation: Candidates,
    spaces: InputSpaces | None = None,
) -> Centralized:
    """Builds the upper bound.

    The item table comes from the older histories, as ECCT's cloud publishes it, so that
    training meets positions that it has not seen. For scoring there is a second reading:
    the item-to-item part refitted to the whole training histories.

    Args:
      config: of the run.
      dataset: all data.
      split: what of them is for training; the rest never enters.
      groups: the users of each device.
      validation: what early stopping and the choice of the reading go by.
      spaces: the cloud's input spaces that are computed already, and where new ones are kept.

    Raises:
      ConfigError: when there is no device.
    """
    if not groups:
        raise ConfigError("the centralized bound needs at least one device, got none")
    own = config.centralized
    known = InputSpaces() if spaces is None else spaces
    cloud = _cloud(config, dataset, split, known)
    table = cloud.publish()
    if table.row_dim:
        raise ConfigError(
            f"method centralized: expected a cloud whose score is a product, got cloud.model="
            f"{config.cloud.model}, a ranker, of which devices know the items alone that it chose; "
            "choose another method, or cloud.model=ecct"
        )
    everything_older = dataclasses.replace(split, recent_counts=np.zeros_like(split.recent_counts))
    refitted = _cloud(config, dataset, everything_older, known).publish()
    # The refitted cloud model's coordinates mean nothing to weights trained with the other's.
    second = dataclasses.replace(table, blocks=refitted.blocks, attributes=refitted.attributes)
    items = [ItemTensors(*map(np.asarray, item_tensors(found))) for found in (table, second)]
    block_sizes = tuple(block.source.shape[1] for block in table.blocks)
    profile = profile_shape(groups[0][0].profile.columns)
    model = build_edge_model(
        largest_tier(config.edge),
        EdgeSpec(
            interaction_dim=len(table.feature_mean),
            history_length=config.features.history_length,
            num_blocks=len(table.blocks),
            profile_sizes=profile.sizes,
            cloud_dim=table.cloud.shape[1],
            embedding_dim=config.edge.embedding_dim,
            hidden_dim=config.edge.hidden_dim,
            profile_dim=config.edge.profile_dim,
            heads=config.edge.heads,
            item_dim=sum(block_sizes),
            profile_numbers=profile.numbers,
            profile_sets=profile.sets,
        ),
    )
    devices = prepare_devices(
        groups,
        items=items[0],
        block_sizes=block_sizes,
        features=config.features,
        samples=SampleConfig(own.negatives, own.max_positions, guard_positions=0),
        with_slots=model.reads_slots,
        with_items=model.reads_items,
        profile=model.profile,
        seed=config.seed,
    ).devices
    users = np.arange(dataset.num_users, dtype=np.int32)
    embeddings = cloud.user_embeddings(users, knowledge=None, round_number=0)
    return Centralized(
        own,
        PooledTrainer(own, model, pool_samples(devices), items[0], embeddings),
        PooledScorer(
            model,
            tuple(items),
            block_sizes=block_sizes,
            features=config.features,
            user_embeddings=embeddings,
            profiles={view.user: device_profile(view) for group in groups for view in group},
            split=split,
        ),
        validation=validation,
        k=config.evaluation.k,
        seed=config.seed,
        num_devices=len(groups),
        start=_start(config, cloud_view(dataset, split), model, known),
    )


def _start(
    config: RunConfig, view: CloudView, model: EdgeModel, spaces: InputSpaces
) -> Array | None:
    if config.edge.start == "random":
        return None
    found = starting_weights(
        view,
        [model],
        config.start,
        features=config.features,
        build=lambda inner: _fitted(config, inner, spaces),
        seed=config.seed,
    )
    return found[model.tier]


def _cloud(
    config: RunConfig, dataset: Dataset, split: Split, spaces: InputSpaces
) -> CloudRecommender:
    return _fitted(config, cloud_view(dataset, split), spaces)


def _fitted(config: RunConfig, view: CloudView, spaces: InputSpaces) -> CloudRecommender:
    return spaces.fitted(
        view,
        config.cloud,
        features=config.features,
        edge_dim=config.edge.embedding_dim,
        num_queries=config.exchange.queries,
        seed=config.seed,
    )
