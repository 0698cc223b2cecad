"""Federated learning without a cloud: FedAvg, FedProx, fine-tuning and PFedRec."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.baselines.averaging import build_averaging_round, data_type
from ecct_tf.baselines.federated_plans import BaselinePlan, averaging_plan, pfedrec_plan
from ecct_tf.baselines.local_data import LocalShard, cut_shards
from ecct_tf.baselines.local_scoring import LocalScorer
from ecct_tf.baselines.state_arrays import check_arrays
from ecct_tf.config import RunConfig, RuntimeConfig
from ecct_tf.config.baselines import FEDERATED_BASELINES, FederatedBaselineName
from ecct_tf.data import Candidates, Dataset, DeviceView, Split
from ecct_tf.errors import ConfigError
from ecct_tf.federated.aggregators import Aggregated, aggregator_leaves, aggregator_of
from ecct_tf.federated.algorithm import Arrays, RoundReport, mean_loss
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.divergence import check_round
from ecct_tf.federated.engine import build_engine
from ecct_tf.knowledge import build_codec

__all__ = ["FederatedBaseline", "FederatedBaselineState", "build_federated_baseline"]

Ids = npt.NDArray[np.int64]

# What negatives are drawn for: training in rounds (here) or before scoring (the scorer).
IN_ROUNDS = 1
# Of a checkpoint: the leaves of the aggregator's state.
_AGGREGATOR = "aggregator"


class FederatedBaselineState(NamedTuple):
    """What a run keeps between rounds.

    Attributes:
      server: the shared weights and the server optimiser's state.
      private: `[devices, P_private] float32`; row d exists on device d only.
      aggregator: leaves of the state of an aggregator of one's own.
    """

    server: ServerState
    private: npt.NDArray[np.float32]
    aggregator: tuple[npt.NDArray[Any], ...] = ()


class FederatedBaseline:
    """An `Algorithm` that learns from what devices hold, and from nothing else."""

    def __init__(
        self, plan: BaselinePlan, *, split: Split, seed: int, runtime: RuntimeConfig
    ) -> None:
        """Composes the round; use `build_federated_baseline`."""
        self._plan = plan
        self._work = plan.work
        self._devices = plan.devices
        self._seed = seed
        self._shard_size = max(runtime.shard_size, 1)
        self._engine = build_engine(runtime)
        model = plan.work.training.model
        self._data_type = data_type(
            history_length=model.history_length,
            columns=plan.devices[0].data.profile.shape[1],
            clock_width=model.features.clock_width,
        )
        self._aggregator = aggregator_of(
            plan.server,
            section=f"{plan.section}.server",
            size=plan.work.shared_size,
            devices=len(plan.devices),
            shard_size=self._shard_size,
        )
        self.round: Any = self._engine.build(
            build_averaging_round(
                plan.work,
                server=plan.server,
                data=self._data_type,
                negatives=plan.sampler.negatives,
                aggregator=self._aggregator,
            )
        )
        self._kept: tuple[bytes, tuple[LocalShard, ...], Any] | None = None
        self._scorer = LocalScorer(
            model,
            plan.devices,
            split=split,
            personal=plan.personal,
            sampler=plan.sampler,
            shard_size=self._shard_size,
        )

    @property
    def rounds(self) -> int:
        """Rounds of a whole run."""
        return self._plan.rounds

    @property
    def num_devices(self) -> int:
        """Devices that can take part."""
        return len(self._devices)

    def initialize(self) -> FederatedBaselineState:
        """Random shared weights; each device's private ones start alike."""
        work = self._work
        start = work.training.model.initial(self._seed)
        zeros = np.zeros(work.shared_size, np.float32)
        return FederatedBaselineState(
            ServerState(start[: work.shared_size], zeros, zeros, np.int32(0)),
            np.tile(start[work.shared_size :], (len(self._devices), 1)),
        )

    def next(
        self,
        state: FederatedBaselineState,
        *,
        round_number: int,
        participants: Ids,
        answering: Ids,
    ) -> tuple[FederatedBaselineState, RoundReport]:
        """One round; needs a `federated_runtime()` around it."""
        work = self._work
        per_transfer = build_codec(work.weights_codec).encoded_bytes(1, work.shared_size)
        weights_bytes = (len(participants) + len(answering)) * per_transfer
        if not len(answering):
            names = () if self._aggregator is None else self.round.names
            unmeasured = dict.fromkeys(names, math.nan)
            return state, RoundReport(
                0, 0, math.nan, weights_bytes=weights_bytes, aggregated=unmeasured
            )
        shards, data = self._cut(answering)
        negatives = [
            self._plan.sampler.stacked(
                shard,
                purpose=IN_ROUNDS,
                round_number=round_number,
                batch_size=work.training.batch_size,
            )
            for shard in shards
        ]
        kept = () if self._aggregator is None else (state.aggregator,)
        server, private, totals, *joined = self.round(
            state.server,
            (),
            data,
            [state.private[shard.members] for shard in shards],
            negatives,
            *kept,
        )
        aggregated = joined[0] if joined else Aggregated()
        training = work.training
        check_round(
            round_number=round_number,
            group="its devices",
            devices=len(answering),
            loss=float(totals[0]),
            shared=server[0],
            settings={
                f"{self._plan.section}.learning_rate": training.learning_rate,
                f"{self._plan.section}.embedding_learning_rate": training.embedding_learning_rate,
                f"{self._plan.section}.server.learning_rate": self._plan.server.learning_rate,
            },
        )
        rows = state.private.copy()
        for shard, values in zip(shards, private, strict=True):
            rows[shard.members] = np.asarray(values)
        report = RoundReport(
            stage=0,
            devices=len(answering),
            train_loss=mean_loss(float(totals[0]), float(totals[1])),
            weights_bytes=weights_bytes,
            aggregated=aggregated.measured,
        )
        new_server = ServerState(*(np.asarray(part) for part in server))
        return FederatedBaselineState(new_server, rows, aggregated.state), report

    def scores(
        self, state: FederatedBaselineState, candidates: Candidates
    ) -> Mapping[str, npt.NDArray[np.float32]]:
        """Logits on the devices, after the method's personal training if it has one."""
        scores = self._scorer.scores(
            np.asarray(state.server.shared),
            state.private,
            candidates,
            round_number=int(state.server.round_number),
        )
        return {"edge": scores}

    def to_arrays(self, state: FederatedBaselineState) -> Arrays:
        """The server's vectors and all private weights."""
        server = {
            f"server/{name}": np.asarray(part) for name, part in state.server._asdict().items()
        }
        leaves = {f"{_AGGREGATOR}/{place}": leaf for place, leaf in enumerate(state.aggregator)}
        return {**server, "private": state.private, **leaves}

    def from_arrays(self, arrays: Arrays) -> FederatedBaselineState:
        """The state that `to_arrays` was given.

        Raises:
          CheckpointError: when arrays are missing or of other shapes.
        """
        expected = self.to_arrays(self.initialize())
        own = {
            name: array
            for name, array in arrays.items()
            if self._aggregator is None or not name.startswith(f"{_AGGREGATOR}/")
        }
        check_arrays(own, expected)
        server = ServerState(*(arrays[f"server/{name}"] for name in ServerState._fields))
        leaves = aggregator_leaves(arrays, _AGGREGATOR)
        return FederatedBaselineState(server, np.asarray(arrays["private"]), leaves)

    def _cut(self, answering: Ids) -> tuple[tuple[LocalShard, ...], Any]:
        """Shards of the newest set of participants; their data stay with the engine."""
        key = np.sort(answering).tobytes()
        if self._kept is None or self._kept[0] != key:
            shards = cut_shards(
                self._devices,
                answering.tolist(),
                shard_size=self._shard_size,
                batch_size=self._work.training.batch_size,
            )
            data = self._engine.keep_at_clients([shard.data for shard in shards], self._data_type)
            self._kept = (key, shards, data)
        return self._kept[1], self._kept[2]


def build_federated_baseline(
    config: RunConfig,
    *,
    method: FederatedBaselineName,
    dataset: Dataset,
    split: Split,
    groups: Sequence[Sequence[DeviceView]],
) -> FederatedBaseline:
    """Builds a federated baseline.

    Args:
      config: of the run.
      method: `fedavg`, `fedprox`, `fine-tuning` or `pfedrec`.
      dataset: for the number of items alone.
      split: for the histories before tested interactions.
      groups: the users of each device.

    Raises:
      ConfigError: when the method is none of those, or there is no device.
    """
    if method not in FEDERATED_BASELINES:
        expected = ", ".join(FEDERATED_BASELINES)
        raise ConfigError(f"method: expected one of {expected}, got {method!r}")
    if not groups:
        raise ConfigError("a federated baseline needs at least one device, got none")
    plan = pfedrec_plan if method == "pfedrec" else averaging_plan
    return FederatedBaseline(
        plan(config, method=method, num_items=dataset.num_items, groups=groups),
        split=split,
        seed=config.seed,
        runtime=config.runtime,
    )
