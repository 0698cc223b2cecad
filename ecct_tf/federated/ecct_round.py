"""A round of ECCT: cohorts train and answer, their uplinks arrive, and the cloud learns from them.

The cloud makes downlinks for the participating devices; each cohort's computation distributes
them, trains the devices, aggregates their uplinks and finalizes the shared weights; the uplinks
enter the knowledge store; the cloud learns from it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import ServerConfig
from ecct_tf.federated.algorithm import RoundReport, mean_loss
from ecct_tf.federated.attack import Attack
from ecct_tf.federated.cloud_protocol import Cloud
from ecct_tf.federated.cohort import Cohort
from ecct_tf.federated.cohort_round import CohortDone, run_cohort
from ecct_tf.federated.crossing import decode_rows, shared_as_received
from ecct_tf.federated.device_work import DeviceWork, Stage
from ecct_tf.federated.ecct_state import EcctState
from ecct_tf.federated.item_rows import Asked, rows_of_sums
from ecct_tf.federated.participation import check_participants
from ecct_tf.federated.sharing import ShareSchedule
from ecct_tf.federated.traffic import RoundTraffic
from ecct_tf.federated.under_way import SentUplinks, arriving, checked_delays, sent_uplinks
from ecct_tf.federated.witness import Witness
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.item_means import ItemMeans

if TYPE_CHECKING:
    from ecct_tf.federated.rounds import CohortRounds

__all__ = ["EcctRound"]

Ids = npt.NDArray[np.int64]

_RATES = ("learning_rate", "private_learning_rate")


class _Knowledge(NamedTuple):
    """What the cloud has after a round, and what it learned.

    Attributes:
      store: what it keeps of the uplinks.
      items: what it knows of items by sums over devices; None where rows leave devices.
      unlearned: uplinks that arrived since it last learned.
      measured: by its update; empty where it waits.
    """

    store: KnowledgeStore
    items: ItemMeans | None
    unlearned: int
    measured: Mapping[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class EcctRound:
    """The rounds of a process: a state goes in, the next state and a report come out.

    Attributes:
      cohorts: the devices by architecture.
      cohort_rounds: the computations of the process, built at the first call.
      traffic: counts bytes.
      schedule: in which rounds shared weights cross.
      stage_1_rounds: rounds before logits cross.
      server: how shared weights are averaged.
      section: section of the settings that holds the rates; None for `training` and `server`.
      asynchronous: whether answers may arrive in later rounds.
      cloud_buffer: uplinks for which the cloud waits before it learns; 0 to learn in each round.
      half_life: rounds after which a sum over devices counts half.
      measures: whether the aggregator or custom stages may measure something.
      only_asked: whether an uplink for other items than the cloud asked about is refused.
      attack: what poisoned devices send instead of what they found.
      witness: sees what devices did in each round.
      own_stages: whether stages that are not the library's decide what devices receive.
    """

    cohorts: tuple[Cohort, ...]
    _: dataclasses.KW_ONLY
    cohort_rounds: Callable[[], "CohortRounds"]
    traffic: RoundTraffic
    schedule: ShareSchedule
    stage_1_rounds: int
    server: ServerConfig
    section: str | None
    asynchronous: bool
    cloud_buffer: int
    half_life: float
    measures: bool
    only_asked: bool
    attack: Attack | None
    witness: Witness | None
    own_stages: bool

    def stage_of(self, round_number: int) -> Stage:
        """The stage of the exchange in a round."""
        return 1 if round_number < self.stage_1_rounds else 2

    def __call__(
        self,
        state: EcctState,
        cloud: Cloud,
        participants: Ids,
        answering: Ids,
        delays: Ids | None = None,
    ) -> tuple[EcctState, RoundReport]:
        """Does a round.

        Args:
          state: before it; not changed.
          cloud: embeds, asks and learns.
          participants: numbers of the devices that get a downlink.
          answering: those of them that finish the round.
          delays: rounds until the answer of each of those arrives; None for none.

        Raises:
          ConfigError: no such devices can take part, or answers may not be late.
          DivergenceError: training left the finite numbers.
        """
        check_participants(participants, answering, sum(len(cohort) for cohort in self.cohorts))
        number = state.round_number
        late = checked_delays(delays, answering, asynchronous=self.asynchronous)
        stage, crosses = self.stage_of(number), self.schedule.sends(number)
        done = self._run_cohorts(state, cloud, answering, delays=late)
        sent = [
            sent_uplinks(
                index, self.cohorts[index], each.uplink, number, answering=answering, delays=late
            )
            for index, each in enumerate(done)
            if each.uplink is not None
        ]
        arrived, uplinks = arriving([*state.uplinks, *sent], round_number=number)
        asked = [each.asked for each in done if each.asked is not None]
        learned = self._learn(state, cloud, arrived, asked)
        answers = state.answers.with_round(answering, round_number=number, delays=late)
        here, answers = answers.split(number)
        silent = sum(each.silent for each in done)
        work = self.cohorts[0].work
        behind = sum(each.weight for each in done)
        report = RoundReport(
            stage=stage if work.receives or work.sends else 0,
            devices=len(answering),
            train_loss=mean_loss(sum(each.loss for each in done), behind),
            target_losses={
                name: mean_loss(sum(each.target_losses.get(name, 0.0) for each in done), behind)
                for name in work.task.targets
            },
            **self.traffic(
                stage,
                participants,
                answering,
                fetched=state.fetched,
                receiving=self._receiving(state, participants),
                sends_weights=crosses,
                silent=silent,
            ),
            cloud=learned.measured,
            witnessed={} if self.witness is None else self.witness.measured(),
            aggregated=self._aggregated(stage, [each.measured for each in done]),
            sums=asked,
            uplinks=[(each.round_number, each.uplink) for each in arrived if len(each.arrives)],
            arrived=len(here.devices),
            under_way=len(answers.devices),
            mean_age=here.mean_age(number),
            refused=sum(each.refused for each in done),
            silent=silent,
        )
        fetched = state.fetched.copy()
        fetched[participants] = True
        after = EcctState(
            cohorts=tuple(each.state for each in done),
            knowledge=learned.store,
            fetched=fetched,
            round_number=number + 1,
            answers=answers,
            uplinks=tuple(uplinks),
            unlearned=learned.unlearned,
            items=learned.items,
            shares=self.schedule.received(state.shares, participants, round_number=number),
        )
        return after, report

    def _receiving(self, state: EcctState, participants: Ids) -> npt.NDArray[np.bool_]:
        """`[participants] bool`: who is sent the mean; nobody whose start still is it."""
        number = state.round_number
        receiving = self.schedule.receiving(state.shares, participants, round_number=number)
        for cohort, held in zip(self.cohorts, state.cohorts, strict=True):
            if not self.own_stages and _still_starts(cohort, held.server.shared):
                receiving &= ~cohort.holds(participants)
        return receiving

    def _run_cohorts(
        self, state: EcctState, cloud: Cloud, answering: Ids, *, delays: Ids
    ) -> list[CohortDone]:
        number = state.round_number
        return [
            run_cohort(
                index,
                cohort,
                state.cohorts[index],
                stage=self.stage_of(number),
                round_number=number,
                cloud=cloud,
                members=cohort.members(answering),
                delays=delays[cohort.holds(answering)],
                server=self.server,
                rounds=self.cohort_rounds,
                rates=_rates(cohort.work, self.server, section=self.section),
                witness=self.witness,
                attack=self.attack,
                only_asked=self.only_asked,
                crosses=self.schedule.sends(number),
            )
            for index, cohort in enumerate(self.cohorts)
        ]

    def _learn(
        self,
        state: EcctState,
        cloud: Cloud,
        arrived: Sequence[SentUplinks],
        asked: Sequence[Asked],
    ) -> _Knowledge:
        """Takes in the uplinks and sums that have arrived; the cloud learns where it has enough."""
        number, knowledge = state.round_number, state.knowledge
        for each in arrived:
            work = self.cohorts[each.cohort].work.in_stage(self.stage_of(each.round_number))
            rows = decode_rows(work, each.uplink)
            knowledge = knowledge.updated(rows, round_number=each.round_number)
        unlearned = state.unlearned + sum(len(each.arrives) for each in arrived)
        items = state.items
        if items is not None:
            items, made = rows_of_sums(
                items, asked, cloud, round_number=number, half_life=self.half_life
            )
            for rows in made:
                knowledge = knowledge.updated(rows, round_number=number)
                unlearned += len(rows.users)
        if unlearned < self.cloud_buffer:
            return _Knowledge(knowledge, items, unlearned, {})
        use_logits = self.stage_of(number) == 2
        measured = cloud.update(knowledge, round_number=number, use_logits=use_logits)
        return _Knowledge(knowledge, items, 0, measured)

    def _aggregated(
        self, stage: Stage, measured: Sequence[Mapping[str, float]]
    ) -> dict[str, float]:
        """What aggregators and own stages of cohorts measure; by tier where there are several."""
        if not self.measures:
            return {}
        rounds, alone = self.cohort_rounds(), len(self.cohorts) == 1
        return {
            name if alone else f"{cohort.work.model.tier}_{name}": each.get(name, math.nan)
            for index, (cohort, each) in enumerate(zip(self.cohorts, measured, strict=True))
            for name in rounds.measurements(index, stage)
        }


def _rates(work: DeviceWork, server: ServerConfig, *, section: str | None) -> dict[str, object]:
    """The settings that decide whether training stays finite."""
    own, averaged = section or "training", f"{section}.server" if section else "server"
    # Where no weights are shared neither their rate nor the server's decides anything.
    names = _RATES if work.shared_size else _RATES[1:]
    rates = {f"{own}.{name}": getattr(work.training, name) for name in names}
    local = {f"training.{name}": getattr(work.training, name) for name in ("optimizer", "epochs")}
    steps = {f"{averaged}.learning_rate": server.learning_rate} if work.shared_size else {}
    return {**rates, **local, **steps}


def _still_starts(cohort: Cohort, shared: npt.NDArray[np.float32]) -> bool:
    """Whether devices that are sent the mean would get the weights that they start with."""
    start = None if cohort.start is None else cohort.start[: shared.size]
    if start is None or not np.array_equal(shared, start):
        return False
    # A codec with one scale for all weights writes a part of them otherwise.
    return np.array_equal(shared_as_received(shared, cohort.work.weights_codec), start)
