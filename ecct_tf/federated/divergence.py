"""Training that diverged ends a run with one sentence, wherever it happens.

Weights that are not finite never come back: a device would answer with noise, the federated
mean would carry it to all others, and the quality of later rounds would mean nothing. So the
loss of each round and what the server keeps of it are looked at before anything else is done
with them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ecct_tf.errors import DivergenceError

__all__ = ["check_round", "healthy_rows", "settings_in_words"]


def healthy_rows(weights: tf.Tensor) -> tf.Tensor:
    """Which of the trained weights `[..., P] float32` are finite throughout, `[...] bool`."""
    return tf.reduce_all(tf.math.is_finite(weights), axis=-1)


def check_round(
    *,
    round_number: int,
    group: str,
    devices: int,
    loss: float,
    shared: Any,
    settings: Mapping[str, object],
) -> None:
    """Refuses a round after which weights or loss of a group of devices are not finite.

    Args:
      round_number: rounds done before this one.
      group: which devices, in words.
      devices: how many of them answered.
      loss: their summed loss; not finite as soon as one of them diverged.
      shared: `[P_shared] float32`, what the server made of their changes.
      settings: those that decide about it, by their dotted names, with their values.

    Raises:
      DivergenceError: names the round, the group and the settings.
    """
    if not np.isfinite(loss):
        what = f"their training loss, or the weights of one of them, is {loss}"
    elif not np.isfinite(np.asarray(shared)).all():
        what = "the mean of their weights at the server is not finite"
    else:
        return
    raise DivergenceError(
        f"round {round_number + 1}: training diverged on {group} ({devices} answered): {what}, "
        f"expected finite numbers. Nothing of this round is kept. What decides: "
        f"{settings_in_words(settings)}. Lower the learning rates first, and begin a new run."
    )


def settings_in_words(settings: Mapping[str, object]) -> str:
    """Settings with their values, for a message.

    >>> settings_in_words({"training.learning_rate": 0.1, "training.optimizer": "sgd"})
    'training.learning_rate=0.1, training.optimizer=sgd'
    """
    return ", ".join(f"{name}={value}" for name, value in settings.items())
