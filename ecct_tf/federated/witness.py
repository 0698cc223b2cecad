"""A witness of rounds: it sees what a cohort's devices got, did and sent, and changes nothing.

So that real devices can be held against the simulated ones, and what crosses can be
logged, without the process knowing of either.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.federated.cohort import Cohort, Shard
from ecct_tf.federated.device_work import DeviceWork
from ecct_tf.federated.devices import DeviceData
from ecct_tf.knowledge import Downlink, Uplink
from ecct_tf.touched_rows import Rows

__all__ = ["CohortRound", "SimulatedDevice", "Witness"]

Array = npt.NDArray[np.float32]


class SimulatedDevice(NamedTuple):
    """One device in a round; it has one user.

    Attributes:
      number: in its cohort.
      data: its samples.
      before: `[P] float32`, weights that it began with.
      private: `[P_private] float32`, private weights that it ended with.
      downlink: what it received: encoded `[d_c]` and, for int8, `[1]`, or rows `[K, …]`; queries
        `[Q]`.
      uplink: what it sent, as one row, encoded.
    """

    number: int
    data: DeviceData
    before: Array
    private: Array
    downlink: Downlink
    uplink: Uplink


@dataclasses.dataclass(frozen=True)
class CohortRound:
    """What a cohort did in a round.

    Attributes:
      cohort: which.
      work: what its devices did, in the stage of the round.
      round_number: rounds done before it.
      noise_seed: from which devices drew their noise, if any.
      shared: `[P_shared] float32`, the shared weights as devices received them.
      shards: the devices that answered.
      downlinks: one for each shard, encoded.
      before: `[devices, P_private] float32`, private weights of the whole cohort.
      after: the same after the round.
      unshared: `[devices, P_shared] float32`, changes that waited on the devices of the cohort
        before the round; None where none do.
      uplink: all rows, encoded, in any order of users.
    """

    cohort: Cohort
    work: DeviceWork
    round_number: int
    noise_seed: int
    shared: Array
    shards: tuple[Shard, ...]
    downlinks: list[Downlink]
    before: Rows
    after: Rows
    uplink: Uplink
    unshared: Rows | None = None

    def devices(self, count: int) -> Iterator[SimulatedDevice]:
        """The first `count` answering devices, by their number, of those with one user."""
        rows = {int(user): row for row, user in enumerate(self.uplink.users)}
        places = {
            int(member): (shard, place)
            for shard, found in enumerate(self.shards)
            for place, member in enumerate(found.members)
        }
        users = np.bincount(self.cohort.devices.outlines.owners, minlength=len(self.cohort))
        chosen = sorted(member for member in places if users[member] == 1)
        for member in chosen[:count]:
            data = self.cohort.devices.devices[member]
            shard, place = places[member]
            downlink = self.downlinks[shard]
            stacked = self.shards[shard].data.samples.ndim > 0
            # Without a device axis a shard is the device itself; then the users' axis, of one.
            where = (place, 0) if stacked else (0,)
            row = rows.get(int(data.users[0]))
            shared = self.shared
            if self.unshared is not None:
                shared = shared + self.unshared[member]
            own = slice(0, 0) if row is None else slice(row, row + 1)
            yield SimulatedDevice(
                number=member,
                data=data,
                before=np.concatenate([shared, self.before[member]]),
                private=self.after[member],
                downlink=_of_one(downlink, where),
                uplink=Uplink(
                    self.uplink.users[own],
                    self.uplink.items[own],
                    tuple(part[own] for part in self.uplink.embeddings),
                    tuple(part[own] for part in self.uplink.logits),
                ),
            )


def _of_one(downlink: Downlink, where: tuple[int, ...]) -> Downlink:
    found: Downlink = tf.nest.map_structure(lambda part: part[where], downlink)
    return found


class Witness(Protocol):
    """Sees every cohort of a round, then tells what it measured."""

    def see(self, seen: CohortRound) -> None:
        """Looks at one cohort's round."""
        ...

    def measured(self) -> Mapping[str, float]:
        """Measurements since the last call, by name: columns of `metrics.csv`."""
        ...
