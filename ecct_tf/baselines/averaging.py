"""A round of federated averaging as one TFF computation.

distribute -> local training -> weighted mean -> finalize, over stacked devices. The stages
at both ends are those of ECCT.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_training import LocalTraining
from ecct_tf.config import CodecName
from ecct_tf.federated import compat
from ecct_tf.federated.divergence import healthy_rows
from ecct_tf.federated.stages import Distribute, Finalize
from ecct_tf.knowledge import build_codec

__all__ = ["AveragingWork", "LocalResult", "build_averaging_round", "data_type", "join_weights"]

Weighting = Literal["samples", "devices"]


class LocalResult(NamedTuple):
    """What the work of one shard yields.

    Attributes:
      private: `[C, P - P_shared] float32`, stays on the devices.
      delta: `[P_shared] float32`, weighted sum of the changes of the shared weights.
      weight: `[] float32`, behind `delta`.
      loss: `[] float32`, sum of the devices' mean losses, weighted by their positions.
      samples: `[] float32`, the positions behind `loss`.
    """

    private: tf.Tensor
    delta: tf.Tensor
    weight: tf.Tensor
    loss: tf.Tensor
    samples: tf.Tensor


@dataclasses.dataclass(frozen=True)
class AveragingWork:
    """The work of a shard in a round.

    Attributes:
      training: the local training.
      shared_size: P_shared; the weights from there on are private to each device.
      weights_codec: through which a device's change crosses.
      weighting: what a device's change weighs in the mean: its positions, or 1.
    """

    training: LocalTraining
    shared_size: int
    weights_codec: CodecName
    weighting: Weighting = "samples"

    @property
    def private_size(self) -> int:
        """Length of a device's private weights."""
        return self.training.model.size - self.shared_size

    def __call__(
        self, shared: tf.Tensor, data: LocalData, negatives: tf.Tensor, private: tf.Tensor
    ) -> LocalResult:
        """Trains a shard of C devices.

        Args:
          shared: `[P_shared] float32`, as received.
          data: the shard.
          negatives: `[C, N, k] int32`.
          private: `[C, P - P_shared] float32`, as kept since the device's last round.
        """
        start = join_weights(shared, private)
        final, loss = self.training(start, data, negatives)
        loss = tf.where(healthy_rows(final), loss, np.nan)
        coder = build_codec(self.weights_codec)
        change = coder.decode(coder.encode((final - start)[:, : self.shared_size]))
        samples = tf.cast(data.samples, tf.float32)
        weights = samples if self.weighting == "samples" else tf.cast(samples > 0.0, tf.float32)
        return LocalResult(
            private=final[:, self.shared_size :],
            delta=tf.linalg.matvec(change, weights, transpose_a=True),
            weight=tf.reduce_sum(weights),
            loss=tf.reduce_sum(loss * samples),
            samples=tf.reduce_sum(samples),
        )


def join_weights(shared: tf.Tensor, private: tf.Tensor) -> tf.Tensor:
    """`[C, P]`: the shared weights before each device's own."""
    return tf.concat([tf.tile(shared[None], [tf.shape(private)[0], 1]), private], axis=1)


def data_type(*, history_length: int, columns: int, clock_width: int) -> Any:
    """The type of a shard's data; the numbers of devices and of positions vary."""
    integer = np.int32
    return compat.struct_type(
        LocalData(
            samples=compat.tensor_type(integer, (None,)),
            histories=compat.tensor_type(integer, (None, None, history_length)),
            positives=compat.tensor_type(integer, (None, None)),
            profile=compat.tensor_type(integer, (None, None, columns)),
            clock=compat.tensor_type(np.float32, (None, None, clock_width)),
        )
    )


def build_averaging_round(
    distribute: Distribute,
    work: AveragingWork,
    finalize: Finalize,
    *,
    data: Any,
    negatives: int,
) -> Callable[..., Any]:
    """Joins the stages into one federated computation.

    Args:
      distribute: how the shared weights cross.
      work: what a shard does.
      finalize: how the mean change is applied.
      data: the type of a shard's data.
      negatives: for each position.

    Returns:
      `(state@SERVER, data@CLIENTS, negatives@CLIENTS, private@CLIENTS) -> (state@SERVER,
      private@CLIENTS, [loss sum, positions]@SERVER)`. Nothing else reaches the server.
    """
    shared_type = compat.tensor_type(np.float32, (work.shared_size,))
    negatives_type = compat.tensor_type(np.int32, (None, None, negatives))
    private_type = compat.tensor_type(np.float32, (None, work.private_size))

    @tf.function(autograph=False)
    def body(shared: Any, data: Any, negatives: Any, private: Any) -> LocalResult:
        return work(shared, data, negatives, private)

    @compat.tensor_computation(shared_type, data, negatives_type, private_type)
    def compute(shared: Any, data: Any, negatives: Any, private: Any) -> Any:
        return body(shared, LocalData(*data), negatives, private)

    @compat.tensor_computation(finalize.state_type)
    def shared_of(state: Any) -> Any:
        return state.shared

    @compat.federated_computation(
        compat.server_type(finalize.state_type),
        compat.clients_type(data),
        compat.clients_type(negatives_type),
        compat.clients_type(private_type),
    )
    def one_round(state: Any, data: Any, negatives: Any, private: Any) -> Any:
        encoded = compat.federated_map(distribute.encode, compat.federated_map(shared_of, state))
        shared = compat.federated_map(distribute.decode, compat.federated_broadcast(encoded))
        done = compat.federated_map(compute, (shared, data, negatives, private))
        new_state = compat.federated_map(
            finalize.apply,
            (state, compat.federated_sum(done.delta), compat.federated_sum(done.weight)),
        )
        totals = compat.federated_zip(
            (compat.federated_sum(done.loss), compat.federated_sum(done.samples))
        )
        return new_state, done.private, totals

    return one_round
