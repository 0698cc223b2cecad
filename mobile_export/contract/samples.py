"""What a file says of the samples that a device trains on. No TensorFlow: a device imports it."""

from collections.abc import Mapping
from typing import Any

from ecct_tf.config import SampleConfig

__all__ = ["samples_of"]

# What devices drew before files told it.
_UNTOLD = {"negatives": 9, "max_positions": 128}


def samples_of(metadata: Mapping[str, Any]) -> SampleConfig:
    """The samples of the run that a file comes from.

    >>> samples_of({"samples": {"negatives": 3, "max_positions": 16}}).negatives
    3
    >>> samples_of({}).negatives
    9
    """
    told = metadata.get("samples", _UNTOLD)
    return SampleConfig(negatives=int(told["negatives"]), max_positions=int(told["max_positions"]))
