"""How what came of an interaction counts in training: its grade, its weight, and further targets.

All are read from private columns of interactions, by public tables of their values, so that no
statistic of private values decides what a device trains on.
"""

import dataclasses
import re

from ecct_tf.config.checks import numbers
from ecct_tf.config.loss_names import BCE, check_loss_form
from ecct_tf.errors import ConfigError

__all__ = ["GradeConfig", "TargetConfig", "WeightConfig", "check_targets"]


@dataclasses.dataclass(frozen=True)
class GradeConfig:
    """Graded labels of interactions, in place of 1.

    Attributes:
      column: a column of the interactions, such as the rating; null for the label 1.
      values: the grade, in 0..1, of each of its values.
      unknown: the grade of any other value, and of a missing one.
      negatives: the grade of sampled negatives.
    """

    column: str | None = None
    # It has no hash; what is equal has equal hashes without it.
    values: dict[str, float] = dataclasses.field(default_factory=dict, hash=False)
    unknown: float = 1.0
    negatives: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "samples.grade", "unknown", "negatives")


@dataclasses.dataclass(frozen=True)
class WeightConfig:
    """Weights of interactions in the loss, including their negatives.

    Attributes:
      column: a column of the interactions, such as the time spent; null for 1.
      values: the weight, in 0..1, of each of its values.
      unknown: the weight of any other value, and of a missing one.
    """

    column: str | None = None
    values: dict[str, float] = dataclasses.field(default_factory=dict, hash=False)
    unknown: float = 1.0

    def __post_init__(self) -> None:
        _check(self, "samples.weight", "unknown")


@dataclasses.dataclass(frozen=True)
class TargetConfig:
    """A further target of edge models, such as a like beside the click, with a head of its own.

    Attributes:
      column: a column of the interactions, such as the rating.
      values: the label, in 0..1, of each of its values; other values, and missing ones, are no
        label, and then the whole position says nothing of this target.
      negatives: the label of sampled negatives; null for none.
      loss: a name as `training.loss` has it.
      weight: of this loss beside that of the first target, above 0.
    """

    column: str
    values: dict[str, float] = dataclasses.field(hash=False)
    negatives: float | None = None
    loss: str = BCE
    weight: float = 1.0


def check_targets(targets: dict[str, TargetConfig], *, section: str = "samples.targets") -> None:
    """Refuses targets that no device could train by.

    Raises:
      ConfigError: names the setting.
    """
    for name, target in targets.items():
        where = f"{section}.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ConfigError(
                f"{where}: expected a name of lower-case letters, digits and underscores, such as "
                f"like, got {name!r}"
            )
        numbers(target, where)
        if not target.values:
            raise ConfigError(f"{where}.values: missing; give the label of each value that has one")
        labels = {f"values.{word}": value for word, value in target.values.items()}
        if target.negatives is not None:
            labels["negatives"] = target.negatives
        _check_unit(labels, where)
        check_loss_form(target.loss, setting=f"{where}.loss")
        if not target.weight > 0.0:
            raise ConfigError(
                f"{where}.weight: expected a number above 0, got {target.weight:g}; leave the "
                "target out"
            )


def _check(config: GradeConfig | WeightConfig, section: str, *names: str) -> None:
    numbers(config, section)
    if (config.column is None) != (not config.values):
        missing = "column" if config.column is None else "values"
        raise ConfigError(f"{section}.{missing}: missing; give column and values, or neither")
    told = {f"values.{name}": value for name, value in config.values.items()}
    _check_unit({**told, **{name: getattr(config, name) for name in names}}, section)


def _check_unit(labels: dict[str, float], section: str) -> None:
    for name, value in labels.items():
        if not 0.0 <= value <= 1.0:
            raise ConfigError(
                f"{section}.{name}: expected a number in 0..1, which files read, got {value:g}"
            )
