"""Kinds of YAML files, to tell one from another where a command is given the wrong one."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ecct_tf.config.parsing import near_miss
from ecct_tf.errors import ConfigError

__all__ = ["check_kind"]

# Each with keys that no other kind has.
_KINDS = {
    "a run's settings, for `ecct simulate`": ("method", "rounds", "baselines", "participation"),
    "a cycle's settings, for `ecct cloud cycle`": ("rounds_per_cycle", "transport", "devices"),
    "a job's settings, for `ecct cloud retrain`": ("registry", "uplinks", "edge_start"),
    "a data schema, for `ecct data check` and data.schema": ("interactions", "users", "items"),
}


def check_kind(values: Mapping[str, Any], target: Any, *, where: str) -> None:
    """Refuses a file of another kind than the dataclass `target` is read from.

    Args:
      values: what was read.
      target: the dataclass.
      where: the file.

    Raises:
      ConfigError: it has a key of another kind.
    """
    fields = [field.name for field in dataclasses.fields(target)]
    wanted = next((kind for kind, keys in _KINDS.items() if {*keys} <= {*fields}), None)
    for key in values:
        other = next((kind for kind, keys in _KINDS.items() if key in keys), None)
        if wanted is not None and other not in (None, wanted):
            near = near_miss(str(key), fields) or "."
            raise ConfigError(
                f"{where}: unknown key {key}, which belongs to {other}{near} Expected {wanted}, "
                f"with the keys {', '.join(fields)}"
            )
