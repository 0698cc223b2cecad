"""Settings of a run out of their range, or of absurd size."""

import dataclasses
from typing import Any

import numpy as np

from ecct_tf.config import RunConfig

__all__ = ["odd_setting"]

_VALUES = (
    "-1", "0", "1", "0.5", "2147483648", "9223372036854775808", "1e308", "1e400", ".inf", "-.inf",
    ".nan", "null", "true", "'3'", "[]", "{}", "x", "2024-01-01", "''", "[1, 2]", "{mlp: .nan}",
)  # fmt: skip
# How much is asked for, not whether it makes sense: a million rounds are a sound wish.
_WORK = ("rounds", "epochs", "tuning_epochs")


def odd_setting(
    rng: np.random.Generator, config: Any = None, *, leave_out: tuple[str, ...] = ()
) -> str:
    """Any one setting with any one value.

    Args:
      rng: what chooses.
      config: the tree of settings; a run's by default.
      leave_out: names that the case sets itself.
    """
    # What the command line gives by flags of its own.
    leave_out = (*leave_out, "method", "data.dataset", "data.schema")
    names = [
        name
        for name in _names(RunConfig() if config is None else config)
        if not name.endswith(_WORK) and name not in leave_out
    ]
    return f"{rng.choice(names)}={rng.choice(_VALUES)}"


def _names(config: Any, prefix: str = "") -> list[str]:
    names = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            names += _names(value, f"{prefix}{field.name}.")
        else:
            names.append(f"{prefix}{field.name}")
    return names
