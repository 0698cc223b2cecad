"""Names of edge models: what there is, and what a name stands for; nothing is imported."""

import importlib.metadata
from collections.abc import Iterable

from ecct_tf.config.edge import TIERS, Tier, check_tier_form
from ecct_tf.config.parsing import near_miss
from ecct_tf.errors import ConfigError

__all__ = ["ENTRY_POINTS", "check_tier_names", "edge_model_names", "is_own_tier", "target_of"]

ENTRY_POINTS = "ecct_tf.edge_models"
"""The group of entry points under which packages register edge models."""

_OWN = {tier: f"ecct_tf.edge.tiers:{tier}" for tier in TIERS}


def edge_model_names() -> dict[str, str]:
    """The names that need no module, each with the `module:name` that it stands for.

    Raises:
      ConfigError: when two packages register one name, or one that the library has.
    """
    names = dict(_OWN)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if names.setdefault(point.name, point.value) != point.value:
            raise ConfigError(
                f"edge model {point.name!r}: expected one package that registers it under "
                f"{ENTRY_POINTS}, got {names[point.name]} and {point.value}; uninstall one"
            )
    return names


def is_own_tier(tier: Tier) -> bool:
    """Whether the library itself brings the architecture."""
    return tier in _OWN


def target_of(tier: Tier, *, setting: str = "edge.tiers") -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: when nothing has the name; it lists what there is.
    """
    check_tier_form(tier, setting=setting)
    if ":" in tier:
        return tier
    names = edge_model_names()
    if tier not in names:
        raise ConfigError(
            f"{setting}: expected an edge model out of {', '.join(names)}, or module:name of your "
            f"own, got {tier!r}{near_miss(tier, names)}"
        )
    return names[tier]


def check_tier_names(tiers: Iterable[Tier]) -> None:
    """Refuses names that nothing has, before anything is imported for them.

    Raises:
      ConfigError: likewise.
    """
    for tier in tiers:
        target_of(tier)
