"""Federated learning without a cloud: FedAvg and its kin, PFedRec, FedRecon and FedMD."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.baselines.averaging import build_averaging_round, data_type
from ecct_tf.baselines.federated_plans import PLANS, BaselinePlan
from ecct_tf.baselines.local_data import LocalShard, cut_shards
from ecct_tf.baselines.local_scoring import LocalScorer
from ecct_tf.baselines.state_arrays import check_arrays
from ecct_tf.config import RunConfig, RuntimeConfig
from ecct_tf.config.baselines import FEDERATED_BASELINES, FederatedBaselineName
from ecct_tf.data import Candidates, Dataset, DeviceView, Split
from ecct_tf.errors import ConfigError
from ecct_tf.federated.aggregators import Aggregated, aggregator_leaves, aggregator_of
from ecct_tf.federated.algorithm import Arrays, RoundReport, mean_loss
from ecct_tf.federated.changes import Changes, sent_changes
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.divergence import check_round
from ecct_tf.federated.engine import build_engine
from ecct_tf.federated.late_arrays import (
    LATE,
    answer_arrays,
    change_arrays,
    stored_answers,
    stored_changes,
)
from ecct_tf.federated.named_stages import process_stages
from ecct_tf.federated.own_stages import StageSpec, encoded_bytes
from ecct_tf.federated.server import apply_arrived
from ecct_tf.federated.under_way import Answers, checked_delays
from ecct_tf.knowledge import build_codec

__all__ = ["FederatedBaseline", "FederatedBaselineState", "build_federated_baseline"]

Ids = npt.NDArray[np.int64]

# What negatives are drawn for: training in rounds (here) or before scoring (the scorer).
IN_ROUNDS = 1
# Of a checkpoint: the leaves of the aggregator's state.
_AGGREGATOR = "aggregator"
# Of a checkpoint: whose changes are under way.
_SHARED = "shared"


class FederatedBaselineState(NamedTuple):
    """What a run keeps between rounds.

    Attributes:
      server: the shared weights (of FedMD the consensus) and the server optimiser's state.
      private: `[devices, P_private] float32`; row d exists on device d only.
      aggregator: leaves of the state of an aggregator or of custom stages.
      answers: of devices, which have not arrived.
      changes: of the shared weights, which are not applied.
    """

    server: ServerState
    private: npt.NDArray[np.float32]
    aggregator: tuple[npt.NDArray[Any], ...] = ()
    answers: Answers = Answers.none()
    changes: Changes = Changes.none()


class FederatedBaseline:
    """An `Algorithm` that learns from what devices hold, and from nothing else."""

    def __init__(
        self,
        plan: BaselinePlan,
        *,
        split: Split,
        seed: int,
        runtime: RuntimeConfig,
        asynchronous: bool = False,
    ) -> None:
        """Composes the round; use `build_federated_baseline`."""
        self._plan = plan
        self._work = plan.work
        self._devices = plan.devices
        self._seed = seed
        self._shard_size = max(runtime.shard_size, 1)
        self._engine = build_engine(runtime)
        self._asynchronous = asynchronous
        self._collects = asynchronous or plan.server.buffer > 0
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
        stages = process_stages(
            None,
            plan.server,
            section=f"{plan.section}.server",
            runtime=runtime,
            late=self._collects,
        )
        spec = StageSpec(plan.section, 2, plan.work.shared_size, len(plan.devices), plan.server)
        self.round: Any = self._engine.build(
            built := build_averaging_round(
                plan.work,
                server=plan.server,
                data=self._data_type,
                negatives=plan.sampler.negatives,
                aggregator=self._aggregator,
                collects=self._collects,
                stages=stages,
                spec=spec,
            )
        )
        self._keeps = self._aggregator is not None or built.kept is not None
        coded = build_codec(plan.work.weights_codec).encoded_bytes(1, plan.work.shared_size)
        self._up_bytes = coded
        self._down_bytes = coded if stages is None else encoded_bytes(stages, built.distribute)
        self._kept: tuple[bytes, tuple[LocalShard, ...], Any] | None = None
        self._scorer = LocalScorer(
            model,
            plan.devices,
            split=split,
            personal=plan.personal,
            sampler=plan.sampler,
            shard_size=self._shard_size,
            join=plan.work.weights,
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
        """Shared weights that all begin with; each device's private ones start alike."""
        work = self._work
        start = work.initial(self._seed)
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
        delays: Ids | None = None,
    ) -> tuple[FederatedBaselineState, RoundReport]:
        """One round; needs a `federated_runtime()` around it."""
        work = self._work
        late = checked_delays(delays, answering, asynchronous=self._asynchronous)
        answers = state.answers.with_round(answering, round_number=round_number, delays=late)
        here, answers = answers.split(round_number)

        def reported(report: RoundReport) -> RoundReport:
            return dataclasses.replace(
                report,
                arrived=len(here.devices),
                under_way=len(answers.devices),
                mean_age=here.mean_age(round_number),
            )

        weights_up_bytes = len(answering) * self._up_bytes
        weights_bytes = len(participants) * self._down_bytes + weights_up_bytes
        if not len(answering):
            names = self.round.names if self._keeps else ()
            report = RoundReport(
                stage=0,
                devices=0,
                train_loss=math.nan,
                weights_bytes=weights_bytes,
                aggregated=dict.fromkeys(names, math.nan),
            )
            server, changes = self._applied(state.server, state.changes, round_number)
            return state._replace(server=server, answers=answers, changes=changes), reported(report)
        shards, data = self._cut(answering, late)
        negatives = [
            self._plan.sampler.stacked(
                shard,
                purpose=IN_ROUNDS,
                round_number=round_number,
                batch_size=work.training.batch_size,
            )
            for shard in shards
        ]
        kept = (state.aggregator,) if self._keeps else ()
        settled, private, totals, *joined = self.round(
            state.server,
            (),
            data,
            [state.private[shard.members] for shard in shards],
            negatives,
            *kept,
        )
        aggregated = joined[0] if joined else Aggregated()
        changes = state.changes
        if self._collects:
            delay_of = dict(zip(answering.tolist(), late.tolist(), strict=True))
            sent = sent_changes(
                settled,
                [shard.members for shard in shards],
                arrives=[round_number + delay_of[int(shard.members[0])] for shard in shards],
                version=int(state.server.round_number),
                size=work.shared_size,
            )
            new_server, changes = self._applied(state.server, changes.and_(sent), round_number)
        else:
            new_server = ServerState(*(np.asarray(part) for part in settled))
        training = work.training
        check_round(
            round_number=round_number,
            group="its devices",
            devices=len(answering),
            loss=float(totals[0]),
            shared=new_server.shared,
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
            weights_up_bytes=weights_up_bytes,
            aggregated=aggregated.measured,
        )
        after = FederatedBaselineState(new_server, rows, aggregated.state, answers, changes)
        return after, reported(report)

    def _applied(
        self, server: ServerState, changes: Changes, round_number: int
    ) -> tuple[ServerState, Changes]:
        """After the server's step, if what has arrived is enough for one."""
        return apply_arrived(server, changes, round_number=round_number, config=self._plan.server)

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
        late = answer_arrays(state.answers) | change_arrays(state.changes, _SHARED)
        return {**server, "private": state.private, **leaves, **late}

    def from_arrays(self, arrays: Arrays) -> FederatedBaselineState:
        """The state that `to_arrays` was given.

        Raises:
          CheckpointError: when arrays are missing or of other shapes.
        """
        expected = self.to_arrays(self.initialize())
        own = {
            name: array
            for name, array in arrays.items()
            if not name.startswith(f"{LATE}/")
            and not (self._keeps and name.startswith(f"{_AGGREGATOR}/"))
        }
        check_arrays(own, expected)
        server = ServerState(*(arrays[f"server/{name}"] for name in ServerState._fields))
        leaves = aggregator_leaves(arrays, _AGGREGATOR)
        return FederatedBaselineState(
            server,
            np.asarray(arrays["private"]),
            leaves,
            stored_answers(arrays),
            stored_changes(arrays, _SHARED),
        )

    def _cut(self, answering: Ids, delays: Ids) -> tuple[tuple[LocalShard, ...], Any]:
        """Shards of the newest set of participants; their data stay with the engine.

        Devices of one shard have one delay.
        """
        order = np.lexsort((answering, delays))
        key = answering[order].tobytes() + delays[order].tobytes()
        if self._kept is None or self._kept[0] != key:
            shards = tuple(
                shard
                for delay in np.unique(delays)
                for shard in cut_shards(
                    self._devices,
                    answering[delays == delay].tolist(),
                    shard_size=self._shard_size,
                    batch_size=self._work.training.batch_size,
                )
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
      method: one of `FEDERATED_BASELINES`.
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
    return FederatedBaseline(
        PLANS[method](config, method=method, num_items=dataset.num_items, groups=groups),
        split=split,
        seed=config.seed,
        runtime=config.runtime,
        asynchronous=config.participation.asynchronous,
    )
