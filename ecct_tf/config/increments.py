"""Configuration of what devices tell the cloud of items that go together."""

import dataclasses

from ecct_tf.config.checks import at_least, numbers, positive
from ecct_tf.errors import ConfigError

__all__ = ["IncrementConfig"]

_MOST_BITS = 24


@dataclasses.dataclass(frozen=True)
class IncrementConfig:
    """One federated sum before the first round: what devices know about pairs of items.

    Each device counts what came shortly before its newest interactions, which the cloud never
    sees, into a sketch of fixed size; the cloud reads the sum alone and refits the item-to-item
    blocks of the item table with it.

    Attributes:
      positions: number of a user's newest interactions that are counted, of those that the cloud
        does not know, such as 4; 0 sends nothing. Null for 4 if histories are short, the sum is
        readable and there are at least 100 devices, and for 0 otherwise, or if the run asks for
        noise or a bound on it (`docs/exchange.md`).
      rows: hash functions of the sketch: a pair is added to one bucket of each row.
      width: buckets of a row, a power of two. Few buckets confuse pairs; a device sends all of
        them, used or not.
      bits: bits of one number that a device sends, including its sign; larger values are clipped.
      clip_norm: largest Euclidean norm of what one device sends, where an interaction counts 1.
      noise_multiplier: Gaussian noise on the sum, as a multiple of `clip_norm`; 0 for none.
    """

    positions: int | None = None
    rows: int = 4
    width: int = 16384
    bits: int = 9
    clip_norm: float = 8.0
    noise_multiplier: float = 0.0

    def __post_init__(self) -> None:
        section = "exchange.item_increments"
        numbers(self, section)
        at_least(self, section, 0, "noise_multiplier")
        if self.positions is not None:
            at_least(self, section, 0, "positions")
        at_least(self, section, 1, "rows")
        at_least(self, section, 2, "bits")
        positive(self, section, "clip_norm")
        if self.width < 2 or self.width & (self.width - 1):
            raise ConfigError(
                f"{section}.width: expected a power of two, 2 or more, such as 16384, got "
                f"{self.width}"
            )
        if self.bits > _MOST_BITS:
            raise ConfigError(
                f"{section}.bits: expected at most {_MOST_BITS}, so that sums stay exact, got "
                f"{self.bits}"
            )
