"""Which devices could take part in a round: members, awake, and reachable by a trace.

All of it is drawn for the devices of a run from its seed, once.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.config import ParticipationConfig
from ecct_tf.federated.availability_trace import Trace

__all__ = ["Population", "Presence"]

Ids = npt.NDArray[np.int64]

_JOINED, _AWAKE = 0x301D, 0xA3A6E
_FOR_GOOD = np.iinfo(np.int64).max


@dataclasses.dataclass(frozen=True)
class Population:
    """What a schedule may know of the devices.

    Attributes:
      interactions: `[devices] int64`, training interactions of all users of each.
      users: of each device, as the data names them; only a trace needs them.
    """

    interactions: Ids
    users: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.interactions)


@dataclasses.dataclass(frozen=True)
class Presence:
    """When each device could take part.

    Attributes:
      joins: `[devices] int64`, the first round of each, from 0.
      leaves: `[devices] int64`, the first round in which each is no longer there.
      wakes: `[devices] float64`, when the day of each begins, as a share of a day.
      rounds_per_day: 0 for devices that are always awake.
      awake_share: share of the day in which a device is awake.
      stretches: by device, the `(first, last)` rounds in which it can be reached; None for always.
    """

    joins: Ids
    leaves: Ids
    wakes: npt.NDArray[np.float64]
    rounds_per_day: int
    awake_share: float
    stretches: Sequence[Sequence[tuple[int, int]]] | None

    @classmethod
    def of(
        cls,
        config: ParticipationConfig,
        *,
        num_devices: int,
        seed: int,
        users: Sequence[Sequence[str]] = (),
        trace: Trace | None = None,
    ) -> "Presence":
        """Draws it.

        Args:
          config: who takes part.
          num_devices: devices of the run.
          seed: of the run.
          users: of each device, as the trace names them; only a trace needs them.
          trace: when devices can be reached; a device can while one of its users can.
        """
        own, day = config.membership, config.availability
        rng = np.random.default_rng([seed, _JOINED])
        joins = np.zeros(num_devices, np.int64)
        late = _some(rng, num_devices, own.late_share)
        joins[late] = rng.integers(1, own.late_rounds, len(late), endpoint=True)
        leaves = np.full(num_devices, _FOR_GOOD)
        gone = _some(rng, num_devices, own.leave_share)
        stay = rng.integers(1, own.leave_rounds, len(gone), endpoint=True)
        leaves[gone] = joins[gone] + stay
        return cls(
            joins=joins,
            leaves=leaves,
            wakes=np.random.default_rng([seed, _AWAKE]).random(num_devices),
            rounds_per_day=day.rounds_per_day,
            awake_share=day.awake_share,
            stretches=None if trace is None else _stretches(users, trace),
        )

    def at(self, round_number: int) -> npt.NDArray[np.bool_]:
        """`[devices] bool`, which could take part in a round, the first of which is 0."""
        there = (self.joins <= round_number) & (round_number < self.leaves)
        if self.rounds_per_day:
            time = (round_number / self.rounds_per_day - self.wakes) % 1.0
            there &= time < self.awake_share
        if self.stretches is not None:
            there &= np.array([_holds(own, round_number) for own in self.stretches], np.bool_)
        return there


def _holds(stretches: Sequence[tuple[int, int]], round_number: int) -> bool:
    return any(first <= round_number <= last for first, last in stretches)


def _some(rng: np.random.Generator, count: int, share: float) -> Ids:
    """Numbers of a share of the devices."""
    chosen: Ids = rng.permutation(count)[: int(np.floor(share * count))]
    return chosen


def _stretches(
    users: Sequence[Sequence[str]], trace: Mapping[str, Sequence[tuple[int, int]]]
) -> list[list[tuple[int, int]]]:
    return [[each for user in own for each in trace.get(user, ())] for own in users]
