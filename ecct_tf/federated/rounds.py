"""The TFF computations of a process, and the values that stay in TFF's worker for them.

`process` imports this module when the first round begins and not before: whoever only reads
a process needs no TFF.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RuntimeConfig, ServerConfig
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.federated.cohort import Cohort, ServerState, Shard, make_shards
from ecct_tf.federated.device_work import STAGES, Stage
from ecct_tf.federated.resident import ResidentValue
from ecct_tf.federated.stages import (
    Work,
    build_aggregate,
    build_distribute,
    build_finalize,
    build_round,
    build_work,
)
from ecct_tf.knowledge import Downlink, ItemTable

__all__ = ["CohortRounds"]

Ids = npt.NDArray[np.int64]


class CohortRounds:
    """One computation for each cohort and stage.

    Attributes:
      computations: by cohort and stage.
    """

    def __init__(
        self,
        cohorts: tuple[Cohort, ...],
        *,
        table: ItemTable,
        server: ServerConfig,
        runtime: RuntimeConfig,
    ) -> None:
        """Builds all computations.

        Raises:
          ConfigError: when the stages of a round do not fit.
        """
        self._cohorts = cohorts
        self._runtime = runtime
        items = ItemTensors(*(np.asarray(array) for array in item_tensors(table)))
        self.computations: dict[tuple[int, Stage], Any] = {}
        self._types: list[dict[str, Any]] = []
        for index, cohort in enumerate(cohorts):
            for stage in STAGES:
                computation, work = _cohort_round(cohort, stage, items, server, runtime)
                self.computations[index, stage] = computation
            self._types.append(work.types)
        # One for each cohort: TFF has an executor for each number of client values, and a single
        # resident table would be sent anew whenever cohorts of unlike size take turns.
        self._items = [ResidentValue.at_server(items, types["items"]) for types in self._types]
        # Shards of the newest set of participants of each cohort.
        self._kept: dict[int, tuple[bytes, tuple[Shard, ...], ResidentValue]] = {}

    def shards(self, index: int, members: Ids) -> tuple[Shard, ...]:
        """The devices `members` of a cohort, cut into client values."""
        return self._shards(index, members)[0]

    def run(
        self,
        index: int,
        stage: Stage,
        members: Ids,
        *,
        server: ServerState,
        private: Sequence[npt.NDArray[np.float32]],
        downlinks: Sequence[Downlink],
    ) -> Any:
        """A round of one cohort.

        Args:
          index: of the cohort.
          stage: of the exchange.
          members: numbers of its devices that answer.
          server: the cohort's state at the server.
          private: weights of the devices of each shard.
          downlinks: one for each shard.

        Returns:
          What `build_round` says.
        """
        data = self._shards(index, members)[1]
        computation = self.computations[index, stage]
        return computation(server, self._items[index], data, list(private), list(downlinks))

    def _shards(self, index: int, members: Ids) -> tuple[tuple[Shard, ...], ResidentValue]:
        key = np.sort(members).tobytes()
        kept = self._kept.get(index)
        if kept is None or kept[0] != key:
            cohort = self._cohorts[index]
            cut = make_shards(
                cohort,
                members.tolist(),
                shard_size=self._runtime.shard_size,
                batch_size=cohort.work.training.batch_size,
            )
            data = ResidentValue.at_clients([s.data for s in cut], self._types[index]["data"])
            kept = (key, cut, data)
            self._kept[index] = kept
        return kept[1], kept[2]


def _cohort_round(
    cohort: Cohort, stage: Stage, items: ItemTensors, server: ServerConfig, runtime: RuntimeConfig
) -> tuple[Any, Work]:
    work = cohort.work.in_stage(stage)
    sample = make_shards(
        cohort, [0], shard_size=runtime.shard_size, batch_size=work.training.batch_size
    )[0].data
    built = build_work(work, items=items, sample=sample, stacked=runtime.shard_size > 0)
    size = work.shared_size
    computation = build_round(
        build_distribute(size, work.weights_codec),
        built,
        build_aggregate(built.compute.type_signature.result.uplink),
        build_finalize(size, server),
    )
    return computation, built
