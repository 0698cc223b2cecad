"""Configuration of simulated attacks: devices that send what they should not."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.checks import numbers, one_of, within

__all__ = ["AttackConfig", "AttackName"]

AttackName = Literal["none", "push", "sybil", "clip", "flip"]


@dataclasses.dataclass(frozen=True)
class AttackConfig:
    """Devices of a simulation that are in an attacker's hands.

    Attributes:
      share: of the devices, drawn by the seed; 0 for none.
      kind: what they do: `push` forges an answer in each uplink, that the pushed item is wanted as
        much as the bounds allow; `sybil` sends one and the same uplink from all of them, which says
        so in every answer; `clip` turns each answer into its opposite at its bound; `flip` trains
        on labels turned round; `none` does nothing, for comparison on the same honest users.
      item: the pushed item, as the data names it; null for one of middling popularity, by the seed.
    """

    share: float = 0.0
    kind: AttackName = "push"
    item: str | None = None

    def __post_init__(self) -> None:
        numbers(self, "attack")
        within(self, "attack", 0.0, 1.0, "share")
        one_of(self, "attack", "kind", get_args(AttackName))
