"""Configuration of simulated attacks: devices that send what they should not."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.checks import numbers, one_of, within

__all__ = ["AttackConfig", "AttackName"]

AttackName = Literal["none", "push", "sybil", "clip", "flip"]


@dataclasses.dataclass(frozen=True)
class AttackConfig:
    """Devices of a simulation that an attacker controls.

    Attributes:
      share: share of poisoned devices, drawn by the seed; 0 for none.
      kind: what they do: `push` forges an answer in each uplink, that the pushed item is wanted as
        much as the bounds allow, and pretends in sums of items to have met it last; `sybil` sends
        the same uplink from all of them, which says so in every answer, and tells of it alone;
        `clip` inverts each answer at its bound; `flip` trains on inverted labels; `none` does
        nothing, for comparison on the same honest users.
      item: the pushed item, as the data names it; null for one of medium popularity, drawn by the
        seed.
    """

    share: float = 0.0
    kind: AttackName = "push"
    item: str | None = None

    def __post_init__(self) -> None:
        numbers(self, "attack")
        within(self, "attack", 0.0, 1.0, "share")
        one_of(self, "attack", "kind", get_args(AttackName))
