"""Configuration of what devices tell the cloud of single items."""

import dataclasses

from ecct_tf.config.checks import at_least, numbers, positive

__all__ = ["RecentPopularityConfig"]


@dataclasses.dataclass(frozen=True)
class RecentPopularityConfig:
    """One federated sum before the first round: which items devices met lately.

    Each device sends one bit an item; the cloud reads the sum over devices alone, and the item
    table says it as one more attribute.

    Attributes:
      positions: largest number of a user's newest interactions that are told of, of those that the
        cloud does not know; 0 sends nothing. Null for as many as a device trains on
        (`samples.max_positions`) if the cloud knows older interactions, there are at least 100
        devices and at most 20,000 items, and for 0 otherwise, where devices tell of pairs of
        items, or if the run asks for noise or a bound on it (`docs/exchange.md`).
      noise_multiplier: Gaussian noise on the sum, as a multiple of the largest norm of what a user
        adds, the square root of `positions`; 0 for none.
      max_growth: how many times as popular as older interactions make expect an item may have
        become for all that devices say, a defence against those that push one; what they say
        beyond it is not believed. Null for any number.
    """

    positions: int | None = None
    noise_multiplier: float = 0.0
    max_growth: float | None = None

    def __post_init__(self) -> None:
        section = "exchange.recent_popularity"
        numbers(self, section)
        at_least(self, section, 0, "noise_multiplier")
        if self.max_growth is not None:
            positive(self, section, "max_growth")
        if self.positions is not None:
            at_least(self, section, 0, "positions")
