"""How devices train in a round: epochs of batches over a device's own private samples."""

import dataclasses
from typing import Any

import tensorflow as tf

from ecct_tf.edge import (
    DeviceTask,
    EdgeInputs,
    EdgeModel,
    ItemTensors,
    build_optimizer,
    cloud_told,
    input_embedding,
    input_logit,
    row_keys,
    with_item_vectors,
)
from ecct_tf.federated.devices import DeviceData
from ecct_tf.knowledge.rows import CloudRows, Told

__all__ = ["LocalTraining"]


@dataclasses.dataclass(frozen=True)
class LocalTraining:
    """The training of one device or of a shard of them, as a pure TensorFlow function.

    In a shard a `GradientTape` over the sum of the devices' losses yields each device's own
    gradient.

    Attributes:
      model: the edge architecture.
      task: what is trained for, in which batches and at which rates.
    """

    model: EdgeModel
    task: DeviceTask

    def __call__(
        self,
        start: tf.Tensor,
        *,
        items: ItemTensors,
        data: DeviceData,
        known: Any,
        stacked: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Trains.

        Args:
          start: `[..., P] float32`, each device's weights.
          items: the item table.
          data: a device, or a shard of them.
          known: the cloud's knowledge, decoded from the downlink.
          stacked: whether tensors have a leading device axis.

        Returns:
          Final weights `[..., P] float32`, and the mean loss `[...] float32` of the last epoch;
          with T further targets `[..., 1 + T]`, behind it the loss of each before its weight.
        """
        config = self.task.training
        inputs, teacher = self._sample_inputs(items, data, known, stacked)
        optimizer = build_optimizer(config.optimizer)
        axis = 1 if stacked else 0
        labels, owner = tf.cast(data.labels, tf.float32), tf.cast(data.owner, tf.int32)
        # A shard is padded to its largest device where that fills no batch.
        batch = tf.minimum(self.task.batch_size, tf.shape(labels)[axis])
        own_steps = -(-data.samples // batch)
        epoch_steps = tf.reduce_max(own_steps)
        shared_size = self.model.layout.shared_size(self.task.sharing)
        rates = tf.concat(
            [
                tf.fill([shared_size], config.learning_rate),
                tf.fill([self.model.layout.size - shared_size], config.private_learning_rate),
            ],
            axis=0,
        )

        def cut(tensor: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
            begin = [0] * tensor.shape.rank
            begin[axis] = first
            size = [-1] * tensor.shape.rank
            size[axis] = batch
            shape = tensor.shape.as_list()
            shape[axis] = None
            return tf.ensure_shape(tf.slice(tensor, begin, size), shape)

        def step(
            index: tf.Tensor, weights: tf.Tensor, loss: tf.Tensor, *slots: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            epoch, within = index // epoch_steps, index % epoch_steps
            first = within * batch
            mask = tf.cast(tf.range(batch) + first < data.samples[..., None], tf.float32)
            sample_weights = mask
            if data.weights.shape[-1]:
                sample_weights *= tf.squeeze(cut(data.weights, first), -1)
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
                sample_weights=sample_weights,
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
            share = last * seen
            if self.task.targets:
                share = share[..., None]
            return (index + 1, kept[0], loss + share * batch_loss, *kept[1:])

        zero_loss = tf.zeros_like(tf.cast(data.samples, tf.float32))
        if self.task.targets:
            zero_loss = tf.stack([zero_loss] * (1 + len(self.task.targets)), axis=-1)
        state = tf.while_loop(
            lambda index, *_: index < epoch_steps * config.epochs,
            step,
            (tf.constant(0), start, zero_loss, *optimizer.initial_slots(start)),
            parallel_iterations=1,
        )
        return state[1], state[2]

    def _sample_inputs(
        self, items: ItemTensors, data: DeviceData, known: Any, stacked: bool
    ) -> tuple[EdgeInputs, Told]:
        """Inputs of the devices' samples, and what the cloud, their teacher, says of them."""
        owner = tf.cast(data.owner, tf.int32)
        batch_dims = 1 if stacked else 0
        told = cloud_told(items, known, data.candidates, owner=owner)
        length = self.task.features.history_length
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
        sample_weights: tf.Tensor,
        stacked: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses, of_targets = self.task.total_loss(
                self.model.forward(weights, inputs),
                labels=labels,
                target_labels=target_labels,
                teacher=teacher,
                weights=sample_weights,
                taught=taught,
            )
            total = tf.reduce_sum(losses) if stacked else losses
        gradient = tape.gradient(total, weights)
        if of_targets is None:
            return gradient, losses
        return gradient, tf.concat([losses[..., None], of_targets], axis=-1)
