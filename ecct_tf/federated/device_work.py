"""The work of a device in a round: train on private samples, answer the cloud's queries.

One function serves a single device (`stacked=False`, tensors without a device axis) and
a shard of C devices (`stacked=True`, leading axis C). In a shard every device has its
own copy of the weights, and a `GradientTape` over the sum of the devices' losses yields
each device's own gradient.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from ecct_tf.config import CodecName, FeatureConfig, Sharing, TrainingConfig
from ecct_tf.edge import (
    DeviceTask,
    EdgeInputs,
    EdgeModel,
    ItemTensors,
    build_optimizer,
    cloud_told,
    input_embedding,
    input_logit,
    pair_inputs,
    row_keys,
    with_item_vectors,
)
from ecct_tf.federated.device_result import STAGES, DeviceResult, Stage
from ecct_tf.federated.devices import DeviceData
from ecct_tf.federated.divergence import healthy_rows
from ecct_tf.federated.sharing import kept_change, with_change
from ecct_tf.federated.silence import worth_sending
from ecct_tf.federated.user_rows import merge_users
from ecct_tf.fixed_order import fixed_order
from ecct_tf.knowledge import Downlink, ExchangeSpec, Uplink, build_codec, noise
from ecct_tf.knowledge.item_sums import ItemSumSpec
from ecct_tf.knowledge.rows import CloudRows, Told

__all__ = ["STAGES", "DeviceResult", "DeviceWork", "Stage"]


@dataclasses.dataclass(frozen=True)
class DeviceWork:
    """The work of the devices of one cohort, as a pure TensorFlow function.

    Attributes:
      model: the edge architecture.
      task: what a device does with it, which an exported file repeats.
      block_sizes: widths of the item table's blocks.
      weights_codec: through which a device's change of the shared weights crosses.
      sends: whether devices answer the cloud (not so in some ablations).
      noise_stream: of the run's seed, for the optional noise. It is no part of
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
        # Who has no logits of the cloud cannot compare.
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
        known = self._known(downlink)
        inputs, teacher = self._sample_inputs(items, data, known, stacked)
        final, loss = self._train(start, inputs, teacher, items, data, known, stacked)
        healthy = healthy_rows(final)
        loss = tf.where(healthy, loss, np.nan)
        counts = tf.cast(data.samples, tf.float32)
        coder = build_codec(self.weights_codec)
        own = final[..., : self.shared_size] - received
        change = coder.decode(coder.encode(own), self.shared_size)
        if stacked:
            delta = tf.linalg.matvec(change, counts, transpose_a=True)
            loss = tf.reduce_sum(loss * counts)
        else:
            delta, loss = change * counts, loss * counts
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
            # Whose training diverged answers from zeros: the round is refused for its loss, and
            # arithmetic in a fixed order cannot look NaN up.
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

    def _sample_inputs(
        self, items: ItemTensors, data: DeviceData, known: Any, stacked: bool
    ) -> tuple[EdgeInputs, Told]:
        """Inputs of a device's samples, and what the cloud, their teacher, says of them."""
        owner = tf.cast(data.owner, tf.int32)
        batch_dims = 1 if stacked else 0
        told = cloud_told(items, known, data.candidates, owner=owner)
        length = self.features.history_length
        slot = tf.range(length) >= length - tf.cast(data.slot_counts, tf.int32)[..., None]
        inputs = EdgeInputs(
            interactions=tf.cast(data.features, tf.float32),
            slots=tf.cast(data.slots, tf.float32),
            slot_mask=tf.cast(slot, tf.float32)[..., None],
            profile=tf.gather(data.profile, owner, batch_dims=batch_dims),
            cloud_embedding=input_embedding(
                told.embedding, use_embedding=self.task.uses_embeddings
            ),
            cloud_logit=input_logit(
                items, told.logit, use_logit=self.task.uses_logits, known=told.known
            ),
        )
        return inputs, told

    def _train(
        self,
        start: tf.Tensor,
        inputs: EdgeInputs,
        teacher: Told,
        items: ItemTensors,
        data: DeviceData,
        known: Any,
        stacked: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Local training: final weights `[..., P]` and mean loss `[...]` of the last epoch."""
        config = self.training
        optimizer = build_optimizer(config.optimizer)
        axis = 1 if stacked else 0
        labels, owner = tf.cast(data.labels, tf.float32), tf.cast(data.owner, tf.int32)
        # A shard is padded to its largest device where that fills no batch.
        batch = tf.minimum(self.task.batch_size, tf.shape(labels)[axis])
        own_steps = -(-data.samples // batch)
        epoch_steps = tf.reduce_max(own_steps)
        rates = tf.concat(
            [
                tf.fill([self.shared_size], config.learning_rate),
                tf.fill([self.private_size], config.private_learning_rate),
            ],
            axis=0,
        )

        def cut(tensor: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
            begin = [0] * tensor.shape.rank
            begin[axis] = first
            size = [-1] * tensor.shape.rank
            size[axis] = batch
            known = tensor.shape.as_list()
            return tf.ensure_shape(
                tf.slice(tensor, begin, size), [*known[:axis], None, *known[axis + 1 :]]
            )

        def step(
            index: tf.Tensor, weights: tf.Tensor, loss: tf.Tensor, *slots: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            epoch, within = index // epoch_steps, index % epoch_steps
            first = within * batch
            mask = tf.cast(tf.range(batch) + first < data.samples[..., None], tf.float32)
            weights_of = mask
            if data.weights.shape[-1]:
                weights_of *= tf.squeeze(cut(data.weights, first), -1)
            batch_inputs = inputs.map(lambda part: cut(part, first))
            if self.model.reads_items:
                # Of a batch at a time: of all samples they would fill the memory.
                batch_inputs = with_item_vectors(
                    batch_inputs,
                    items,
                    history=cut(data.histories, first),
                    candidates=cut(data.candidates, first),
                )
            own_index = tf.cast(epoch * own_steps + within + 1, tf.float32)[..., None]
            if self.model.reads_dropout:
                batch_inputs = batch_inputs._replace(
                    dropout=self._keys(
                        own_index, cut(data.candidates, first), cut(owner, first), known, stacked
                    )
                )
            gradient, batch_loss = self._gradient(
                weights,
                batch_inputs,
                teacher=cut(teacher.logit, first),
                taught=None if teacher.known is None else cut(teacher.known, first),
                labels=cut(labels, first),
                target_labels=cut(data.targets, first),
                mask=weights_of,
                stacked=stacked,
            )
            # A device that has seen all its samples rests until the epoch's end.
            active = tf.cast(within < own_steps, tf.float32)[..., None]
            updated, new_slots = optimizer.apply(weights, gradient, slots, own_index, rates)
            kept = [
                old + active * (new - old)
                for old, new in zip((weights, *slots), (updated, *new_slots), strict=True)
            ]
            seen = tf.reduce_sum(mask, axis=-1) / tf.cast(tf.maximum(data.samples, 1), tf.float32)
            last = tf.cast(tf.equal(epoch, config.epochs - 1), tf.float32)
            return (index + 1, kept[0], loss + last * seen * batch_loss, *kept[1:])

        zero_loss = tf.zeros_like(tf.cast(data.samples, tf.float32))
        state = tf.while_loop(
            lambda index, *_: index < epoch_steps * config.epochs,
            step,
            (tf.constant(0), start, zero_loss, *optimizer.initial_slots(start)),
            parallel_iterations=1,
        )
        return state[1], state[2]

    def _keys(
        self, step: tf.Tensor, items: tf.Tensor, owner: tf.Tensor, known: Any, stacked: bool
    ) -> tf.Tensor:
        """Keys of a batch's rows, from which a model computes what it drops: `[..., B] int32`."""
        users = None
        if not isinstance(known, CloudRows):
            users = tf.gather(known, owner, batch_dims=1 if stacked else 0)
        return row_keys(step, items, items=items, users=users)

    def _gradient(
        self,
        weights: tf.Tensor,
        inputs: EdgeInputs,
        *,
        teacher: tf.Tensor,
        taught: tf.Tensor | None,
        labels: tf.Tensor,
        target_labels: tf.Tensor,
        mask: tf.Tensor,
        stacked: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses, _ = self.task.total_loss(
                self.model.forward(weights, inputs),
                labels=labels,
                target_labels=target_labels,
                teacher=teacher,
                weights=mask,
                taught=taught,
            )
            total = tf.reduce_sum(losses) if stacked else losses
        return tape.gradient(total, weights), losses

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
        users = tf.reshape(data.users, [-1])
        if not self.sends:
            nobody = tf.where(users < -1)[:, 0]
            rows = tf.size(nobody)
            return exchange.make_uplink(
                tf.gather(users, nobody),
                tf.zeros([rows, exchange.num_queries], tf.int32),
                tf.zeros([rows, exchange.num_queries, exchange.embedding_dim]),
                tf.zeros([rows, exchange.num_queries]),
                noise_seed=self.noise_seed(noise_seed),
            )
        with fixed_order():
            inputs = pair_inputs(
                items,
                block_sizes=self.block_sizes,
                config=self.features,
                history=data.history,
                candidates=queries,
                profile=data.profile,
                user_embeddings=self._known(downlink),
                use_logit=self.task.uses_logits,
                use_embedding=self.task.uses_embeddings,
                reads_items=self.model.reads_items,
            )
        outputs = self.model.forward(weights, merge_users(inputs), fixed_order=True)
        if self.sums is not None:
            with fixed_order():
                told = cloud_told(items, self._known(downlink), queries)
            # One device without a device axis is a shard of one.
            lead = [-1, tf.shape(queries)[-2], exchange.num_queries]
            return self.sums.contribution(
                users=tf.reshape(data.users, lead[:2]),
                items=tf.reshape(queries, lead),
                embeddings=tf.reshape(outputs.embedding, [*lead, exchange.embedding_dim]),
                logits=tf.reshape(outputs.logit, lead),
                expected=tf.reshape(told.logit, lead),
                round_number=noise_seed,
            )
        embeddings = tf.reshape(
            outputs.embedding, [-1, exchange.num_queries, exchange.embedding_dim]
        )
        logits = tf.reshape(outputs.logit, [-1, exchange.num_queries])
        answering = users >= 0
        if self.speak_above:
            with fixed_order():
                told = cloud_told(items, self._known(downlink), queries)
            expected = tf.reshape(told.logit, [-1, exchange.num_queries])
            answering &= worth_sending(logits, expected, bound=self.speak_above)
        real = tf.where(answering)[:, 0]
        return exchange.make_uplink(
            tf.gather(users, real),
            tf.gather(tf.reshape(queries, [-1, exchange.num_queries]), real),
            tf.gather(embeddings, real),
            tf.gather(logits, real),
            noise_seed=self.noise_seed(noise_seed),
        )
