"""The rounds of a process as its engine runs them, and the values that stay there for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RuntimeConfig, ServerConfig
from ecct_tf.edge import ItemTensors, table_tensors
from ecct_tf.federated.aggregators import Aggregated, Aggregator, AggregatorState, aggregator_of
from ecct_tf.federated.attack import Attack
from ecct_tf.federated.cohort import Cohort, ServerState, Shard, make_shards
from ecct_tf.federated.device_work import STAGES, DeviceWork, Stage
from ecct_tf.federated.engine import build_engine
from ecct_tf.federated.own_stages import RoundStages, Stages, stage_spec
from ecct_tf.federated.stages import (
    Aggregate,
    Round,
    SumAggregate,
    Work,
    WorkTypes,
    build_aggregate,
    build_distribute,
    build_finalize,
    build_round,
    build_sum_aggregate,
    build_work,
)
from ecct_tf.knowledge import Downlink, ItemTable

__all__ = ["CohortRounds"]

Ids = npt.NDArray[np.int64]


class CohortRounds:
    """A round for each cohort and stage, built when it is first needed."""

    def __init__(
        self,
        cohorts: tuple[Cohort, ...],
        *,
        table: ItemTable,
        server: ServerConfig,
        runtime: RuntimeConfig,
        section: str = "server",
        asynchronous: bool = False,
        attack: Attack | None = None,
        stages: Stages | None = None,
    ) -> None:
        """Chooses the engine.

        Args:
          cohorts: the devices by tier.
          table: the item table as devices received it.
          server: how their changes are averaged.
          runtime: how shards are formed, and by which engine rounds run.
          section: where `server` stands, for messages.
          asynchronous: whether changes of shared weights are left for a later step.
          attack: what poisoned devices do.
          stages: those of one's own.

        Raises:
          WorkerError: when it is TFF, which is not installed.
        """
        self._cohorts = cohorts
        self._server = server
        self._section = section
        self._runtime = runtime
        self._asynchronous = asynchronous
        self._attack = attack
        self._own = stages
        self._engine = build_engine(runtime)
        self._table = table_tensors(table)
        self._built: dict[tuple[int, Stage, bool], tuple[Any, WorkTypes]] = {}
        # One for each cohort: TFF has an executor for each number of client values, and a single
        # resident table would be sent anew whenever cohorts of unlike size take turns.
        self._items: dict[int, Any] = {}
        # Shards of the newest set of participants of each cohort, and their data at the engine.
        self._kept: dict[int, tuple[bytes, tuple[Shard, ...]]] = {}
        self._data: dict[int, tuple[bytes, Any]] = {}

    @property
    def table(self) -> ItemTensors:
        """The item table as devices received it."""
        return self._table

    @property
    def computations(self) -> dict[tuple[int, Stage], Any]:
        """What the engine made of each cohort and stage."""
        numbers = range(len(self._cohorts))
        return {(at, stage): self._round(at, stage)[0] for at in numbers for stage in STAGES}

    def collects(self, index: int) -> bool:
        """Whether a round of the cohort leaves the changes of its client values as they are."""
        return self._asynchronous and self._cohorts[index].work.shared_size > 0

    def shards(self, index: int, members: Ids, delays: Ids) -> tuple[Shard, ...]:
        """The devices `members` of a cohort, cut into client values.

        Where changes are collected, the devices of one client value have one delay.
        """
        if not self.collects(index):
            delays = np.zeros_like(delays)
        order = np.lexsort((members, delays))
        key = members[order].tobytes() + delays[order].tobytes()
        if index not in self._kept or self._kept[index][0] != key:
            cohort = self._cohorts[index]
            cut = tuple(
                shard
                for delay in np.unique(delays)
                for shard in make_shards(
                    cohort,
                    members[delays == delay].tolist(),
                    shard_size=self._runtime.shard_size,
                    batch_size=cohort.work.task.batch_size,
                )
            )
            if self._attack is not None:
                cut = tuple(map(self._attack.flipped, cut))
            self._kept[index] = key, cut
        return self._kept[index][1]

    def run(
        self,
        index: int,
        stage: Stage,
        members: Ids,
        *,
        delays: Ids,
        server: ServerState,
        private: Sequence[npt.NDArray[np.float32]],
        downlinks: Sequence[Downlink],
        kept: AggregatorState = (),
        crosses: bool = True,
    ) -> Any:
        """A round of one cohort.

        Args:
          index: of the cohort.
          stage: of the exchange.
          members: numbers of its devices that answer.
          delays: of their answers, in rounds.
          server: the cohort's state at the server.
          private: weights of the devices of each shard.
          downlinks: one for each shard.
          kept: what the cohort's aggregator or custom stages keep, if it has any.
          crosses: whether changes of shared weights cross; where they wait, the state at the server
            is the same after the round but for the count of rounds.

        Returns:
          What `build_round` says, and an `Aggregated`, empty where nothing is kept or measured.

        Raises:
          ConfigError: when the stages of a round do not fit.
        """
        computation, types = self._round(index, stage, crosses=crosses)
        shards = self.shards(index, members, delays)
        key = self._kept[index][0]
        if index not in self._items:
            self._items[index] = self._engine.keep_at_server(self._table, types.items)
        if index not in self._data or self._data[index][0] != key:
            values = [shard.data for shard in shards]
            self._data[index] = key, self._engine.keep_at_clients(values, types.data)
        data = self._data[index][1]
        arguments = (server, self._items[index], data, list(private), list(downlinks))
        if not _keeps(computation):
            return (*computation(*arguments), Aggregated())
        return computation(*arguments, kept)

    def measurements(self, index: int, stage: Stage) -> tuple[str, ...]:
        """Names of what the cohort's aggregator or custom stages measure in each round."""
        if self._own is None and self._aggregator(index) is None:
            return ()
        computation = self._round(index, stage)[0]
        return tuple(computation.names) if _keeps(computation) else ()

    def _round(self, index: int, stage: Stage, *, crosses: bool = True) -> tuple[Any, WorkTypes]:
        """What the engine made of a round, and the types of its work."""
        if self._cohorts[index].work.in_stage(stage) is self._cohorts[index].work:
            stage = 2  # One computation serves both stages where nothing crosses.
        key = index, stage, crosses
        if key not in self._built:
            stages = self._stages(index, stage, crosses=crosses)
            self._built[key] = self._engine.build(stages), stages.work.types
        return self._built[key]

    def _stages(self, index: int, stage: Stage, *, crosses: bool) -> Round:
        cohort = self._cohorts[index]
        work = cohort.work.in_round(stage, crosses=crosses)
        size, shard_size = work.shared_size, self._runtime.shard_size
        batch_size = work.task.batch_size
        sample = make_shards(cohort, [0], shard_size=shard_size, batch_size=batch_size)[0].data
        built = build_work(work, items=self._table, sample=sample, stacked=shard_size > 0)
        stages = RoundStages(
            build_distribute(size, work.weights_codec),
            built,
            self._aggregate(index, work, built),
            build_finalize(size, self._server, steps=work.crosses),
        )
        if self._own is not None:
            spec = stage_spec(cohort, self._server, stage=stage)
            stages = self._own.of(spec, stages)
        return build_round(
            stages.distribute,
            stages.work,
            stages.aggregate,
            stages.finalize,
            aggregator=self._aggregator(index),
            collects=self.collects(index) and work.crosses,
            changes=stages.changes,
        )

    def _aggregate(self, index: int, work: DeviceWork, built: Work) -> Aggregate | SumAggregate:
        if work.sums is None:
            return build_aggregate(built.result.uplink)
        return build_sum_aggregate(
            work.sums,
            devices=len(self._cohorts[index]),
            stream=work.noise_stream,
            cohort=index,
        )

    def _aggregator(self, index: int) -> Aggregator | None:
        cohort = self._cohorts[index]
        return aggregator_of(
            self._server,
            section=self._section,
            size=cohort.work.shared_size,
            devices=len(cohort),
            shard_size=self._runtime.shard_size,
        )


def _keeps(computation: Any) -> bool:
    """Whether a round takes what was kept, and yields an `Aggregated`."""
    return getattr(computation, "names", None) is not None
