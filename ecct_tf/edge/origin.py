"""Where an edge model comes from: what a run records, so that changed code is noticed later."""

from collections.abc import Iterable, Mapping

from ecct_tf.config import Tier
from ecct_tf.config.edge_names import is_own_tier, target_of
from ecct_tf.plugins import Origin, change_of, origin_of

__all__ = ["changed_sources", "edge_origins"]


def edge_origins(tiers: Iterable[Tier]) -> dict[Tier, Origin]:
    """What is to be recorded of each edge model that is not the library's own, by name.

    Raises:
      ConfigError: when a model cannot be imported.
    """
    return {tier: _origin(tier) for tier in sorted(tiers) if not is_own_tier(tier)}


def changed_sources(recorded: Mapping[Tier, Origin]) -> list[str]:
    """For each model whose source is not what was recorded: its name and what changed, in words.

    Raises:
      ConfigError: when a model cannot be imported.
    """
    changes = (
        change_of(before, _origin(tier), what=f"edge model {tier!r}")
        for tier, before in sorted(recorded.items())
    )
    return [change for change in changes if change is not None]


def _origin(tier: Tier) -> Origin:
    return origin_of(target_of(tier), what=f"edge.tiers: edge model {tier!r}")
