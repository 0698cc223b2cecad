"""A cohort, the devices of one edge architecture, and the shards that a round makes of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.federated.changes import Changes
from ecct_tf.federated.device_set import DeviceSet
from ecct_tf.federated.device_work import DeviceWork
from ecct_tf.federated.devices import DeviceData, stack_devices
from ecct_tf.touched_rows import Rows

__all__ = ["Cohort", "CohortState", "ServerState", "Shard", "make_shards"]

Array = npt.NDArray[np.float32]


class ServerState(NamedTuple):
    """What the server keeps of a cohort between rounds.

    Attributes:
      shared: `[P_shared] float32`.
      first_moment: `[P_shared] float32`, of the server's optimiser.
      second_moment: `[P_shared] float32`.
      round_number: `[] int32`, rounds done.
    """

    shared: Any
    first_moment: Any
    second_moment: Any
    round_number: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Cohort:
    """Devices of one tier.

    Attributes:
      work: what they do in a round.
      devices: their data.
      first: number of its first device among the devices of all cohorts.
      start: `[P] float32`, starting weights that the cloud made and sends with the item table;
        None where devices start at random.
    """

    work: DeviceWork
    devices: DeviceSet
    first: int
    start: Array | None = None

    def initial(self, seed: int) -> Array:
        """`[P] float32`, what every device starts with: as received, or drawn from `seed`."""
        return self.work.model.layout.initial(seed) if self.start is None else self.start

    def members(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which of the devices `numbers` of all cohorts are here, by their numbers here."""
        return numbers[self.holds(numbers)] - self.first

    def holds(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """`[n] bool`, which of the devices `numbers` of all cohorts are here."""
        own = numbers - self.first
        return (own >= 0) & (own < len(self))

    def __len__(self) -> int:
        return len(self.devices)


@dataclasses.dataclass(frozen=True)
class CohortState:
    """What a cohort keeps between rounds.

    Attributes:
      server: shared weights and the server optimiser's state.
      private: `[devices, P_private] float32`; row d exists on device d only.
      aggregator: leaves of the state of an aggregator or of custom stages.
      changes: of shared weights, sent and not applied.
      unshared: `[devices, P_shared] float32`, each device's own change of the shared weights that
        it has not sent; row d exists on device d only. None where nothing waits on devices.
    """

    server: ServerState
    private: Rows
    aggregator: tuple[npt.NDArray[Any], ...] = ()
    changes: Changes = dataclasses.field(default_factory=Changes.none)
    unshared: Rows | None = None

    def weights(self, devices: npt.NDArray[np.int64] | slice = slice(None)) -> Array:
        """Whole weight vectors of `devices`, `[n, P] float32`."""
        private = self.private[devices]
        shared = np.broadcast_to(
            np.asarray(self.server.shared), (len(private), len(self.server.shared))
        )
        if self.unshared is not None:
            shared = shared + self.unshared[devices]
        joined: Array = np.concatenate([shared, private], axis=1)
        return joined


@dataclasses.dataclass(frozen=True)
class Shard:
    """One client value: numbers of its devices in the cohort, and their data."""

    members: npt.NDArray[np.int64]
    data: DeviceData


def make_shards(
    cohort: Cohort, members: Sequence[int], *, shard_size: int, batch_size: int
) -> tuple[Shard, ...]:
    """Puts devices of like size together, so that little is padded.

    Args:
      cohort: whose devices.
      members: numbers of the devices that take part.
      shard_size: devices in a shard; 0 makes client values of single devices, without a
        device axis.
      batch_size: of the local training; sample counts are padded to whole batches.
    """
    sizes = cohort.devices.outlines.samples
    order = sorted(members, key=lambda member: (-int(sizes[member]), member))
    # Prepared together, which takes less than shard by shard.
    devices = dict(zip(order, cohort.devices.of(order), strict=True))
    step = max(shard_size, 1)
    shards = []
    for start in range(0, len(order), step):
        group = np.array(order[start : start + step], np.int64)
        data = stack_devices([devices[member] for member in group], batch_size=batch_size)
        if not shard_size:
            data = DeviceData._make(np.asarray(array)[0] for array in data)
        shards.append(Shard(group, data))
    return tuple(shards)
