"""How what came of an interaction counts in training: its grade, and how much it weighs.

Both are read from a private column of interactions, by a public table of its values, so that no
statistic of private values decides what a device trains on.
"""

import dataclasses

from ecct_tf.config.checks import numbers
from ecct_tf.errors import ConfigError

__all__ = ["GradeConfig", "WeightConfig"]


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


def _check(config: GradeConfig | WeightConfig, section: str, *names: str) -> None:
    numbers(config, section)
    if (config.column is None) != (not config.values):
        missing = "column" if config.column is None else "values"
        raise ConfigError(f"{section}.{missing}: missing; give column and values, or neither")
    told = {f"values.{name}": value for name, value in config.values.items()}
    for name, value in {**told, **{name: getattr(config, name) for name in names}}.items():
        if not 0.0 <= value <= 1.0:
            raise ConfigError(
                f"{section}.{name}: expected a number in 0..1, which files read, got {value:g}"
            )
