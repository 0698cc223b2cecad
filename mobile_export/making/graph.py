"""The signatures of an exported file as TensorFlow functions.

The mathematics is that of the simulation: the same forward function, features, loss,
optimisers and codecs. What is added here are guards, variables and names.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from ecct_tf.edge import DeviceTask, EdgeInputs, EdgeModel, EdgeOutputs, build_optimizer
from ecct_tf.fixed_order import fixed_order
from mobile_export.contract.signatures import Signature, Sizes, graph_codec, signatures
from mobile_export.making import guards
from mobile_export.making.conversion import QUANTISED_SCOPE
from mobile_export.making.held_items import HeldItems
from mobile_export.making.inputs import InputGraph
from mobile_export.making.items import Constant, ItemStore
from mobile_export.making.parameters import Parameters
from mobile_export.making.uplink import encoded_answer

__all__ = ["EdgeGraph"]

Tensors = Mapping[str, tf.Tensor]

_FINITE = 3e38


class EdgeGraph(tf.Module):
    """An edge model with its state, ready for conversion.

    Attributes:
      contract: the signatures, by name.
      functions: a concrete function for each signature.

    Args:
      model: the architecture.
      parameters: its weights.
      items: the item table, or the room for rows of it.
      task: what the device does.
      sizes: of the file.
      trainable: with state and training; otherwise the weights are constants.
      constant: what makes a tensor of an array with a row for each item.
    """

    def __init__(
        self,
        model: EdgeModel,
        *,
        parameters: Parameters,
        items: ItemStore | HeldItems,
        task: DeviceTask,
        sizes: Sizes,
        trainable: bool,
        constant: Constant = tf.constant,
    ) -> None:
        super().__init__()
        self._model = model
        self._parameters = parameters
        self._task = task
        self._inputs = InputGraph(model, items, task, constant=constant)
        self._optimizer = build_optimizer(task.training.optimizer)
        self._trainable = trainable
        self._sizes = sizes
        if trainable:
            self._weights = tf.Variable(parameters.start, name="weights")
            self._slots = [
                tf.Variable(tf.fill([parameters.size], start), name=f"slot_{index}")
                for index, start in enumerate(self._optimizer.slot_starts)
            ]
            self._step = tf.Variable([0.0], name="step")
        self.contract = signatures(sizes, trainable=trainable)
        self.functions = {
            name: _concrete(getattr(self, f"_{name}"), signature)
            for name, signature in self.contract.items()
        }

    def _infer(self, given: Tensors) -> Tensors:
        outputs = self._forward(self._inputs.rows(given))
        return {
            "logit": outputs.logit,
            "probability": tf.sigmoid(outputs.logit),
            "embedding": outputs.embedding,
            "target_logits": outputs.targets,
        }

    def _score(self, given: Tensors) -> Tensors:
        outputs = self._forward(self._inputs.candidates(given, given["candidates"]))
        return {
            "logit": outputs.logit,
            "probability": tf.sigmoid(outputs.logit),
            "target_logits": outputs.targets,
        }

    def _uplink(self, given: Tensors) -> Tensors:
        queries = self._inputs.known(given["queries"])
        # A file that trains has the state of a device; what it answers is to be the same in all
        # runtimes. One that does not has quantised weights, which only products read well.
        with fixed_order(self._trainable):
            inputs = self._inputs.candidates(given, queries)
        outputs = self._forward(inputs, fixed_order=self._trainable)
        # A custom codec encodes on the device, outside of the file, which gives it numbers.
        exchange = self._task.exchange
        return encoded_answer(
            dataclasses.replace(exchange, codec=graph_codec(exchange.codec)),
            queries=self._inputs.numbers(given, queries),
            outputs=outputs,
            noise=given.get("noise"),
        )

    def _train(self, given: Tensors) -> Tensors:
        inputs, teacher = self._inputs.samples(given)
        if self._model.reads_dropout:
            inputs = self._inputs.with_keys(inputs, given, self._step.read_value() + 1.0)
        # A column of another length would broadcast; a reshape to the rows' number refuses it.
        rows = given["candidates"].shape[0] or tf.size(given["candidates"])
        labels = _of_length(given["labels"], rows, guards.unit)
        # A row whose label is no number says nothing; it must not pass for a negative.
        told = _of_length(given["labels"], rows, guards.finite)
        mask = _of_length(given["mask"], rows, guards.unit) * told
        weights = self._weights.read_value()
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss, of_targets = self._task.total_loss(
                self._model.forward(self._expanded(weights), inputs),
                labels=labels,
                target_labels=_target_labels(given, rows, len(self._task.targets)),
                teacher=teacher,
                weights=mask,
            )
        gradient = tape.gradient(loss, weights)
        norm = guards.norm(gradient)
        slots = tuple(slot.read_value() for slot in self._slots)
        step = self._step.read_value()
        updated, new_slots = self._optimizer.apply(
            weights, gradient, slots, step + 1.0, self._rates(given)
        )
        olds = (weights, *slots)
        # As the simulation's device work writes it, to the last bit.
        news = [old + (new - old) for old, new in zip(olds, (updated, *new_slots), strict=True)]
        # A batch of padding alone moves nothing, momentum included.
        some = tf.cast(tf.reduce_sum(mask, axis=0, keepdims=True) > 0.0, tf.float32)
        active = (
            some
            * guards.at_most(norm, guards.LARGEST_GRADIENT_NORM)
            * guards.at_most(guards.norm(news[0]), guards.LARGEST_WEIGHTS_NORM)
        )
        for variable, old, new in zip((self._weights, *self._slots), olds, news, strict=True):
            variable.assign(guards.whole(active, new, old))
        self._step.assign(step + active)
        told = {} if of_targets is None else {"target_losses": of_targets}
        return {
            **{name: guards.bounded_or_zero(part, _FINITE) for name, part in told.items()},
            "loss": guards.bounded_or_zero(tf.reshape(loss, [1]), _FINITE),
            "gradient_norm": guards.bounded_or_zero(norm, _FINITE),
            "applied": active * 1.0,
            "step": step + active,
        }

    def _get_weights(self, given: Tensors) -> Tensors:
        del given
        return {"weights": self._weights.read_value()}

    def _set_weights(self, given: Tensors) -> Tensors:
        weights = _of_length(given["weights"], self._parameters.size, guards.finite_or_huge)
        accepted = guards.at_most(guards.norm(weights), guards.LARGEST_WEIGHTS_NORM)
        self._weights.assign(tf.where(accepted > 0.0, weights, self._weights.read_value()))
        return {"accepted": accepted}

    def _save(self, given: Tensors) -> Tensors:
        del given
        variables = (self._weights, *self._slots, self._step)
        return {"state": tf.concat([variable.read_value() for variable in variables], axis=0)}

    def _restore(self, given: Tensors) -> Tensors:
        size = self._parameters.size
        state = _of_length(given["state"], self._sizes.state, guards.finite_or_huge)
        weights = state[:size]
        # The last slot (squares) and the step after it are never negative.
        tail = state[-1 - size * min(1, len(self._slots)) :]
        accepted = (
            guards.at_most(guards.norm(weights), guards.LARGEST_WEIGHTS_NORM)
            * guards.plausible(state, _FINITE)
            * tf.cast(tf.reduce_min(tail, axis=0, keepdims=True) >= 0.0, tf.float32)
        )
        for index, variable in enumerate((self._weights, *self._slots)):
            part = state[size * index : size * (index + 1)]
            variable.assign(tf.where(accepted > 0.0, part, variable.read_value()))
        self._step.assign(tf.where(accepted > 0.0, state[-1:], self._step.read_value()))
        return {"accepted": accepted * 1.0}

    def _reset_optimizer(self, given: Tensors) -> Tensors:
        # What is assigned must not depend on the input: its length would become the variable's.
        del given
        for slot, start in zip(self._slots, self._optimizer.slot_starts, strict=True):
            slot.assign(tf.fill([self._parameters.size], start))
        self._step.assign([0.0])
        return {"step": self._step.read_value()}

    def _forward(self, inputs: EdgeInputs, *, fixed_order: bool = False) -> EdgeOutputs:
        if self._trainable:
            weights = self._expanded(self._weights.read_value())
        else:
            weights = tf.constant(self._parameters.start)
        with tf.name_scope(QUANTISED_SCOPE):
            return self._model.forward(weights, inputs, fixed_order=fixed_order)

    def _expanded(self, trained: tf.Tensor) -> tf.Tensor:
        # Never below zero, which the converter cannot know.
        zero = tf.cast(tf.minimum(self._step.read_value()[0], 0.0), tf.int32)
        return self._parameters.expand(trained, zero)

    def _rates(self, given: Tensors) -> tf.Tensor:
        shared = self._parameters.shared_size
        parts = [
            tf.fill([length], _of_length(given[name], 1, guards.unit)[0])
            for name, length in (
                ("learning_rate", shared),
                ("private_learning_rate", self._parameters.size - shared),
            )
        ]
        return tf.concat(parts, axis=0)


def _concrete(function: Callable[[Tensors], Tensors], signature: Signature) -> Any:
    """Traces `function` with the names, dtypes and shapes of its signature."""
    names = [port.name for port in signature.inputs]

    def call(*values: tf.Tensor) -> Tensors:
        found = function(dict(zip(names, values, strict=True)))
        return {port.name: found[port.name] for port in signature.outputs}

    specs = [tf.TensorSpec(port.shape, port.dtype, name=port.name) for port in signature.inputs]
    traced = tf.function(call, input_signature=specs, autograph=False)
    return traced.get_concrete_function()


def _target_labels(given: Tensors, rows: int | tf.Tensor, count: int) -> tf.Tensor | None:
    """`[rows, T]` in -1..1, -1 for what is no number; at run time another shape is refused."""
    if not count:
        return None
    values = tf.reshape(given["target_labels"], [rows * count, 1])
    known = guards.finite(values)
    told = tf.clip_by_value(guards.bounded_or_zero(values, _FINITE), -1.0, 1.0)
    return tf.reshape(told * known - (1.0 - known), [rows, count])


def _of_length(
    values: tf.Tensor, length: int | tf.Tensor, guard: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """`guard(values)` as `[length]`; at run time a reshape refuses any other length."""
    # By way of a matrix, with work in between: the converter drops a reshape to the shape that
    # it already has.
    return tf.reshape(guard(tf.reshape(values, [length, 1])), [length])
