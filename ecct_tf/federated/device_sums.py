"""Sums of what devices tell of items: in this process, or as a federated computation.

All that leaves the clients of the federated computation goes through TFF's secure sum: where a
runtime has one, no server sees a summand; the local runtime adds in the open. Sums of integers
have the same bits either way, and in this process.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.data import DeviceView
from ecct_tf.knowledge.device_sums import SumSpec, sum_of_devices, with_noise
from ecct_tf.knowledge.increments import padded_histories

__all__ = ["Summing", "build_device_sum", "sum_federated", "sum_here"]

Array = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]
Groups = Sequence[Sequence[DeviceView]]
# `(spec, users of each device that answers, [2] int64 seed of the noise) -> [size] int64`.
Summing = Callable[[SumSpec, Groups, Array], Array]

_USERS_AT_ONCE = 64
# Views of devices are copies of their data: of a million they are not made at once.
_DEVICES_AT_ONCE = 4096


def sum_here(spec: SumSpec, groups: Groups, seed: Array) -> Array:
    """The sum, computed in this process.

    Args:
      spec: the form of the sum.
      groups: the users of each device.
      seed: `[2] int64`, of the noise.

    Returns:
      `[size] int64`.
    """
    count = _counter(spec)
    total = np.zeros(spec.size, np.int64)
    for start in range(0, len(groups), _DEVICES_AT_ONCE):
        for histories, recent in _stacked(groups[start : start + _DEVICES_AT_ONCE]):
            total += count(histories, recent).numpy()
    result: Array = with_noise(spec, tf.constant(total), tf.constant(seed)).numpy()
    return result


@functools.lru_cache(maxsize=4)
def _counter(spec: SumSpec) -> Callable[[Ids, Ids], tf.Tensor]:
    """`sum_of_devices`, traced once."""
    signature = (tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32))

    def count(histories: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
        return sum_of_devices(spec, histories, recent)

    traced: Callable[[Ids, Ids], tf.Tensor] = tf.function(
        count, input_signature=signature, autograph=False
    )
    return traced


def sum_federated(spec: SumSpec, groups: Groups, seed: Array) -> Array:
    """As `sum_here`, by TFF; needs a `federated_runtime()` around it."""
    values = _stacked(groups)
    if not values:
        return sum_here(spec, groups, seed)
    users = sum(map(len, groups))
    return np.asarray(build_device_sum(spec, users=users)(seed, values))


def build_device_sum(spec: SumSpec, *, users: int) -> Any:
    """`(seed@SERVER, {(histories, recent)}@CLIENTS) -> sum@SERVER` as a TFF computation.

    Args:
      spec: the form of the sum.
      users: of all client values at most.

    Returns:
      A federated computation: of `[2] int64` at the server and, of each client value, the
      training histories of its users, `[C, L] int32`, and how many of the newest the cloud does
      not know, `[C] int32`; to `[size] int64`, with the noise that `spec` asks for.
    """
    from ecct_tf.federated import compat

    bits = spec.sum_bits(users)
    data = compat.struct_type(
        (compat.tensor_type(np.int32, (None, None)), compat.tensor_type(np.int32, (None,)))
    )
    sent_type = compat.tensor_type(np.int64, (spec.size + 1,))
    seed_type = compat.tensor_type(np.int64, (2,))

    @compat.tensor_computation(data)
    def count(pair: Any) -> Any:
        # A secure sum is one of numbers from 0 on: each user's are moved up, and are counted.
        number = tf.shape(pair[1], tf.int64)
        moved = sum_of_devices(spec, pair[0], pair[1]) - spec.least * number
        return tf.concat([moved, number], axis=0)

    @compat.tensor_computation(seed_type, sent_type)
    def total(seed: Any, sent: Any) -> Any:
        return with_noise(spec, sent[:-1] + spec.least * sent[-1], seed)

    @compat.federated_computation(compat.server_type(seed_type), compat.clients_type(data))
    def device_sum(seed: Any, values: Any) -> Any:
        counted = compat.federated_map(count, values)
        sent = compat.federated_secure_sum_bitwidth(counted, bits)
        return compat.federated_map(total, (seed, sent))

    return device_sum


def _stacked(groups: Groups) -> list[tuple[Ids, Ids]]:
    """What users count from, those of like length together: `[C, L] int32` and `[C] int32`."""
    views = sorted((view for group in groups for view in group), key=lambda v: len(v.history))
    parts = [views[i : i + _USERS_AT_ONCE] for i in range(0, len(views), _USERS_AT_ONCE)]
    return [
        (
            padded_histories([view.history for view in part]),
            np.array([len(view.recent) for view in part], np.int32),
        )
        for part in parts
    ]
