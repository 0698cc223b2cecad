"""Who takes part in each round of a run, and when what they send arrives.

All of it follows from the settings, the devices and the seed, so that a resumed run needs no state
of it: the rounds before are drawn again.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import DelayConfig, ParticipationConfig
from ecct_tf.errors import ConfigError
from ecct_tf.federated.availability_trace import Trace
from ecct_tf.federated.participation import draw_participants
from ecct_tf.federated.presence import Population, Presence

__all__ = ["RoundDraw", "Schedule"]

Ids = npt.NDArray[np.int64]

_DELAYED = 0xDE1A


class RoundDraw(NamedTuple):
    """Who takes part in a round.

    Attributes:
      participants: `[p] int64`, ascending numbers of the devices that get a downlink.
      answering: `[a] int64`, ascending, those of them that finish the round.
      delays: `[a] int64`, rounds until the answer of each of them arrives; 0 for the same round.
    """

    participants: Ids
    answering: Ids
    delays: Ids


class Schedule:
    """Draws the rounds of a run, one after another.

    Only devices that are members, awake and reachable take part, and none whose answer is still
    under way.

    Attributes:
      presence: when each device could take part.

    Example:
      >>> schedule = Schedule(ParticipationConfig(devices_per_round=2), num_devices=3, seed=0)
      >>> [len(part) for part in schedule.draw(0)]
      [2, 2, 2]
    """

    def __init__(
        self,
        config: ParticipationConfig,
        *,
        num_devices: int,
        seed: int,
        population: Population | None = None,
        trace: Trace | None = None,
    ) -> None:
        """A schedule.

        Args:
          config: who takes part.
          num_devices: devices of the run.
          seed: of the run.
          population: of the devices; needed where their users or their data decide.
          trace: when devices can be reached; needed where the configuration names one.

        Raises:
          ConfigError: what is needed is missing, or is of other devices.
        """
        availability = config.availability.trace is not None
        if availability != (trace is not None) or (trace is not None and population is None):
            raise ConfigError(
                "participation.availability.trace: expected the trace and the devices' users where "
                "it is set, and no trace otherwise"
            )
        if population is not None and len(population) != num_devices:
            raise ConfigError(f"population: expected {num_devices} devices, got {len(population)}")
        self.presence = Presence.of(
            config,
            num_devices=num_devices,
            seed=seed,
            users=() if population is None else population.users,
            trace=trace,
        )
        self._interactions = None if population is None else population.interactions
        self._config = config
        self._num_devices = num_devices
        self._seed = seed
        self._restart()

    def _restart(self) -> None:
        self._next = 0
        # The first round in which each device is free again.
        self._free: Ids = np.zeros(self._num_devices, np.int64)
        nobody = np.zeros(0, np.int64)
        self._drawn = RoundDraw(nobody, nobody, nobody)

    def draw(self, round_number: int) -> RoundDraw:
        """The draw of a round, the first of which is 0.

        At least one device answers, if any takes part, unless `dropout` is 1.
        """
        if round_number < self._next - 1:
            self._restart()
        while self._next <= round_number:
            self._drawn = self._draw_next()
            self._next += 1
        return self._drawn

    def _draw_next(self) -> RoundDraw:
        number, config = self._next, self._config
        participants, answering = draw_participants(
            config,
            num_devices=self._num_devices,
            seed=self._seed,
            round_number=number,
            present=np.flatnonzero(self.presence.at(number) & (self._free <= number)),
            interactions=self._interactions,
        )
        delays = self._delays(number)[answering]
        late = delays > 0
        self._free[answering[late]] = number + delays[late] + 1
        return RoundDraw(participants, answering, delays)

    def _delays(self, number: int) -> Ids:
        """`[devices] int64`, the delay that each device's answer of a round would have."""
        rng = np.random.default_rng([self._seed, _DELAYED, number])
        return draw_delays(self._config.delay, rng, count=self._num_devices)


def draw_delays(config: DelayConfig, rng: np.random.Generator, *, count: int) -> Ids:
    """`[count] int64`, delays in rounds.

    >>> draw_delays(DelayConfig(), np.random.default_rng(0), count=3).tolist()
    [0, 0, 0]
    """
    if not config.max_rounds:
        return np.zeros(count, np.int64)
    if config.distribution == "uniform":
        return rng.integers(0, config.max_rounds, count, np.int64, endpoint=True)
    # NumPy's counts the attempts up to the first success, from 1 on.
    drawn = rng.geometric(1.0 / (1.0 + config.mean_rounds), count).astype(np.int64) - 1
    return np.minimum(drawn, config.max_rounds)
