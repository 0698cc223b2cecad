"""Names of edge models: what there is, and what a name stands for; nothing is imported."""

from collections.abc import Iterable

from ecct_tf.config.edge import TIER_EXAMPLES, TIERS, Tier, check_tier_form
from ecct_tf.config.part_names import PartNames

__all__ = ["ENTRY_POINTS", "check_tier_names", "edge_model_names", "is_own_tier", "target_of"]

ENTRY_POINTS = "ecct_tf.edge_models"
"""The group of entry points under which packages register edge models."""

_NAMES = PartNames(
    "an edge model",
    ENTRY_POINTS,
    {tier: f"ecct_tf.edge.tiers:{tier}" for tier in TIERS},
    TIER_EXAMPLES,
)


def edge_model_names() -> dict[str, str]:
    """The names that need no module, each with the `module:name` that it stands for.

    Raises:
      ConfigError: when two packages register one name, or one that the library has.
    """
    return _NAMES.known()


def is_own_tier(tier: Tier) -> bool:
    """Whether the library itself brings the architecture."""
    return tier in _NAMES.own


def target_of(tier: Tier, *, setting: str = "edge.tiers") -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: when nothing has the name; it lists what there is.
    """
    check_tier_form(tier, setting=setting)
    return _NAMES.target_of(tier, setting=setting)


def check_tier_names(tiers: Iterable[Tier]) -> None:
    """Refuses names that nothing has, before anything is imported for them.

    Raises:
      ConfigError: likewise.
    """
    for tier in tiers:
        target_of(tier)
