"""Names of edge models: what there is, and what a name stands for; nothing is imported."""

from collections.abc import Iterable

from ecct_tf.config.edge import TIER_EXAMPLES, TIERS, Tier
from ecct_tf.config.part_names import PartNames

__all__ = ["ENTRY_POINTS", "check_tier_names", "edge_model_names", "is_own_tier", "target_of"]

ENTRY_POINTS = "ecct_tf.edge_models"
"""The group of entry points under which packages register edge models."""

_NAMES = PartNames(
    "an edge model",
    ENTRY_POINTS,
    {tier: f"ecct_tf.edge.tiers:{tier}" for tier in TIERS},
    TIER_EXAMPLES,
    setting="edge.tiers",
)

edge_model_names = _NAMES.known
"""`() -> dict`: the names that need no module, each with the `module:name` it stands for."""

is_own_tier = _NAMES.is_own
"""`(name) -> bool`: whether the library itself brings the edge model."""

target_of = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""


def check_tier_names(tiers: Iterable[Tier]) -> None:
    """Refuses names that nothing has, before anything is imported for them.

    Raises:
      ConfigError: nothing has one of them, which lists what there is.
    """
    for tier in tiers:
        target_of(tier)
