"""A round of one cohort: downlinks made, devices trained, uplinks received."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import ServerConfig
from ecct_tf.federated.attack import Attack
from ecct_tf.federated.changes import sent_changes
from ecct_tf.federated.cloud_protocol import Cloud
from ecct_tf.federated.cohort import Cohort, CohortState, ServerState, Shard
from ecct_tf.federated.crossing import (
    answers_as_asked,
    make_downlinks,
    received_sums,
    received_uplink,
    shared_as_received,
)
from ecct_tf.federated.device_work import DeviceWork, Stage
from ecct_tf.federated.divergence import check_round
from ecct_tf.federated.item_rows import Asked
from ecct_tf.federated.server import apply_arrived
from ecct_tf.federated.under_way import rows_of
from ecct_tf.federated.witness import CohortRound, Witness
from ecct_tf.knowledge import Uplink
from ecct_tf.touched_rows import with_rows

if TYPE_CHECKING:
    from ecct_tf.federated.rounds import CohortRounds

__all__ = ["CohortDone", "run_cohort"]

Ids = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class CohortDone:
    """What a cohort's round yields.

    Attributes:
      state: of the cohort after it.
      work: what its devices did, in the stage of the round.
      uplink: what they sent, as encoded, one row a user; None where nobody answered, or where
        only sums leave devices.
      asked: the sum of what they sent, and what they were asked; None where nobody answered, or
        where rows leave devices.
      loss: sum of the devices' losses, weighted by their samples.
      target_losses: of each further target likewise, before its weight in the loss.
      weight: the samples behind it.
      measured: what the aggregator or custom stages measured.
      refused: uplinks that answer for other items than the cloud asked about.
      silent: users whose devices answered without an uplink, which would have told little.
    """

    state: CohortState
    work: DeviceWork
    uplink: Uplink | None = None
    asked: Asked | None = None
    loss: float = 0.0
    target_losses: Mapping[str, float] = dataclasses.field(default_factory=dict)
    weight: float = 0.0
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)
    refused: int = 0
    silent: int = 0


def run_cohort(
    index: int,
    cohort: Cohort,
    state: CohortState,
    *,
    stage: Stage,
    round_number: int,
    cloud: Cloud,
    members: Ids,
    delays: Ids,
    server: ServerConfig,
    rounds: Callable[[], "CohortRounds"],
    rates: Mapping[str, object],
    witness: Witness | None,
    attack: Attack | None = None,
    only_asked: bool = False,
    crosses: bool = True,
) -> CohortDone:
    """Runs a round of one cohort.

    Args:
      index: of the cohort in its process.
      cohort: its devices and their work.
      state: before the round; not changed.
      stage: of the exchange.
      round_number: rounds done before this one.
      cloud: embeds and asks.
      members: numbers in the cohort of its devices that answer.
      delays: rounds until the answer of each of them arrives.
      server: how changes of shared weights are applied.
      rounds: the computations of the process, built at the first call.
      rates: the settings that decide whether training stays finite.
      witness: sees what the devices did.
      attack: what poisoned devices send instead, which the witness does not see.
      only_asked: whether answers for other items than the cloud asked about are refused.
      crosses: whether changes of shared weights cross in this round.

    Raises:
      DivergenceError: training left the finite numbers.
    """
    work = cohort.work.in_round(stage, crosses=crosses)
    if not len(members):
        # What is late waits at the server as what is early waits on devices.
        waits = _with_arrived(state, round_number, server) if work.crosses else state
        return CohortDone(waits, work)
    shards = rounds().shards(index, members, delays)
    collects = rounds().collects(index)
    begun = state.server
    if collects:
        # The server's own count stands still while it waits, and noise would be drawn twice.
        begun = begun._replace(round_number=np.int32(round_number))
    downlinks = make_downlinks(cloud, work, shards=shards, round_number=round_number)
    settled, uplink, private, totals, aggregated = rounds().run(
        index,
        stage,
        members,
        delays=delays,
        server=begun,
        private=[_private_rows(state, shard) for shard in shards],
        downlinks=downlinks,
        kept=state.aggregator,
        crosses=work.crosses,
    )
    loss, *of_targets = np.atleast_1d(np.asarray(totals[0])).tolist()
    weight = float(totals[1])
    after = _with_private(state, shards, private)
    if collects and work.crosses:
        sent = sent_changes(
            settled,
            [shard.members for shard in shards],
            arrives=[round_number + _delay_of(shard, members, delays) for shard in shards],
            version=int(state.server.round_number),
            size=work.shared_size,
        )
        after = dataclasses.replace(after, changes=state.changes.and_(sent))
        after = _with_arrived(after, round_number, server)
    elif not collects:
        applied = ServerState(*(np.asarray(part) for part in settled))
        after = dataclasses.replace(after, server=applied, aggregator=aggregated.state)
    check_round(
        round_number=round_number,
        group=f"devices of the tier {work.model.tier}",
        devices=len(members),
        loss=loss,
        shared=after.server.shared,
        settings=rates,
    )
    done = CohortDone(
        after,
        work,
        loss=loss,
        target_losses=dict(zip(work.task.targets, of_targets, strict=True)),
        weight=weight,
        measured=aggregated.measured,
    )
    if work.sums is not None:
        asked = received_sums(
            work,
            uplink,
            items=rounds().table,
            shards=shards,
            downlinks=downlinks,
            salt=int(begun.round_number),
        )
        return dataclasses.replace(done, asked=asked)
    received = received_uplink(work, uplink)
    silent = 0
    if work.speak_above:
        asked_users = sum(int((shard.data.users >= 0).sum()) for shard in shards)
        silent = asked_users - len(received.users)
    if witness is not None:
        witness.see(
            CohortRound(
                cohort=cohort,
                work=work,
                round_number=round_number,
                noise_seed=int(begun.round_number),
                shared=shared_as_received(state.server.shared, work.weights_codec),
                shards=shards,
                downlinks=downlinks,
                before=state.private,
                unshared=state.unshared,
                after=after.private,
                uplink=received,
            )
        )
    if attack is not None:
        received = attack.forged(work.exchange, received)
    refused = 0
    if only_asked:
        kept = answers_as_asked(received, shards=shards, downlinks=downlinks)
        refused = int((~kept).sum())
        received = rows_of(received, kept) if refused else received
    return dataclasses.replace(done, uplink=received, refused=refused, silent=silent)


def _with_private(
    state: CohortState, shards: Sequence[Shard], private: Sequence[Any]
) -> CohortState:
    shared = 0 if state.unshared is None else state.unshared.shape[1]
    size = shared + state.private.shape[1]
    members = np.concatenate([shard.members for shard in shards])
    values = np.concatenate(
        [
            np.reshape(each, (len(shard.members), size))
            for shard, each in zip(shards, private, strict=True)
        ]
    )
    if state.unshared is None:
        return dataclasses.replace(state, private=with_rows(state.private, members, values))
    return dataclasses.replace(
        state,
        private=with_rows(state.private, members, values[:, shared:]),
        unshared=with_rows(state.unshared, members, values[:, :shared]),
    )


def _with_arrived(state: CohortState, round_number: int, config: ServerConfig) -> CohortState:
    """The state after the server's step, if what has arrived is enough for one."""
    server, changes = apply_arrived(
        state.server, state.changes, round_number=round_number, config=config
    )
    return dataclasses.replace(state, server=server, changes=changes)


def _delay_of(shard: Shard, members: Ids, delays: Ids) -> int:
    """The one delay of a shard's devices."""
    return int(delays[members == shard.members[0]][0])


def _private_rows(state: CohortState, shard: Shard) -> npt.NDArray[np.float32]:
    """What a shard's devices keep: `[C, P_private]`, or `[P_private]` of a device.

    Changes that wait stand in front of it.
    """
    stacked = shard.data.samples.ndim > 0
    chosen = shard.members if stacked else shard.members[0]
    rows: npt.NDArray[np.float32] = state.private[chosen]
    if state.unshared is None:
        return rows
    return np.concatenate([state.unshared[chosen], rows], axis=-1)
