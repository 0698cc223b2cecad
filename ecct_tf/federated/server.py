"""The server's step: the devices' mean change of the shared weights, applied. No TFF.

The simulation's `finalize` stage and a server of real devices run this one function.

What arrives late, or waits for others, is applied by the rule of buffered asynchronous aggregation
(FedBuff; Nguyen et al., AISTATS 2022, arXiv 2106.06639): the sum of the changes, each times
`(1 + age)^-a`, over their whole weight. The age of a change is the number of steps that the server
took since the device got the weights it began with.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import ServerConfig
from ecct_tf.federated.changes import Changes
from ecct_tf.federated.cohort import ServerState

__all__ = ["apply_arrived", "begin_server", "server_step", "staleness_weights"]

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


def staleness_weights(ages: npt.NDArray[np.int64], exponent: float) -> npt.NDArray[np.float32]:
    """`(1 + age)^-exponent`, float32.

    >>> staleness_weights(np.array([0, 3, 8]), 0.5).round(4).tolist()
    [1.0, 0.5, 0.33329999446868896]
    """
    weights: npt.NDArray[np.float32] = ((1.0 + ages) ** -exponent).astype(np.float32)
    return weights


def apply_arrived(
    server: ServerState, changes: Changes, *, round_number: int, config: ServerConfig
) -> tuple[ServerState, Changes]:
    """Takes a step with all that has arrived by the end of a round, if it is enough.

    Args:
      server: before it.
      changes: all that is not applied.
      round_number: rounds done before this one.
      config: the optimiser, and what is enough.

    Returns:
      The state, and what is still not applied.
    """
    here = changes.arrives <= round_number
    arrived = changes.where(here)
    count = int(arrived.devices.sum())
    if not count or count < config.buffer:
        return server, changes
    ages = int(server.round_number) - arrived.versions
    scales = staleness_weights(ages, config.staleness_exponent)
    total = (arrived.sums * scales[:, None]).sum(axis=0, dtype=np.float32)
    state = ServerState(*(tf.convert_to_tensor(part) for part in server))
    stepped = server_step(state, total, float(arrived.weights.sum(dtype=np.float32)), config)
    return ServerState(*(np.asarray(part) for part in stepped)), changes.where(~here)
