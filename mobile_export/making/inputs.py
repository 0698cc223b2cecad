"""From what a phone has to the inputs of an edge model, guarded."""

from collections.abc import Mapping

import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.data.outcomes import of_interactions
from ecct_tf.edge import (
    DeviceTask,
    EdgeInputs,
    EdgeModel,
    ItemTensors,
    cloud_knowledge,
    input_logit,
    interaction_features,
    pair_inputs,
    row_keys,
    with_item_vectors,
)
from ecct_tf.fixed_order import is_fixed
from mobile_export.making import guards
from mobile_export.making.held_items import HeldItems
from mobile_export.making.items import Constant, ItemStore

__all__ = ["InputGraph"]

Tensors = Mapping[str, tf.Tensor]


class InputGraph:
    """Builds inputs inside a graph that is being traced.

    Args:
      model: the edge model, for its sizes and for what it reads.
      items: the item table, or the room for rows of it.
      task: what the device does.
      constant: what makes a tensor of an array with a row for each item.
    """

    def __init__(
        self,
        model: EdgeModel,
        items: ItemStore | HeldItems,
        task: DeviceTask,
        *,
        constant: Constant = tf.constant,
    ) -> None:
        self._spec = model.spec
        self._profile_rows = model.profile.rows
        self._reads_items = model.reads_items
        self._reads_slots = model.reads_slots
        self._items = items
        self._constant = constant
        self._task = task

    def known(self, ids: tf.Tensor) -> tf.Tensor:
        """Item ids, those that the table does not have as 0; `[...] int32`."""
        return guards.known_ids(ids, self._items.rows)

    def numbers(self, given: Tensors, ids: tf.Tensor) -> tf.Tensor:
        """The numbers of items that the cloud and the simulation have for `ids`: `[...] int32`."""
        if isinstance(self._items, HeldItems):
            return self._items.numbers(given["item_rows"], ids)
        return ids

    def candidates(self, given: Tensors, candidates: tf.Tensor) -> EdgeInputs:
        """Inputs for candidates of one user as of now: history `[L]`, candidates `[K]`."""
        profile = self._profile(given)
        inputs = pair_inputs(
            self._tensors(given),
            block_sizes=self._items.block_sizes,
            config=self._task.features,
            history=self.known(given["history"]),
            candidates=self.known(_some(candidates)),
            profile=profile,
            user_embeddings=self._user_embedding(given),
            use_logit=self._task.uses_logits,
            clock=_clock(given, self._task.features),
            reads_items=self._reads_items,
            # What a device sends is computed as the simulation does, to the last bit.
            pool_first=not (self._reads_slots or is_fixed()),
        )
        return inputs._replace(profile=tf.expand_dims(profile, 0))

    def rows(self, given: Tensors) -> EdgeInputs:
        """Inputs for rows with a history each: history `[B, L]`, candidates `[B]`."""
        return self._rows(given)[0]

    def samples(self, given: Tensors) -> tuple[EdgeInputs, tf.Tensor]:
        """The same for training, and the teacher's logits `[B]`.

        A device of the simulation keeps the frozen features of its samples as float16;
        rounding them here keeps the phone's training equal to the simulated one.
        """
        own = None
        if self._task.counts_newest:
            own = tf.cast(of_interactions(given["labels"], self._task.samples), tf.float32)
        inputs, teacher = self._rows(given, together=self._task.group_size, own=own)
        stored = inputs._replace(
            interactions=_as_stored(inputs.interactions), slots=_as_stored(inputs.slots)
        )
        return stored, teacher

    def with_keys(self, inputs: EdgeInputs, given: Tensors, step: tf.Tensor) -> EdgeInputs:
        """`inputs` of a batch in `step` `[1]`, from 1, with the keys of what is dropped."""
        items = self.numbers(given, self.known(_some(given["candidates"])))
        users = tf.expand_dims(self._user_embedding(given), 0)
        return inputs._replace(dropout=row_keys(step, items, items=items, users=users))

    def _rows(
        self, given: Tensors, *, together: int = 1, own: tf.Tensor | None = None
    ) -> tuple[EdgeInputs, tf.Tensor]:
        """Inputs of B rows, and the cloud's logits `[B]`.

        Args:
          given: what a phone passes.
          together: so many rows each are of one position, and have its history and clock, which
            are then read once.
          own: `[B] float32`, 1 for rows whose own interaction recent popularity counts.
        """
        items, spec = self._tensors(given), self._spec
        candidates = self.known(_some(given["candidates"]))
        by_position = tf.reshape(candidates, [-1, together])
        found = interaction_features(
            items,
            block_sizes=self._items.block_sizes,
            config=self._task.features,
            history=self.known(_of_positions(given["history"], together)),
            candidates=by_position,
            clock=_clock(given, self._task.features, together=together),
            own=None if own is None else tf.reshape(own, [-1, together]),
        )
        embedding, logit = (
            tf.reshape(part, [-1, *part.shape[2:]])
            for part in cloud_knowledge(items, self._user_embedding(given), by_position)
        )
        length, blocks = spec.history_length, spec.num_blocks
        inputs = EdgeInputs(
            interactions=tf.reshape(found.features, [-1, spec.interaction_dim]),
            slots=tf.reshape(found.slots, [-1, length, blocks]),
            slot_mask=tf.reshape(found.slot_mask, [-1, length, 1]),
            profile=tf.expand_dims(self._profile(given), 0),
            cloud_embedding=embedding,
            cloud_logit=input_logit(items, logit, use_logit=self._task.uses_logits),
        )
        if self._reads_items:
            inputs = with_item_vectors(
                inputs, items, history=self.known(given["history"]), candidates=candidates
            )
        return inputs, logit

    def _tensors(self, given: Tensors) -> ItemTensors:
        if isinstance(self._items, HeldItems):
            return self._items.tensors(given["item_rows"])
        return self._items.tensors(self._constant)

    def _profile(self, given: Tensors) -> tf.Tensor:
        if not self._profile_rows:
            return tf.zeros([0], tf.int32)
        return guards.known_ids(given["profile"], tf.constant(self._profile_rows, tf.int32))

    def _user_embedding(self, given: Tensors) -> tf.Tensor:
        values = tf.cast(given["user_embedding"], tf.float32)
        if "user_embedding_scale" in given:
            values *= given["user_embedding_scale"]
        values = guards.bounded_or_zero(values, guards.LARGEST_EMBEDDING)
        return values if self._task.receives else 0.0 * values


def _some(ids: tf.Tensor) -> tf.Tensor:
    """`ids`, which a reshape refuses at run time when there are none.

    Some runtimes divide by zero, and end the process, when they reduce over no rows.
    """
    if ids.shape[0] is not None:
        return ids
    return tf.reshape(ids, [tf.maximum(tf.size(ids), 1)])


def _of_positions(rows: tf.Tensor, together: int) -> tf.Tensor:
    """The first of each `together` rows; a reshape refuses any that are left over at run time."""
    if together == 1:
        return rows
    width = int(rows.shape[-1])
    return tf.reshape(rows, [-1, together * width])[:, :width]


def _clock(given: Tensors, features: FeatureConfig, *, together: int = 1) -> tf.Tensor | None:
    """The reading of the clock; None for a signature that is given none, whose clock is silent."""
    if "clock" not in given:
        return None
    return guards.possible_reading(_of_positions(given["clock"], together), features)


def _as_stored(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(values, tf.float16), tf.float32)
