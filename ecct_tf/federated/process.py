"""The ECCT process: rounds in which edge and cloud teach each other.

A round is: the cloud makes downlinks for the participating devices; each cohort's
computation distributes them, trains the devices, aggregates their uplinks and finalizes
the shared weights; the uplinks enter the knowledge store; the cloud learns from it.
State goes in, state comes out.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RuntimeConfig, ServerConfig, Tier
from ecct_tf.config.aggregator_names import MEAN
from ecct_tf.errors import ConfigError
from ecct_tf.federated.algorithm import RoundReport, mean_loss
from ecct_tf.federated.cloud_protocol import Cloud
from ecct_tf.federated.cohort import Cohort, CohortState
from ecct_tf.federated.cohort_round import run_cohort
from ecct_tf.federated.crossing import shared_as_received
from ecct_tf.federated.device_work import DeviceWork, Stage
from ecct_tf.federated.devices import DeviceSet
from ecct_tf.federated.server import begin_server
from ecct_tf.federated.traffic import RoundTraffic
from ecct_tf.federated.witness import Witness
from ecct_tf.knowledge import ItemTable, KnowledgeStore

if TYPE_CHECKING:
    from ecct_tf.federated.rounds import CohortRounds

__all__ = ["EcctProcess", "EcctState", "build_ecct_process"]

Ids = npt.NDArray[np.int64]

_RATES = ("learning_rate", "private_learning_rate")


@dataclasses.dataclass(frozen=True)
class EcctState:
    """Everything of a run but the cloud's own weights.

    Attributes:
      cohorts: shared and private weights by cohort.
      knowledge: what the cloud keeps of the uplinks.
      fetched: `[devices] bool`, which devices have the item table.
      round_number: rounds done.
    """

    cohorts: tuple[CohortState, ...]
    knowledge: KnowledgeStore
    fetched: npt.NDArray[np.bool_]
    round_number: int


@dataclasses.dataclass(frozen=True)
class EcctProcess:
    """An ECCT process.

    Attributes:
      cohorts: the devices by architecture.
      initialize: `(seed) -> EcctState`.
      next: `(state, cloud, participants, answering) -> (EcctState, RoundReport)`.
        `participants` are numbers of devices that get a downlink; `answering`, a subset of
        them, finish the round.
      stage_of: `(round_number) -> Stage`.
      cohort_rounds: `() -> CohortRounds`, built at the first call; only this needs the engine, so
        that a process can be read (its cohorts, their work) where TFF is not installed.
    """

    cohorts: tuple[Cohort, ...]
    initialize: Callable[[int], EcctState]
    next: Callable[[EcctState, Cloud, Ids, Ids], tuple[EcctState, RoundReport]]
    stage_of: Callable[[int], Stage]
    cohort_rounds: Callable[[], "CohortRounds"]

    @property
    def rounds(self) -> dict[tuple[int, Stage], Any]:
        """What the engine made of each cohort and stage; with TFF, a computation."""
        return self.cohort_rounds().computations

    @property
    def num_devices(self) -> int:
        """Devices of all cohorts."""
        return sum(len(cohort) for cohort in self.cohorts)


def build_ecct_process(
    works: Sequence[tuple[DeviceWork, DeviceSet]],
    *,
    table: ItemTable,
    table_bytes: int,
    num_users: int,
    num_earlier: int = 0,
    stage_1_rounds: int,
    server: ServerConfig,
    runtime: RuntimeConfig,
    starts: Mapping[Tier, npt.NDArray[np.float32]] | None = None,
    witness: Witness | None = None,
    section: str | None = None,
) -> EcctProcess:
    """Composes the process.

    Args:
      works: for each cohort its stage 2 work and its devices; stage 1 is derived from it.
      table: the item table as devices received it.
      table_bytes: its size on the wire.
      num_users: users of the dataset, the length of the knowledge store.
      num_earlier: answers of each user that the store keeps beside the newest.
      stage_1_rounds: rounds before logits cross.
      server: how shared weights are averaged.
      runtime: how shards are formed, and by which engine rounds run.
      starts: starting weights by tier, `[P] float32`, which cross with the item table in the
        codec of the weights; a tier that is missing starts at random.
      witness: sees what devices did in each round.
      section: of the settings, where the rates are in one of their own.

    Raises:
      ConfigError: when there is no device, or when cohorts exchange different payloads.

    A round raises `DivergenceError` when training leaves the finite numbers.
    """
    if not works or not all(devices.devices for _, devices in works):
        raise ConfigError("an ECCT process needs at least one cohort, and no cohort may be empty")
    exchange = works[0][0].exchange
    directions = (works[0][0].receives, works[0][0].sends)
    if any(
        work.exchange != exchange or (work.receives, work.sends) != directions for work, _ in works
    ):
        raise ConfigError("all cohorts must exchange payloads of one specification")
    firsts = np.cumsum([0] + [len(devices.devices) for _, devices in works])
    cohorts = tuple(
        Cohort(work, devices, int(first), _received_start(work, starts or {}))
        for (work, devices), first in zip(works, firsts, strict=False)
    )

    @functools.cache
    def cohort_rounds() -> "CohortRounds":
        from ecct_tf.federated.rounds import CohortRounds

        return CohortRounds(
            cohorts,
            table=table,
            server=server,
            runtime=runtime,
            section=f"{section}.server" if section else "server",
        )

    traffic = RoundTraffic(cohorts, table_bytes=table_bytes)

    def stage_of(round_number: int) -> Stage:
        return 1 if round_number < stage_1_rounds else 2

    def initialize(seed: int) -> EcctState:
        return EcctState(
            cohorts=tuple(_initial(cohort, seed) for cohort in cohorts),
            knowledge=KnowledgeStore.empty(
                num_users=num_users,
                num_queries=exchange.num_queries,
                embedding_dim=exchange.embedding_dim,
                num_earlier=num_earlier,
            ),
            fetched=np.zeros(int(firsts[-1]), np.bool_),
            round_number=0,
        )

    def aggregated(stage: Stage, measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Measurements of the cohorts' aggregators; by tier where there are several."""
        if server.aggregator == MEAN:
            return {}
        return {
            name if len(cohorts) == 1 else f"{cohort.work.model.tier}_{name}": each.get(
                name, math.nan
            )
            for index, (cohort, each) in enumerate(zip(cohorts, measured, strict=True))
            for name in cohort_rounds().measurements(index, stage)
        }

    def next_round(
        state: EcctState, cloud: Cloud, participants: Ids, answering: Ids
    ) -> tuple[EcctState, RoundReport]:
        _check_participants(participants, answering, int(firsts[-1]))
        stage = stage_of(state.round_number)
        done = [
            run_cohort(
                index,
                cohort,
                state.cohorts[index],
                stage=stage,
                round_number=state.round_number,
                cloud=cloud,
                members=cohort.members(answering),
                rounds=cohort_rounds,
                rates=_rates(cohort.work, server, section=section),
                witness=witness,
            )
            for index, cohort in enumerate(cohorts)
        ]
        knowledge = state.knowledge
        for rows in (each.rows for each in done if each.rows is not None):
            knowledge = knowledge.updated(rows, round_number=state.round_number)
        measured = cloud.update(knowledge, round_number=state.round_number, use_logits=stage == 2)
        report = RoundReport(
            stage=stage if any(directions) else 0,
            devices=len(answering),
            train_loss=mean_loss(
                sum(each.loss for each in done), sum(each.weight for each in done)
            ),
            **traffic(stage, participants, answering, fetched=state.fetched),
            cloud=measured,
            witnessed={} if witness is None else witness.measured(),
            aggregated=aggregated(stage, [each.measured for each in done]),
            uplinks=[each.uplink for each in done if each.uplink is not None],
        )
        fetched = state.fetched.copy()
        fetched[participants] = True
        states = tuple(each.state for each in done)
        return EcctState(states, knowledge, fetched, state.round_number + 1), report

    return EcctProcess(
        cohorts=cohorts,
        initialize=initialize,
        next=next_round,
        stage_of=stage_of,
        cohort_rounds=cohort_rounds,
    )


def _initial(cohort: Cohort, seed: int) -> CohortState:
    size = cohort.work.shared_size
    start = cohort.initial(seed)
    return CohortState(
        server=begin_server(start[:size]),
        private=np.tile(start[size:], (len(cohort), 1)),
    )


def _received_start(
    work: DeviceWork, starts: Mapping[Tier, npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32] | None:
    start = starts.get(work.model.tier)
    if start is None:
        return None
    size = work.model.layout.size
    if start.shape != (size,) or not np.isfinite(start).all():
        raise ConfigError(
            f"starting weights of tier {work.model.tier!r}: expected {size} finite numbers, got "
            f"shape {start.shape} with {int((~np.isfinite(start)).sum())} that are not finite"
        )
    return shared_as_received(start, work.weights_codec)


def _rates(work: DeviceWork, server: ServerConfig, *, section: str | None) -> dict[str, object]:
    """The settings that decide whether training stays finite."""
    own, averaged = section or "training", f"{section}.server" if section else "server"
    rates = {f"{own}.{name}": getattr(work.training, name) for name in _RATES}
    shared = {f"training.{name}": getattr(work.training, name) for name in ("optimizer", "epochs")}
    return {**rates, **shared, f"{averaged}.learning_rate": server.learning_rate}


def _check_participants(participants: Ids, answering: Ids, num_devices: int) -> None:
    if len(participants) and not 0 <= participants.min() <= participants.max() < num_devices:
        raise ConfigError(f"participants must be device numbers in 0..{num_devices - 1}")
    if len(np.unique(participants)) != len(participants):
        raise ConfigError("a device takes part in a round at most once")
    if len(np.unique(answering)) != len(answering):
        raise ConfigError("a device answers in a round at most once")
    if not np.isin(answering, participants).all():
        raise ConfigError("only participants can answer: answering must be a subset of them")
