"""The ECCT process: cohorts of devices and a cloud that teach each other, composed and checked.

State goes in, state comes out: `ecct_state` says what it is, `ecct_round` what a round makes of it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RuntimeConfig, ServerConfig, Tier
from ecct_tf.config.aggregator_names import MEAN
from ecct_tf.errors import ConfigError
from ecct_tf.federated.algorithm import RoundReport
from ecct_tf.federated.attack import Attack
from ecct_tf.federated.cohort import Cohort
from ecct_tf.federated.crossing import shared_as_received
from ecct_tf.federated.device_set import DeviceSet
from ecct_tf.federated.device_work import DeviceWork, Stage
from ecct_tf.federated.ecct_round import EcctRound
from ecct_tf.federated.ecct_state import EcctState, initial_state
from ecct_tf.federated.named_stages import process_stages
from ecct_tf.federated.own_stages import Stages, sent_bytes
from ecct_tf.federated.sharing import ShareSchedule
from ecct_tf.federated.traffic import RoundTraffic
from ecct_tf.federated.witness import Witness
from ecct_tf.knowledge import ItemTable

if TYPE_CHECKING:
    from ecct_tf.federated.rounds import CohortRounds

__all__ = ["EcctProcess", "EcctState", "build_ecct_process"]


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
      section: section of the settings that holds the rates; None for `training` and `server`.
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

    rounds = EcctRound(
        cohorts,
        cohort_rounds=cohort_rounds,
        traffic=RoundTraffic(
            cohorts,
            table_bytes=table_bytes,
            own_bytes=own_bytes,
            sent_bytes=None if own is None else sent_bytes(own, cohorts, server),
        ),
        schedule=schedule,
        stage_1_rounds=stage_1_rounds,
        server=server,
        section=section,
        asynchronous=asynchronous,
        cloud_buffer=cloud_buffer,
        half_life=half_life,
        measures=own is not None or server.aggregator != MEAN,
        only_asked=only_asked,
        attack=attack,
        witness=witness,
        own_stages=own is not None,
    )

    def initialize(seed: int) -> EcctState:
        return initial_state(
            cohorts,
            seed=seed,
            num_users=num_users,
            num_items=table.num_items,
            num_earlier=num_earlier,
            schedule=schedule,
        )

    return EcctProcess(
        cohorts=cohorts,
        initialize=initialize,
        next=rounds,
        stage_of=rounds.stage_of,
        cohort_rounds=cohort_rounds,
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
