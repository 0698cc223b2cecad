"""The server's step: the devices' mean change of the shared weights, applied. No TFF.

The simulation's `finalize` stage and a server of real devices run this one function.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import ServerConfig
from ecct_tf.federated.cohort import ServerState

__all__ = ["begin_server", "server_step"]

_ADAM_BETA_2 = 0.99
_ADAM_EPSILON = 1e-5


def begin_server(shared: npt.NDArray[np.float32]) -> ServerState:
    """The state before the first round, from the initial shared weights `[P_shared] float32`."""
    zeros = np.zeros(len(shared), np.float32)
    return ServerState(shared, zeros, zeros, np.int32(0))


def server_step(state: ServerState, change: Any, weight: Any, config: ServerConfig) -> ServerState:
    """The state after a round, as tensors.

    Args:
      state: before it.
      change: `[P_shared] float32`, sample-weighted sum of the devices' changes.
      weight: `[] float32`, the samples behind it.
      config: the server's optimiser.
    """
    mean = change / tf.maximum(weight, 1.0)
    first = config.momentum * state.first_moment + (1.0 - config.momentum) * mean
    second = _ADAM_BETA_2 * state.second_moment + (1.0 - _ADAM_BETA_2) * mean * mean
    adam = config.optimizer == "adam"
    step = first / (tf.sqrt(second) + _ADAM_EPSILON) if adam else first
    return ServerState(
        shared=state.shared + config.learning_rate * step,
        first_moment=first,
        second_moment=second,
        round_number=state.round_number + 1,
    )
