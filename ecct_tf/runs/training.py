"""The simulation's own training of one device, as the reference for an exported file."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import RunConfig, is_own_codec
from ecct_tf.data import DeviceView
from ecct_tf.data.guard import guard_candidates, guard_positions
from ecct_tf.data.samples import histories_before
from ecct_tf.edge import (
    DeviceTask,
    EdgeInputs,
    EdgeModel,
    EdgeOutputs,
    ItemTensors,
    Weight,
    WeightLayout,
)
from ecct_tf.federated import DeviceData, DeviceWork, prepare_devices, stack_devices
from ecct_tf.federated.drawn import (
    readings_at,
    sample_clocks,
    sample_histories,
    sample_weights,
)
from ecct_tf.knowledge import Downlink, Encoded, ExchangeSpec
from mobile_export.checking.reference import SimulatedTraining
from mobile_export.making.parameters import Parameters

__all__ = ["encoded_inputs", "simulated_training"]

Arrays = dict[str, npt.NDArray[Any]]

_OF_THE_USER = ("profile", "user_embedding", "user_embedding_scale")


def simulated_training(
    work: DeviceWork,
    *,
    items: ItemTensors,
    task: DeviceTask,
    parameters: Parameters,
    group: Sequence[DeviceView],
    config: RunConfig,
    downlink: Encoded,
    steps: int,
) -> SimulatedTraining:
    """Trains one device by the device work of the simulation.

    Args:
      work: of the run.
      items: the item table that the device has, as arrays.
      task: how it trains.
      parameters: what it trains.
      group: its one user.
      config: of the run.
      downlink: the user embedding as encoded.
      steps: at least.
    """
    batch = task.batch_size
    (data,) = prepare_devices(
        [group],
        items=items,
        block_sizes=work.block_sizes,
        features=task.features,
        samples=task.samples,
        with_slots=work.model.reads_slots,
        with_items=work.model.reads_items,
        profile=work.model.profile,
        group_size=task.group_size,
        counts_newest=task.counts_newest,
        seed=config.seed,
    ).devices
    drawn: dict[str, Any] = {
        "items": items,
        "features": task.features,
        "samples": task.samples,
        "group_size": task.group_size,
        "seed": config.seed,
    }
    frozen: Arrays = {"history": sample_histories(group, **drawn)}
    weights = sample_weights(group, **drawn)
    if task.features.clock_width:
        frozen["clock"] = sample_clocks(group, **drawn)
    in_pass = -(-int(data.samples) // batch)
    epochs = -(-steps // in_pass)
    # The codec of the shared weights is the transport's, not the device's.
    work = dataclasses.replace(
        work,
        model=_training(work.model, parameters),
        weights_codec="float32",
    )
    split, start = parameters.shared_size, parameters.start
    padded = stack_devices([data], batch_size=batch)

    def trained(epochs: int) -> npt.NDArray[np.float32]:
        training = dataclasses.replace(task.training, epochs=epochs)
        found = dataclasses.replace(work, task=task.changed(sharing="backbone", training=training))(
            shared=tf.constant(start[:split]),
            noise_seed=tf.constant(0),
            items=ItemTensors(*map(tf.constant, items)),
            data=DeviceData(*(tf.constant(np.asarray(part)[0]) for part in padded)),
            private=tf.constant(start[split:]),
            downlink=Downlink(
                tuple(part[None] for part in downlink),
                tf.zeros([1, task.exchange.num_queries], tf.int32),
            ),
            stacked=False,
        )
        shared = start[:split] + found.delta.numpy() / float(found.weight)
        weights: npt.NDArray[np.float32] = np.concatenate([shared, found.private.numpy()])
        return weights.astype(np.float32)

    own: Arrays = {
        **encoded_inputs(downlink, task.exchange),
        "learning_rate": np.array([task.training.learning_rate], np.float32),
        "private_learning_rate": np.array([task.training.private_learning_rate], np.float32),
    }
    if data.profile.shape[1]:
        own["profile"] = data.profile[0]
    return SimulatedTraining(
        batches=list(
            _batches(data, {**frozen, "mask": weights}, batch=batch, epochs=epochs, own=own)
        ),
        start=start,
        final=trained(epochs),
        first_pass=(in_pass, trained(1)) if epochs > 1 else None,
        held=list(_held_back(group[0], task=task, num_items=len(items[0]) - 1, own=own)),
    )


def _held_back(
    view: DeviceView, *, task: DeviceTask, num_items: int, own: Arrays
) -> Iterator[Arrays]:
    """Inputs of `score` for each position that the device judges its training by."""
    features, history = task.features, view.history
    positions = guard_positions(len(history), num_older=view.num_older, samples=task.samples)
    candidates = guard_candidates(history, positions, num_items=num_items)
    positions = positions[: len(candidates)]
    before = histories_before(history, positions, features.history_length)
    clocks = readings_at(view, positions, features)
    known = {name: own[name] for name in _OF_THE_USER if name in own}
    for row, items in enumerate(candidates):
        timed = {"clock": clocks[row]} if features.clock_width else {}
        yield {"history": before[row], "candidates": items, **timed, **known}


def _training(model: EdgeModel, parameters: Parameters) -> EdgeModel:
    """`model` as a function of the trained values, be they its weights or adapters."""
    split = parameters.shared_size
    layout = WeightLayout(
        (
            Weight("shared", (split,), "backbone"),
            Weight("private", (parameters.size - split,), "head"),
        )
    )

    def forward(
        flat: tf.Tensor, inputs: EdgeInputs, *, fixed_order: bool | None = None
    ) -> EdgeOutputs:
        weights = parameters.expand(flat, tf.constant(0))
        return model.forward(weights, inputs, fixed_order=fixed_order)

    return dataclasses.replace(model, layout=layout, forward=forward)


def encoded_inputs(encoded: Encoded, exchange: ExchangeSpec) -> Arrays:
    """A user embedding as a file takes it: int8 with its scale, or float32.

    A custom codec decodes outside of the file.
    """
    if not is_own_codec(exchange.codec):
        decoded = exchange.coder.decode(encoded, exchange.cloud_dim)
        return {"user_embedding": np.asarray(decoded, np.float32)}
    values = encoded[0].numpy()
    if len(encoded) == 1:
        return {"user_embedding": values.astype(np.float32)}
    scale = encoded[1].numpy().astype(np.float32).reshape(1)
    return {"user_embedding": values, "user_embedding_scale": scale}


def _batches(
    data: DeviceData,
    frozen: Arrays,
    *,
    batch: int,
    epochs: int,
    own: Arrays,
) -> Iterator[Arrays]:
    count = int(data.samples)
    for _ in range(epochs):
        for start in range(0, count, batch):
            rows = slice(start, min(start + batch, count))
            labels = data.labels[rows].astype(np.float32)
            yield {
                **{name: values[rows] for name, values in frozen.items()},
                "candidates": data.candidates[rows],
                "labels": labels,
                **({"target_labels": data.targets[rows]} if data.targets.shape[1] else {}),
                **own,
            }
