"""Configuration of who takes part in a round, and when what devices send arrives."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.checks import at_least, numbers, one_of, within

__all__ = ["DelayConfig", "DelayDistribution", "ParticipationConfig"]

DelayDistribution = Literal["uniform", "geometric"]


@dataclasses.dataclass(frozen=True)
class DelayConfig:
    """How many rounds later the answers of stragglers arrive.

    An answer is what a device sends at the end of a round: its uplink, and its change of shared
    weights. Its device takes part in no other round before it has arrived.

    Attributes:
      max_rounds: the longest delay; 0 for none, so that every answer arrives in its own round.
      distribution: of the delay of each answer: `uniform` over 0 to `max_rounds`, or `geometric`
        from 0 on, cut at `max_rounds`.
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
      devices_per_round: sampled uniformly without replacement; null for all.
      dropout: share of the sampled devices that receive the downlink but never answer.
      delay: how much later answers arrive.
    """

    devices_per_round: int | None = None
    dropout: float = 0.0
    delay: DelayConfig = dataclasses.field(default_factory=DelayConfig)

    def __post_init__(self) -> None:
        numbers(self, "participation")
        if self.devices_per_round is not None:
            at_least(self, "participation", 1, "devices_per_round")
        within(self, "participation", 0.0, 1.0, "dropout")

    @property
    def asynchronous(self) -> bool:
        """Whether answers may arrive in later rounds.

        >>> ParticipationConfig().asynchronous
        False
        """
        return self.delay.max_rounds > 0
