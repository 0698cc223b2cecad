"""A round of one cohort: downlinks made, devices trained, uplinks received."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.federated.aggregators import Aggregated
from ecct_tf.federated.cloud_protocol import Cloud
from ecct_tf.federated.cohort import Cohort, CohortState, ServerState, Shard
from ecct_tf.federated.crossing import (
    decode_rows,
    make_downlinks,
    received_uplink,
    shared_as_received,
)
from ecct_tf.federated.device_work import Stage
from ecct_tf.federated.divergence import check_round
from ecct_tf.federated.witness import CohortRound, Witness
from ecct_tf.knowledge import Uplink, UplinkRows

if TYPE_CHECKING:
    from ecct_tf.federated.rounds import CohortRounds

__all__ = ["CohortDone", "run_cohort"]


@dataclasses.dataclass(frozen=True)
class CohortDone:
    """What a cohort's round yields.

    Attributes:
      state: of the cohort after it.
      rows: the uplinks, decoded; None where nobody answered.
      uplink: the same as encoded; None where nothing crossed.
      loss: sum of the devices' losses, weighted by their samples.
      weight: the samples behind it.
      measured: what the aggregator measured.
    """

    state: CohortState
    rows: UplinkRows | None = None
    uplink: Uplink | None = None
    loss: float = 0.0
    weight: float = 0.0
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)


def run_cohort(
    index: int,
    cohort: Cohort,
    state: CohortState,
    *,
    stage: Stage,
    round_number: int,
    cloud: Cloud,
    members: npt.NDArray[np.int64],
    rounds: Callable[[], "CohortRounds"],
    rates: Mapping[str, object],
    witness: Witness | None,
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
      rounds: the computations of the process, built at the first call.
      rates: the settings that decide whether training stays finite.
      witness: sees what the devices did.

    Raises:
      DivergenceError: training left the finite numbers.
    """
    if not len(members):
        return CohortDone(state)
    work = cohort.work.in_stage(stage)
    shards = rounds().shards(index, members)
    downlinks = make_downlinks(cloud, work, shards=shards, round_number=round_number)
    server, uplink, private, totals, aggregated = rounds().run(
        index,
        stage,
        members,
        server=state.server,
        private=[_private_rows(state, shard) for shard in shards],
        downlinks=downlinks,
        aggregator=state.aggregator,
    )
    loss, weight = (float(total) for total in totals)
    check_round(
        round_number=round_number,
        group=f"devices of the tier {work.model.tier}",
        devices=len(members),
        loss=loss,
        shared=server[0],
        settings=rates,
    )
    after = _updated(state, server, shards, private, aggregated)
    received = received_uplink(work, uplink)
    if witness is not None:
        witness.see(
            CohortRound(
                cohort=cohort,
                work=work,
                round_number=round_number,
                noise_seed=int(state.server.round_number),
                shared=shared_as_received(state.server.shared, work.weights_codec),
                shards=shards,
                downlinks=downlinks,
                before=state.private,
                after=after.private,
                uplink=received,
            )
        )
    return CohortDone(
        state=after,
        rows=decode_rows(work, received),
        uplink=received if work.sends else None,
        loss=loss,
        weight=weight,
        measured=aggregated.measured,
    )


def _updated(
    state: CohortState,
    server: Any,
    shards: Sequence[Shard],
    private: Sequence[Any],
    aggregated: Aggregated,
) -> CohortState:
    rows = state.private.copy()
    for shard, values in zip(shards, private, strict=True):
        rows[shard.members] = np.asarray(values)
    return CohortState(ServerState(*(np.asarray(part) for part in server)), rows, aggregated.state)


def _private_rows(state: CohortState, shard: Shard) -> npt.NDArray[np.float32]:
    """Private weights of a shard's devices, `[C, P_private]`, or `[P_private]` of a device."""
    stacked = shard.data.samples.ndim > 0
    rows: npt.NDArray[np.float32] = state.private[shard.members if stacked else shard.members[0]]
    return rows
