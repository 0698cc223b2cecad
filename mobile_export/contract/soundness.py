"""Whether the numbers that a file tells of its training and its sizes can be. No TensorFlow."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ecct_tf.errors import ExportError
from mobile_export.contract.samples import group_size_of

__all__ = ["check_numbers"]


def check_numbers(metadata: Mapping[str, Any]) -> None:
    """Refuses counts below 1, rates outside 0..1, and the like.

    A device would count rounds in which it does nothing, or ask for a batch of no rows.

    Raises:
      ExportError: with the place of the number, and what was expected.

    >>> check_numbers({"training": {"batch_size": 6, "epochs": 1}})
    >>> try:
    ...     check_numbers({"training": {"batch_size": -2}})
    ... except ExportError as error:
    ...     print(str(error).partition(";")[0])
    training.batch_size: expected a whole number from 1, the file tells -2
    """
    for path, (expected, fits) in _RULES.items():
        section, name = path.split(".")
        told = metadata.get(section, {})
        if name in told and not fits(told[name]):
            raise ExportError(
                f"{path}: expected {expected}, the file tells {told[name]!r}; export it again"
            )
    if "training" in metadata and "samples" in metadata:
        group, negatives = group_size_of(metadata), metadata["samples"].get("negatives")
        if group != 1 and negatives is not None and group != 1 + negatives:
            raise ExportError(
                f"training.group_size: expected 1 or {1 + negatives}, a position of {negatives} "
                f"negatives, the file tells {group}; export it again"
            )


def _count(least: int) -> tuple[str, Callable[[Any], bool]]:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return f"a whole number from {least}", fits


def _number(most: float) -> tuple[str, Callable[[Any], bool]]:
    def fits(value: Any) -> bool:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return known and math.isfinite(value) and 0.0 <= value <= most

    return ("a number from 0" if most == math.inf else f"a number in 0..{most:g}"), fits


_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "training.batch_size": _count(1),
    "training.epochs": _count(1),
    "training.group_size": _count(1),
    "training.learning_rate": _number(1.0),
    "training.private_learning_rate": _number(1.0),
    "training.distillation_weight": _number(math.inf),
    "training.temperature": _number(math.inf),
    "samples.negatives": _count(1),
    "samples.max_positions": _count(1),
    "samples.half_life": _count(0),
    "features.history_length": _count(1),
    "exchange.cloud_dim": _count(1),
    "exchange.embedding_dim": _count(1),
    "exchange.num_queries": _count(1),
    "exchange.clip_norm": _number(math.inf),
    "exchange.noise_multiplier": _number(math.inf),
    "items.rows": _count(2),
    "weights.size": _count(1),
    "weights.shared": _count(0),
}
