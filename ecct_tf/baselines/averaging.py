"""A round of federated averaging: ECCT's round with an empty exchange.

distribute -> local training -> weighted mean -> finalize, over stacked devices. Only the work is
other than ECCT's, and nothing is aggregated but sums.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_training import LocalTraining
from ecct_tf.config import CodecName, ServerConfig
from ecct_tf.federated.aggregators import Aggregator
from ecct_tf.federated.device_work import DeviceResult
from ecct_tf.federated.divergence import healthy_rows
from ecct_tf.federated.own_stages import RoundStages, Stages, StageSpec
from ecct_tf.federated.stages import (
    Round,
    Work,
    WorkTypes,
    build_distribute,
    build_finalize,
    build_round,
)
from ecct_tf.knowledge import build_codec

__all__ = ["AveragingWork", "build_averaging_round", "data_type", "join_weights"]

Weighting = Literal["samples", "devices"]


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

    def initial(self, seed: int) -> npt.NDArray[np.float32]:
        """`[P_shared + P_private] float32`: the start at the server and on each device."""
        return self.training.model.initial(seed)

    def weights(self, shared: tf.Tensor, private: tf.Tensor) -> tf.Tensor:
        """The models of a shard, `[C, P] float32`, from what is shared and what is private."""
        return join_weights(shared, private)

    def trained(
        self,
        shared: tf.Tensor,
        data: LocalData,
        negatives: tf.Tensor,
        private: tf.Tensor,
        *,
        steps: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Local training of a shard.

        Args:
          shared: `[P_shared] float32`, as received.
          data: the shard.
          negatives: `[C, N, k] int32`.
          private: `[C, P_private] float32`.
          steps: `[] int32`, steps that the server has taken.

        Returns:
          The models after it `[C, P]`, the mean loss `[C]` of the last epoch, and the change
          `[C, P_shared]` of what is shared.
        """
        del steps
        start = self.weights(shared, private)
        final, loss = self.training(start, data, negatives)
        return final, loss, (final - start)[:, : self.shared_size]

    def __call__(
        self,
        shared: tf.Tensor,
        data: LocalData,
        negatives: tf.Tensor,
        private: tf.Tensor,
        *,
        steps: tf.Tensor,
    ) -> DeviceResult:
        """Trains a shard of C devices.

        Args:
          shared: `[P_shared] float32`, as received.
          data: the shard.
          negatives: `[C, N, k] int32`.
          private: `[C, P_private] float32`, as kept since the device's last round.
          steps: `[] int32`, steps that the server has taken.
        """
        final, loss, changed = self.trained(shared, data, negatives, private, steps=steps)
        loss = tf.where(healthy_rows(final), loss, np.nan)
        coder = build_codec(self.weights_codec)
        change = coder.decode(coder.encode(changed), self.shared_size)
        samples = tf.cast(data.samples, tf.float32)
        weights = samples if self.weighting == "samples" else tf.cast(samples > 0.0, tf.float32)
        return DeviceResult(
            private=final[:, self.training.model.size - self.private_size :],
            delta=tf.linalg.matvec(change, weights, transpose_a=True),
            weight=tf.reduce_sum(weights),
            loss=tf.reduce_sum(loss * samples),
            samples=tf.reduce_sum(samples),
            uplink=(),
        )


def join_weights(shared: tf.Tensor, private: tf.Tensor) -> tf.Tensor:
    """`[C, P]`: the shared weights before each device's own."""
    return tf.concat([tf.tile(shared[None], [tf.shape(private)[0], 1]), private], axis=1)


def data_type(*, history_length: int, columns: int, clock_width: int) -> LocalData:
    """The type of a shard's data; the numbers of devices and of positions vary."""
    return LocalData(
        samples=tf.TensorSpec([None], tf.int32),
        histories=tf.TensorSpec([None, None, history_length], tf.int32),
        positives=tf.TensorSpec([None, None], tf.int32),
        profile=tf.TensorSpec([None, None, columns], tf.int32),
        clock=tf.TensorSpec([None, None, clock_width], tf.float32),
    )


def build_averaging_round(
    work: AveragingWork,
    *,
    server: ServerConfig,
    data: LocalData,
    negatives: int,
    aggregator: Aggregator | None = None,
    collects: bool = False,
    stages: Stages | None = None,
    spec: StageSpec | None = None,
) -> Round:
    """A round without uplinks: nothing but the mean change of the shared weights is sent.

    Args:
      work: what a shard does.
      server: how the mean change is applied.
      data: the type of a shard's data.
      negatives: for each position.
      aggregator: what makes the mean change; None for the library's own mean.
      collects: whether the changes of shards are left for a later step.
      stages: those of one's own, made for `spec`.
      spec: what stages are made for.
    """
    types = WorkTypes(
        shared=tf.TensorSpec([work.shared_size], tf.float32),
        round_number=tf.TensorSpec([], tf.int32),
        items=(),
        data=data,
        private=tf.TensorSpec([None, work.private_size], tf.float32),
        downlink=tf.TensorSpec([None, None, negatives], tf.int32),
    )

    @tf.function(input_signature=types, autograph=False)
    def compute(
        shared: Any, round_number: Any, items: Any, data: Any, private: Any, negatives: Any
    ) -> DeviceResult:
        del items
        return work(shared, data, negatives, private, steps=round_number)

    made = RoundStages(
        build_distribute(work.shared_size, work.weights_codec),
        Work(compute, types, work),
        None,
        build_finalize(work.shared_size, server),
    )
    if stages is not None and spec is not None:
        made = stages.of(spec, made)
    return build_round(
        made.distribute,
        made.work,
        made.aggregate,
        made.finalize,
        aggregator=aggregator,
        collects=collects,
        changes=made.changes,
    )
