"""ECCT as an algorithm of a run: the federated process and the cloud recommender, joined."""

import dataclasses
import functools
import gc
import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cloud.guard import BEST
from cloud.shared_spaces import InputSpaces
from ecct_tf.baselines.silent_cloud import SilentCloud, blank_item_table
from ecct_tf.config import RunConfig, Tier
from ecct_tf.data import Candidates
from ecct_tf.edge import laid_out
from ecct_tf.errors import CheckpointError
from ecct_tf.federated import (
    Arrays,
    Cloud,
    EcctProcess,
    EcctState,
    RoundReport,
    TrainableCloud,
)
from ecct_tf.federated.algorithm import Ids
from ecct_tf.federated.device_sums import Summing
from ecct_tf.fixed_arrays import FixedArray
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import transmit
from ecct_tf.simulation.attack import attack_of
from ecct_tf.simulation.builder import build_process, edge_config
from ecct_tf.simulation.device_sums import DeviceSums, collect_sums
from ecct_tf.simulation.edge_state import (
    check_shapes,
    edge_arrays,
    edge_state,
    known_arrays,
    table_digest,
)
from ecct_tf.simulation.evaluation import EdgeEvaluator
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.holding import Holding, asking, holding_of, holds_candidates
from ecct_tf.simulation.real_devices import real_devices
from ecct_tf.simulation.run_cloud import (
    build_cloud,
    cloud_arrays,
    guard_share,
    guarded,
)
from ecct_tf.simulation.starts import cloud_starts
from ecct_tf.touched_rows import touched_of

__all__ = [
    "EcctAlgorithm",
    "EcctRunState",
    "assemble",
    "build_ecct",
    "build_edge_only",
    "cloud_starts",
]

Array = npt.NDArray[np.float32]

_USERS_AT_ONCE = 2048
_LARGE = 1 << 17


class EcctRunState(NamedTuple):
    """The whole state of an ECCT run.

    Attributes:
      edge: weights of the devices, and what the cloud keeps of the uplinks.
      cloud: the cloud recommender's variables, the optimiser's included.
    """

    edge: EcctState
    cloud: Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class EcctAlgorithm:
    """Implements `ecct_tf.federated.Algorithm`.

    The recommender is a Keras model and thus mutable; before each use it is set to the
    state's variables, so that the state alone decides what happens.

    Attributes:
      config: the configuration.
      process: the federated process.
      evaluator: scores candidates on the devices.
      table: the item table as devices received it.
      cloud: the cloud recommender; None where there is no cloud.
      sums: what devices told the cloud of items before the first round.
      holding: of which items devices hold rows; None for all.
    """

    config: RunConfig
    process: EcctProcess
    evaluator: EdgeEvaluator
    table: ItemTable
    cloud: TrainableCloud | None
    _start: Mapping[str, Array]
    sums: DeviceSums = dataclasses.field(default_factory=DeviceSums)
    holding: Holding | None = None

    @property
    def rounds(self) -> int:
        """Rounds of the exchange."""
        return self.config.rounds

    @property
    def num_devices(self) -> int:
        """Devices of all tiers."""
        return self.process.num_devices

    def initialize(self) -> EcctRunState:
        """Initial weights on all devices, the published cloud, no knowledge."""
        return EcctRunState(self.process.initialize(self.config.seed), self._start)

    def untrained(self) -> EcctRunState:
        """The initial state, to be scored as after the last round: with logits if they cross then.

        What differs from the last state is then what training changed, not what stage 2 adds.
        """
        begin = self.initialize()
        edge = dataclasses.replace(begin.edge, round_number=self.rounds)
        return begin._replace(edge=edge)

    def next(
        self,
        state: EcctRunState,
        *,
        round_number: int,
        participants: Ids,
        answering: Ids,
        delays: Ids | None = None,
    ) -> tuple[EcctRunState, RoundReport]:
        """One round of the exchange."""
        del round_number  # The process counts its own.
        cloud = self.cloud_at(state)
        first = state.edge.round_number == 0
        edge, report = self.process.next(state.edge, cloud, participants, answering, delays)
        if first:
            report = dataclasses.replace(report, sums_bytes=self.sums.uplink_bytes)
        return EcctRunState(edge, {} if self.cloud is None else self.cloud.snapshot()), report

    def scores(self, state: EcctRunState, candidates: Candidates) -> dict[str, Array]:
        """The devices' logits, and the cloud's with the uplinks fused in."""
        edge = self.evaluator.scores(state.edge, self.cloud_at(state), candidates)
        if self.cloud is None:
            return {"edge": edge}
        cloud = self.cloud.scores(
            candidates.users,
            candidates.items,
            knowledge=state.edge.knowledge,
            round_number=state.edge.round_number,
        )
        return {"edge": edge, "cloud": cloud}

    def at_start(self, state: EcctRunState, candidates: Candidates) -> float | None:
        """Share of `candidates` whose devices serve with their starting weights, if any may."""
        return self.evaluator.at_start(state.edge, self.cloud_at(state), candidates)

    def to_arrays(self, state: EcctRunState) -> Arrays:
        """Devices, server optimiser, knowledge store, cloud and its optimiser, round.

        And what the next downlinks would say, so that the devices' models can be exported
        without building the cloud again.
        """
        return {
            **self.sums.to_arrays(),
            **edge_arrays(state.edge, self.process.cohorts),
            **{
                # Of few users there is anything to judge by.
                f"cloud/{name}": touched_of(value, np.nan) if name == BEST else value
                for name, value in state.cloud.items()
            },
            "item_table_sha256": table_digest(self.table),
            **self._known(state),
        }

    def _known(self, state: EcctRunState) -> Arrays:
        """What the next downlinks would say to each user."""
        users = np.arange(len(state.edge.knowledge.rounds), dtype=np.int32)

        def parts() -> Iterator[Array]:
            cloud = self.cloud_at(state)
            for start in range(0, len(users), _USERS_AT_ONCE):
                some = users[start : start + _USERS_AT_ONCE]
                yield np.asarray(cloud.downlinks(some, round_number=state.edge.round_number))

        if self.table.row_dim or (self.cloud is not None and self.config.cloud.downlink_rate):
            everything = self.cloud_at(state).downlinks(users, round_number=state.edge.round_number)
            return known_arrays(everything)
        # The user tower for downlinks stays as published: it is made and written once.
        shape = (len(users), self.table.cloud_dim)
        key = f"downlinks-{self._begun_with}"
        return known_arrays(FixedArray(key, shape, np.dtype(np.float32), parts))

    @functools.cached_property
    def _begun_with(self) -> str:
        """Names the cloud and the item table that the run began with."""
        digest = hashlib.sha256(table_digest(self.table).tobytes())
        for name, value in sorted(self._start.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()[:16]

    def from_arrays(self, arrays: Arrays) -> EcctRunState:
        """The state that `to_arrays` was given.

        Raises:
          CheckpointError: when arrays are missing or have other shapes than this run's, or
            when the devices of the run hold another item table.
        """
        expected = self.to_arrays(self.initialize())
        check_shapes(arrays, expected)
        if not np.array_equal(arrays["item_table_sha256"], expected["item_table_sha256"]):
            raise CheckpointError(
                "checkpoint: the devices of this run hold another item table than the one that "
                "was computed now, so resuming would not repeat the run; resume where it "
                "was begun, with the same data, library versions and kind of machine"
            )
        return EcctRunState(edge_state(arrays, self.process.cohorts), cloud_arrays(arrays))

    def cloud_at(self, state: EcctRunState) -> Cloud:
        """The cloud as it is in `state`; there is one object, which the next call sets anew."""
        if self.cloud is None:
            return SilentCloud(self.table, num_queries=self.config.exchange.queries)
        self.cloud.restore(state.cloud)
        return self.cloud


def build_ecct(
    experiment: Experiment,
    *,
    spaces: InputSpaces | None = None,
    summed: Summing | None = None,
) -> EcctAlgorithm:
    """ECCT, or an ablation of its exchange: fits the cloud and prepares the devices.

    Args:
      experiment: the data.
      spaces: the input spaces that are computed already, and where a new one is kept.
      summed: how a sum of what devices tell of items is computed; by default in this process.
    """
    sums = collect_sums(experiment, summed=summed)
    config = experiment.config
    cloud = build_cloud(experiment, spaces=spaces, sums=sums, held_out_share=guard_share(config))
    published = cloud.publish()
    _collect(published)
    sent = transmit(
        published,
        config.exchange.item_table,
        config.exchange.codec,
        whole=not holds_candidates(config),
    )
    table, num_bytes = laid_out(sent.table), sent.num_bytes
    # At a million items each of the copies that were on the way is a gigabyte.
    del published, sent
    judged = guarded(cloud, config)
    served: TrainableCloud = judged
    holding = None
    if holds_candidates(config):
        holding = holding_of(
            experiment,
            table,
            downlinks=lambda users: np.asarray(cloud.downlinks(users, round_number=0)),
        )
        served = asking(experiment, judged, holding)
    starts = _starts(experiment, table, spaces, sums)
    _collect(table)
    return assemble(
        experiment,
        table=table,
        table_bytes=num_bytes,
        holding=holding,
        cloud=served,
        starts=starts,
        sums=sums,
    )


def _collect(table: ItemTable) -> None:
    """Frees what is left of Keras models that are done with, in a large catalog.

    They are cycles, which wait for the collector; at a million items with a gigabyte.
    """
    if table.num_items > _LARGE:
        gc.collect()


def _starts(
    experiment: Experiment,
    table: ItemTable,
    spaces: InputSpaces | None,
    sums: DeviceSums,
) -> dict[Tier, Array]:
    if experiment.config.edge.start == "random":
        return {}
    return cloud_starts(experiment, table, spaces=spaces, sums=sums)


def build_edge_only(experiment: Experiment, *, spaces: InputSpaces | None = None) -> EcctAlgorithm:
    """The same edge model without any cloud: items are known by how often devices met them."""
    histories = [view.history for group in experiment.groups for view in group]
    counts = np.bincount(np.concatenate(histories), minlength=experiment.dataset.num_items + 1)
    shapes = build_cloud(experiment, spaces=spaces).publish()
    table = blank_item_table(shapes, item_counts=counts, seed=experiment.config.seed)
    return assemble(experiment, table=table, table_bytes=0, cloud=None, starts={})


def assemble(
    experiment: Experiment,
    *,
    table: ItemTable,
    table_bytes: int,
    cloud: TrainableCloud | None,
    starts: Mapping[Tier, Array],
    sums: DeviceSums | None = None,
    holding: Holding | None = None,
) -> EcctAlgorithm:
    """The algorithm of devices that hold `table`, and of `cloud`, if there is one."""
    config = edge_config(experiment.config)
    process = build_process(
        config,
        experiment.groups if holding is None else holding.groups,
        table=table,
        table_bytes=table_bytes if holding is None else holding.table_bytes,
        own_bytes=None if holding is None else holding.own_bytes,
        held=None if holding is None else holding.items,
        num_users=experiment.dataset.num_users,
        starts=starts,
        witness=real_devices(
            config,
            experiment.groups,
            table=table,
            held=None if holding is None else holding.items,
        ),
        prepared=experiment.prepared,
        attack=attack_of(experiment),
    )
    return EcctAlgorithm(
        config=config,
        process=process,
        evaluator=EdgeEvaluator(
            process,
            experiment.split,
            table=table,
            features=config.features,
            holding=holding,
        ),
        table=table,
        cloud=cloud,
        _start={} if cloud is None else cloud.snapshot(),
        sums=sums or DeviceSums(),
        holding=holding,
    )
