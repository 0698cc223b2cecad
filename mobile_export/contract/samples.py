"""What a file says of the samples that a device trains on. No TensorFlow: a device imports it."""

from collections.abc import Mapping
from typing import Any

from ecct_tf.config import GradeConfig, SampleConfig, TargetConfig, WeightConfig
from ecct_tf.config.outcomes import check_targets
from ecct_tf.errors import ConfigError, ExportError

__all__ = ["group_size_of", "samples_of"]

# What devices drew before files told it; they had no guard.
_UNTOLD = {"negatives": 9, "max_positions": 128}


def samples_of(metadata: Mapping[str, Any]) -> SampleConfig:
    """The samples of the run that a file comes from.

    >>> samples_of({"samples": {"negatives": 3, "max_positions": 16}}).negatives
    3
    >>> samples_of({})  # doctest: +ELLIPSIS
    SampleConfig(negatives=9, max_positions=128, guard_positions=0, half_life=0, ...)

    Raises:
      ExportError: grades, weights or targets are none.
    """
    told = metadata.get("samples", _UNTOLD)
    try:
        grade = GradeConfig(**told.get("grade", {}))
        weight = WeightConfig(**told.get("weight", {}))
        targets = {name: TargetConfig(**each) for name, each in told.get("targets", {}).items()}
        check_targets(targets)
    except (ConfigError, TypeError, AttributeError) as error:
        raise ExportError(f"samples: the file's grades, weights or targets: {error}") from error
    return SampleConfig(
        negatives=int(told["negatives"]),
        max_positions=int(told["max_positions"]),
        guard_positions=int(told.get("guard_positions", 0)),
        half_life=int(told.get("half_life", 0)),
        grade=grade,
        weight=weight,
        targets=targets,
    )


def group_size_of(metadata: Mapping[str, Any]) -> int:
    """How many rows of `train` belong together: all of a position, or 1.

    >>> group_size_of({"training": {"loss": "bpr", "group_size": 4}})
    4
    >>> group_size_of({"training": {"loss": "binary cross-entropy"}})
    1
    """
    return int(metadata["training"].get("group_size", 1))
