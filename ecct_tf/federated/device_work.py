"""The work of a device in a round: train on private samples, answer the cloud's queries.

One function serves a single device (`stacked=False`, tensors without a device axis) and
a shard of C devices (`stacked=True`, leading axis C), in which every device has its own copy
of the weights. How it trains is in `local_training`, how it answers in `answers`.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from ecct_tf.config import CodecName, FeatureConfig, Sharing, TrainingConfig
from ecct_tf.edge import DeviceTask, EdgeModel, ItemTensors
from ecct_tf.federated.answers import (
    answer_rows,
    answers_to_sum,
    expected_logits,
    no_answers,
    query_outputs,
)
from ecct_tf.federated.device_result import STAGES, DeviceResult, Stage
from ecct_tf.federated.devices import DeviceData
from ecct_tf.federated.divergence import healthy_rows
from ecct_tf.federated.local_training import LocalTraining
from ecct_tf.federated.sharing import kept_change, with_change
from ecct_tf.fixed_order import fixed_order
from ecct_tf.knowledge import Downlink, ExchangeSpec, Uplink, build_codec, noise
from ecct_tf.knowledge.item_sums import ItemSumSpec

__all__ = ["STAGES", "DeviceResult", "DeviceWork", "Stage"]


@dataclasses.dataclass(frozen=True)
class DeviceWork:
    """The work of the devices of one cohort, as a pure TensorFlow function.

    Attributes:
      model: the edge architecture.
      task: what a device does with it, which an exported file repeats.
      block_sizes: widths of the item table's blocks.
      weights_codec: codec through which a device's change of the shared weights crosses.
      sends: whether devices answer the cloud (not so in some ablations).
      noise_stream: stream of the run's seed for the optional noise. It is no part of
        `task`, which an exported file holds: real devices draw noise of their own.
      sums: the form of the sums over devices which alone leave them; None where rows do.
      waits: whether a device keeps its change of the shared weights from round to round, until one
        in which it crosses.
      crosses: whether changes of shared weights cross in this round; always, unless they wait.
      speak_above: root mean square difference of `z_e` from `z_c` below which a user's answer is
        not sent; 0 to send all.
    """

    model: EdgeModel
    task: DeviceTask
    block_sizes: tuple[int, ...]
    weights_codec: CodecName = "float16"
    sends: bool = True
    noise_stream: tuple[int, int] = (0, 0)
    sums: ItemSumSpec | None = None
    waits: bool = False
    crosses: bool = True
    speak_above: float = 0.0

    @property
    def training(self) -> TrainingConfig:
        """How a device trains."""
        return self.task.training

    @property
    def features(self) -> FeatureConfig:
        """How histories are pooled."""
        return self.task.features

    @property
    def exchange(self) -> ExchangeSpec:
        """The payloads; without logits it is stage 1."""
        return self.task.exchange

    @property
    def sharing(self) -> Sharing:
        """Which weights are a federated mean; the rest are private."""
        return self.task.sharing

    @property
    def receives(self) -> bool:
        """Whether devices get the cloud's knowledge."""
        return self.task.receives

    def changed(self, **fields: Any) -> "DeviceWork":
        """The same work but for `fields` of its task."""
        return dataclasses.replace(self, task=self.task.changed(**fields))

    def in_stage(self, stage: Stage) -> "DeviceWork":
        """The work of a stage 2 device in `stage`; where nothing crosses it is the same in both."""
        exchange = dataclasses.replace(self.exchange, with_logits=False)
        if stage == 2 or not (self.receives or self.sends):
            return self
        sums = None if self.sums is None else dataclasses.replace(self.sums, with_logits=False)
        # Without the cloud's logits a device cannot compare its own with them.
        changed = self.changed(exchange=exchange)
        return dataclasses.replace(changed, sums=sums, speak_above=0.0)

    def in_round(self, stage: Stage, *, crosses: bool) -> "DeviceWork":
        """The work in `stage`, and in a round in which changes of shared weights cross or wait."""
        work = self.in_stage(stage)
        if crosses or not self.waits:
            return work
        return dataclasses.replace(work, crosses=False)

    def noise_seed(self, round_number: tf.Tensor | int) -> tf.Tensor | None:
        """`[2] int64`, of the local noise in a round of this stage; None without noise."""
        if not self.exchange.noise_multiplier:
            return None
        logits = self.exchange.with_logits
        return noise.noise_seed(self.noise_stream, round_number=round_number, with_logits=logits)

    @property
    def downlink_bytes(self) -> int:
        """Bytes of one user's downlink as encoded."""
        exchange = self.exchange
        known = exchange.known_bytes if self.receives else 0
        return known + (exchange.queries_bytes if self.sends else 0)

    @property
    def uplink_bytes(self) -> int:
        """Bytes of one user's uplink as encoded; 0 where only sums over devices cross."""
        return self.exchange.uplink_bytes if self.sends and self.sums is None else 0

    @property
    def shared_size(self) -> int:
        """P_shared."""
        return self.model.layout.shared_size(self.sharing)

    @property
    def private_size(self) -> int:
        """P_private."""
        return self.model.layout.size - self.shared_size

    @property
    def kept_size(self) -> int:
        """What a device keeps from round to round: private weights, and a change that waits."""
        return self.private_size + (self.shared_size if self.waits else 0)

    def __call__(
        self,
        *,
        shared: tf.Tensor,
        noise_seed: tf.Tensor,
        items: ItemTensors,
        data: DeviceData,
        private: tf.Tensor,
        downlink: Downlink,
        stacked: bool,
    ) -> DeviceResult:
        """Trains and answers.

        Args:
          shared: `[P_shared] float32`, the cohort's weights as received.
          noise_seed: `[] int32`, the round, for the optional local noise.
          items: the item table.
          data: a device, or a shard of them.
          private: `[..., P_private] float32`, as kept since the device's last round; where changes
            wait, `[..., P_shared + P_private]`, the device's own change in front.
          downlink: what the cloud sent.
          stacked: whether tensors have a leading device axis.
        """
        start = self._join_weights(shared, private, stacked)
        received = shared if self.waits else start[..., : self.shared_size]
        training = LocalTraining(self.model, self.task)
        final, loss = training(
            start, items=items, data=data, known=self._known(downlink), stacked=stacked
        )
        healthy = healthy_rows(final)
        counts = tf.cast(data.samples, tf.float32)
        if self.task.targets:
            loss = tf.where(healthy[..., None], loss, np.nan) * counts[..., None]
        else:
            loss = tf.where(healthy, loss, np.nan) * counts
        coder = build_codec(self.weights_codec)
        own = final[..., : self.shared_size] - received
        change = coder.decode(coder.encode(own), self.shared_size)
        if stacked:
            delta = tf.linalg.matvec(change, counts, transpose_a=True)
            loss = tf.reduce_sum(loss, axis=0)
        else:
            delta = change * counts
        samples = tf.reduce_sum(counts)
        weight, kept = samples, final[..., self.shared_size :]
        if not self.crosses:
            delta, weight = tf.zeros_like(delta), tf.zeros_like(samples)
        if self.waits:
            kept = kept_change(own, kept, crosses=self.crosses)
        return DeviceResult(
            private=kept,
            delta=delta,
            weight=weight,
            loss=loss,
            samples=samples,
            # A device whose training diverged answers from zeros: the round is refused for its
            # loss, and arithmetic in a fixed order cannot look NaN up.
            uplink=self.answer(
                tf.where(healthy[..., None], final, 0.0),
                noise_seed=noise_seed,
                items=items,
                data=data,
                downlink=downlink,
            ),
        )

    def _join_weights(self, shared: tf.Tensor, private: tf.Tensor, stacked: bool) -> tf.Tensor:
        if stacked:
            shared = tf.tile(shared[None], [tf.shape(private)[0], 1])
        if self.waits:
            shared, private = with_change(shared, private)
        weights = tf.concat([shared, private], axis=-1)
        lead = [None] if stacked else []
        return tf.ensure_shape(weights, [*lead, self.model.layout.size])

    def _known(self, downlink: Downlink) -> Any:
        decoded = self.exchange.decode_known(downlink)
        return decoded if self.receives else tf.nest.map_structure(tf.zeros_like, decoded)

    def answer(
        self,
        weights: tf.Tensor,
        *,
        noise_seed: tf.Tensor,
        items: ItemTensors,
        data: DeviceData,
        downlink: Downlink,
    ) -> Uplink | tf.Tensor:
        """What a trained model says of the items that the cloud asked about.

        In a fixed order of sums: whatever device or runtime has these weights, and whether it
        is computed alone or in a shard, sends the same bytes.

        Args:
          weights: `[..., P] float32`.
          noise_seed: `[] int32`, the round, for the optional local noise.
          items: the item table.
          data: a device, or a shard of them.
          downlink: what the cloud sent.

        Returns:
          Rows of the users, or what the devices add to sums, as `ItemSumSpec.contribution` says.
        """
        exchange, queries = self.exchange, downlink.queries
        if not self.sends:
            return no_answers(exchange, data.users, noise_seed=self.noise_seed(noise_seed))
        with fixed_order():
            known = self._known(downlink)
        outputs = query_outputs(
            self.model,
            self.task,
            weights,
            items=items,
            block_sizes=self.block_sizes,
            data=data,
            queries=queries,
            known=known,
        )
        if self.sums is not None:
            return answers_to_sum(
                self.sums,
                exchange,
                outputs,
                users=data.users,
                queries=queries,
                expected=expected_logits(items, queries, known=known),
                round_number=noise_seed,
            )
        return answer_rows(
            exchange,
            outputs,
            users=data.users,
            queries=queries,
            expected=expected_logits(items, queries, known=known) if self.speak_above else None,
            speak_above=self.speak_above,
            noise_seed=self.noise_seed(noise_seed),
        )
