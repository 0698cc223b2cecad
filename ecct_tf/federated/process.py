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
from ecct_tf.federated.attack import Attack
from ecct_tf.federated.cloud_protocol import Cloud
from ecct_tf.federated.cohort import Cohort, CohortState
from ecct_tf.federated.cohort_round import run_cohort
from ecct_tf.federated.crossing import decode_rows, shared_as_received
from ecct_tf.federated.device_set import DeviceSet
from ecct_tf.federated.device_work import DeviceWork, Stage
from ecct_tf.federated.item_rows import rows_of_sums
from ecct_tf.federated.named_stages import process_stages
from ecct_tf.federated.own_stages import Stages, sent_bytes
from ecct_tf.federated.participation import check_participants
from ecct_tf.federated.server import begin_server
from ecct_tf.federated.sharing import Shares, ShareSchedule
from ecct_tf.federated.traffic import RoundTraffic
from ecct_tf.federated.under_way import (
    Answers,
    SentUplinks,
    arriving,
    checked_delays,
    sent_uplinks,
)
from ecct_tf.federated.witness import Witness
from ecct_tf.knowledge import ItemTable, KnowledgeStore
from ecct_tf.knowledge.item_means import ItemMeans
from ecct_tf.touched_rows import TouchedRows

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
      answers: of devices, which have not arrived.
      uplinks: which have not arrived.
      unlearned: uplinks that arrived since the cloud last learned.
      items: what the cloud knows of items by sums over devices; None where rows leave devices.
      shares: of which period each device has the mean of the shared weights; None where they
        cross in every round.
    """

    cohorts: tuple[CohortState, ...]
    knowledge: KnowledgeStore
    fetched: npt.NDArray[np.bool_]
    round_number: int
    answers: Answers = dataclasses.field(default_factory=Answers.none)
    uplinks: tuple[SentUplinks, ...] = ()
    unlearned: int = 0
    items: ItemMeans | None = None
    shares: Shares | None = None


@dataclasses.dataclass(frozen=True)
class EcctProcess:
    """An ECCT process.

    Attributes:
      cohorts: the devices by architecture.
      initialize: `(seed) -> EcctState`.
      next: `(state, cloud, participants, answering, delays=None) -> (EcctState, RoundReport)`.
        `participants` are numbers of devices that get a downlink; `answering`, a subset of
        them, finish the round; `delays` are the rounds until the answer of each of those arrives,
        None for none.
      stage_of: `(round_number) -> Stage`.
      cohort_rounds: `() -> CohortRounds`, built at the first call; only this needs the engine, so
        that a process can be read (its cohorts, their work) where TFF is not installed.
    """

    cohorts: tuple[Cohort, ...]
    initialize: Callable[[int], EcctState]
    next: Callable[..., tuple[EcctState, RoundReport]]
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
    own_bytes: npt.NDArray[np.int64] | None = None,
    num_users: int,
    num_earlier: int = 0,
    stage_1_rounds: int,
    server: ServerConfig,
    runtime: RuntimeConfig,
    starts: Mapping[Tier, npt.NDArray[np.float32]] | None = None,
    witness: Witness | None = None,
    section: str | None = None,
    asynchronous: bool = False,
    cloud_buffer: int = 0,
    attack: Attack | None = None,
    only_asked: bool = False,
    half_life: float = 5.0,
    stages: Stages | None = None,
    share_every: int = 1,
) -> EcctProcess:
    """Composes the process.

    Args:
      works: for each cohort its stage 2 work and its devices; stage 1 is derived from it.
      table: the item table as devices received it.
      table_bytes: size on the wire of what all devices fetch of it.
      own_bytes: `[users] int64`, of what the device of each user fetches beside it; None for
        nothing.
      num_users: users of the dataset, the length of the knowledge store.
      num_earlier: answers of each user that the store keeps beside the newest.
      stage_1_rounds: rounds before logits cross.
      server: how shared weights are averaged.
      runtime: how shards are formed, and by which engine rounds run.
      starts: starting weights by tier, `[P] float32`, which cross with the item table in the
        codec of the weights; a tier that is missing starts at random.
      witness: sees what devices did in each round.
      section: of the settings, where the rates are in one of their own.
      asynchronous: whether answers may arrive in later rounds; with a buffer of the server they do.
      cloud_buffer: uplinks for which the cloud waits before it learns; 0 to learn in each round.
      attack: what poisoned devices send instead of what they found.
      only_asked: whether an uplink for other items than the cloud asked about is refused.
      half_life: rounds after which a sum over devices counts half.
      stages: functions that make stages of a round in place of the library's; None for those that
        `server.stages` names, or the library's own.
      share_every: rounds between two means of the shared weights.

    Raises:
      ConfigError: when there is no device, when cohorts exchange different payloads, or when the
        process cannot have `stages`.

    A round raises `DivergenceError` when training leaves the finite numbers.
    """
    if not works or not all(len(devices) for _, devices in works):
        raise ConfigError("an ECCT process needs at least one cohort, and no cohort may be empty")
    exchange = works[0][0].exchange
    directions = (works[0][0].receives, works[0][0].sends)
    if any(
        work.exchange != exchange or (work.receives, work.sends) != directions for work, _ in works
    ):
        raise ConfigError("all cohorts must exchange payloads of one specification")
    schedule = ShareSchedule(share_every)
    firsts = np.cumsum([0] + [len(devices) for _, devices in works])
    cohorts = tuple(
        Cohort(
            dataclasses.replace(work, waits=schedule.waits and work.shared_size > 0),
            devices,
            int(first),
            _received_start(work, starts or {}),
        )
        for (work, devices), first in zip(works, firsts, strict=False)
    )

    place = f"{section}.server" if section else "server"
    late = asynchronous or server.buffer > 0
    own = process_stages(
        stages,
        server,
        section=place,
        runtime=runtime,
        late=late,
        witnessed=witness is not None,
        share_every=share_every,
    )

    @functools.cache
    def cohort_rounds() -> "CohortRounds":
        from ecct_tf.federated.rounds import CohortRounds

        return CohortRounds(
            cohorts,
            table=table,
            server=server,
            runtime=runtime,
            section=place,
            asynchronous=late,
            attack=attack,
            stages=own,
        )

    summed = works[0][0].sums is not None
    traffic = RoundTraffic(
        cohorts,
        table_bytes=table_bytes,
        own_bytes=own_bytes,
        sent_bytes=None if own is None else sent_bytes(own, cohorts, server),
    )

    def stage_of(round_number: int) -> Stage:
        return 1 if round_number < stage_1_rounds else 2

    def initialize(seed: int) -> EcctState:
        return EcctState(
            cohorts=tuple(_initial(cohort, seed) for cohort in cohorts),
            knowledge=KnowledgeStore.empty(
                num_users=num_users,
                num_queries=exchange.num_queries,
                embedding_dim=exchange.embedding_dim if exchange.with_embeddings else 0,
                num_earlier=num_earlier,
                by_row=True,
            ),
            fetched=np.zeros(int(firsts[-1]), np.bool_),
            round_number=0,
            items=ItemMeans.none(table.num_items, exchange.embedding_dim) if summed else None,
            shares=schedule.none(int(firsts[-1])),
        )

    def aggregated(stage: Stage, measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """What aggregators and own stages of cohorts measure; by tier where there are several."""
        if own is None and server.aggregator == MEAN:
            return {}
        return {
            name if len(cohorts) == 1 else f"{cohort.work.model.tier}_{name}": each.get(
                name, math.nan
            )
            for index, (cohort, each) in enumerate(zip(cohorts, measured, strict=True))
            for name in cohort_rounds().measurements(index, stage)
        }

    def next_round(
        state: EcctState,
        cloud: Cloud,
        participants: Ids,
        answering: Ids,
        delays: Ids | None = None,
    ) -> tuple[EcctState, RoundReport]:
        check_participants(participants, answering, int(firsts[-1]))
        number = state.round_number
        late = checked_delays(delays, answering, asynchronous=asynchronous)
        stage = stage_of(number)
        crosses = schedule.sends(number)
        done = [
            run_cohort(
                index,
                cohort,
                state.cohorts[index],
                stage=stage,
                round_number=number,
                cloud=cloud,
                members=cohort.members(answering),
                delays=late[cohort.holds(answering)],
                server=server,
                rounds=cohort_rounds,
                rates=_rates(cohort.work, server, section=section),
                witness=witness,
                attack=attack,
                only_asked=only_asked,
                crosses=crosses,
            )
            for index, cohort in enumerate(cohorts)
        ]
        sent = [
            sent_uplinks(
                index, cohorts[index], each.uplink, number, answering=answering, delays=late
            )
            for index, each in enumerate(done)
            if each.uplink is not None
        ]
        arrived, uplinks = arriving([*state.uplinks, *sent], round_number=number)
        knowledge = state.knowledge
        for each in arrived:
            work = cohorts[each.cohort].work.in_stage(stage_of(each.round_number))
            rows = decode_rows(work, each.uplink)
            knowledge = knowledge.updated(rows, round_number=each.round_number)
        unlearned = state.unlearned + sum(len(each.arrives) for each in arrived)
        asked, items = [each.asked for each in done if each.asked is not None], state.items
        if items is not None:
            items, made = rows_of_sums(
                items, asked, cloud, round_number=number, half_life=half_life
            )
            for rows in made:
                knowledge = knowledge.updated(rows, round_number=number)
                unlearned += len(rows.users)
        measured: Mapping[str, float] = {}
        if unlearned >= cloud_buffer:
            measured = cloud.update(knowledge, round_number=number, use_logits=stage == 2)
            unlearned = 0
        answers = state.answers.with_round(answering, round_number=number, delays=late)
        here, answers = answers.split(number)
        report = RoundReport(
            stage=stage if any(directions) else 0,
            devices=len(answering),
            train_loss=mean_loss(
                sum(each.loss for each in done), sum(each.weight for each in done)
            ),
            **traffic(
                stage,
                participants,
                answering,
                fetched=state.fetched,
                receiving=schedule.receiving(state.shares, participants, round_number=number),
                sends_weights=crosses,
                silent=sum(each.silent for each in done),
            ),
            cloud=measured,
            witnessed={} if witness is None else witness.measured(),
            aggregated=aggregated(stage, [each.measured for each in done]),
            sums=asked,
            uplinks=[(each.round_number, each.uplink) for each in arrived if len(each.arrives)],
            arrived=len(here.devices),
            under_way=len(answers.devices),
            mean_age=here.mean_age(number),
            refused=sum(each.refused for each in done),
            silent=sum(each.silent for each in done),
        )
        fetched = state.fetched.copy()
        fetched[participants] = True
        states = tuple(each.state for each in done)
        after = EcctState(
            cohorts=states,
            knowledge=knowledge,
            fetched=fetched,
            round_number=number + 1,
            answers=answers,
            uplinks=tuple(uplinks),
            unlearned=unlearned,
            items=items,
            shares=schedule.received(state.shares, participants, round_number=number),
        )
        return after, report

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
        private=TouchedRows(start[size:], length=len(cohort)),
        unshared=TouchedRows(np.zeros(size, np.float32), length=len(cohort))
        if cohort.work.waits
        else None,
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
    # Where no weights are shared neither their rate nor the server's decides anything.
    names = _RATES if work.shared_size else _RATES[1:]
    rates = {f"{own}.{name}": getattr(work.training, name) for name in names}
    local = {f"training.{name}": getattr(work.training, name) for name in ("optimizer", "epochs")}
    steps = {f"{averaged}.learning_rate": server.learning_rate} if work.shared_size else {}
    return {**rates, **local, **steps}
