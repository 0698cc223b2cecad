"""Settings by dotted key, and those among them that decide what a run reaches."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ecct_tf.config.run import RunConfig

__all__ = ["flat_config", "settings_with_effect"]

# Settings that change neither what is learned nor a figure that is measured of it at the end: the
# last two say which further figures there are.
_WITHOUT_EFFECT = (
    *("seed", "baselines", "data.folder", "data.schema", "evaluation.every"),
    *("evaluation.catalog", "evaluation.cold_interactions"),
)
_WITHOUT_EFFECT_SECTIONS = ("runtime.", "checkpoint.")


def flat_config(values: Mapping[str, Any], section: Any = RunConfig) -> dict[str, Any]:
    """A tree of settings by dotted key.

    Args:
      values: keys and values, nested as in YAML.
      section: the configuration class that the tree mirrors; mappings that are no section
        of it (such as `edge.tiers`) stay whole.

    >>> flat_config({"seed": 1, "data": {"dataset": "synthetic"}, "edge": {"tiers": {"mlp": 1.0}}})
    {'seed': 1, 'data.dataset': 'synthetic', 'edge.tiers': {'mlp': 1.0}}
    """
    kinds = {field.name: field.type for field in dataclasses.fields(section)}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        kind = kinds.get(str(key))
        if isinstance(value, Mapping) and dataclasses.is_dataclass(kind):
            flat.update({f"{key}.{name}": leaf for name, leaf in flat_config(value, kind).items()})
        else:
            flat[str(key)] = list(value) if isinstance(value, tuple) else value
    return flat


def settings_with_effect(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, the seed aside, that decide what a run learns and what is measured of it.

    >>> settings_with_effect({"seed": 1, "rounds": 3, "runtime.threads": 2})
    {'rounds': 3}
    """
    return {
        key: value
        for key, value in flat.items()
        if key not in _WITHOUT_EFFECT and not key.startswith(_WITHOUT_EFFECT_SECTIONS)
    }
