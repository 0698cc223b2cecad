"""Configuration of who takes part in a round, and when what devices send arrives."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.checks import at_least, numbers, one_of, positive, within
from ecct_tf.errors import ConfigError

__all__ = [
    "AvailabilityConfig",
    "DelayConfig",
    "DelayDistribution",
    "MembershipConfig",
    "ParticipationConfig",
    "SamplingName",
]

DelayDistribution = Literal["uniform", "geometric"]
SamplingName = Literal["uniform", "interactions"]


@dataclasses.dataclass(frozen=True)
class AvailabilityConfig:
    """When devices can be reached at all.

    Attributes:
      trace: CSV file with a line `user,from_round,to_round` for each time in which the device of a
        user can be reached, first and last round, counted from 1; a user without a line can never
        be reached. Null for no trace.
      rounds_per_day: rounds in a day, in which every device is awake for one stretch that begins at
        its own time (its time zone); 0 for devices that are always awake.
      awake_share: share of a day in which a device is awake.
    """

    trace: str | None = None
    rounds_per_day: int = 0
    awake_share: float = 0.5

    def __post_init__(self) -> None:
        section = "participation.availability"
        numbers(self, section)
        at_least(self, section, 0, "rounds_per_day")
        within(self, section, 0.0, 1.0, "awake_share")


@dataclasses.dataclass(frozen=True)
class MembershipConfig:
    """Devices that join late and devices that leave for good.

    Attributes:
      late_share: share of the devices that are not present from the start.
      late_rounds: a late device joins after 1 to this many rounds, each equally likely.
      leave_share: share of the devices that leave for good; what they have sent still arrives.
      leave_rounds: a leaving device stays for 1 to this many rounds after it has joined.
    """

    late_share: float = 0.0
    late_rounds: int = 5
    leave_share: float = 0.0
    leave_rounds: int = 5

    def __post_init__(self) -> None:
        section = "participation.membership"
        numbers(self, section)
        within(self, section, 0.0, 1.0, "late_share", "leave_share")
        at_least(self, section, 1, "late_rounds", "leave_rounds")


@dataclasses.dataclass(frozen=True)
class DelayConfig:
    """How many rounds later the answers of stragglers arrive.

    An answer is what a device sends at the end of a round: its uplink, and its change of shared
    weights. Its device takes part in no other round before it has arrived.

    Attributes:
      max_rounds: the longest delay; 0 for none, so every answer arrives in its own round.
      distribution: distribution of each answer's delay: `uniform` over 0 to `max_rounds`, or
        `geometric` from 0 on, cut at `max_rounds`.
      mean_rounds: mean of `geometric` before the cut.
    """

    max_rounds: int = 0
    distribution: DelayDistribution = "uniform"
    mean_rounds: float = 2.0

    def __post_init__(self) -> None:
        numbers(self, "participation.delay")
        at_least(self, "participation.delay", 0, "max_rounds", "mean_rounds")
        one_of(self, "participation.delay", "distribution", get_args(DelayDistribution))


@dataclasses.dataclass(frozen=True)
class ParticipationConfig:
    """Who takes part in a round.

    Attributes:
      devices_per_round: number of devices sampled without replacement; null for all.
      share: share of all devices to sample, instead of a number; null to use the number.
      sampling: `uniform`, or `interactions`: devices are drawn one after another with a probability
        proportional to their training interactions.
      dropout: share of the sampled devices that receive the downlink but never answer.
      delay: how much later answers arrive.
      availability: when devices can be reached.
      membership: who joins late and who leaves.
    """

    devices_per_round: int | None = None
    share: float | None = None
    sampling: SamplingName = "uniform"
    dropout: float = 0.0
    delay: DelayConfig = dataclasses.field(default_factory=DelayConfig)
    availability: AvailabilityConfig = dataclasses.field(default_factory=AvailabilityConfig)
    membership: MembershipConfig = dataclasses.field(default_factory=MembershipConfig)

    def __post_init__(self) -> None:
        numbers(self, "participation")
        if self.devices_per_round is not None:
            at_least(self, "participation", 1, "devices_per_round")
        if self.share is not None:
            positive(self, "participation", "share")
            within(self, "participation", 0.0, 1.0, "share")
            if self.devices_per_round is not None:
                raise ConfigError(
                    f"participation.share: expected null beside participation.devices_per_round="
                    f"{self.devices_per_round}, got {self.share}. Set one of the two to null."
                )
        one_of(self, "participation", "sampling", get_args(SamplingName))
        within(self, "participation", 0.0, 1.0, "dropout")

    def wanted(self, num_devices: int) -> int:
        """How many of so many devices are sampled in a round, if so many could take part.

        >>> ParticipationConfig(share=0.1).wanted(943), ParticipationConfig().wanted(943)
        (94, 943)
        """
        if self.share is not None:
            return max(1, round(self.share * num_devices))
        return min(self.devices_per_round or num_devices, num_devices)

    @property
    def asynchronous(self) -> bool:
        """Whether answers may arrive in later rounds.

        >>> ParticipationConfig().asynchronous
        False
        """
        return self.delay.max_rounds > 0
