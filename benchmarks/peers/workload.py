"""The work of a round, made from the library's own devices and edge model, as a file of arrays."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks.throughput_workload import ITEMS, StubCloud, default_work, synthetic_devices
from ecct_tf.config import RunConfig
from ecct_tf.edge import EdgeInputs, ItemTensors, cloud_told, input_logit, item_tensors
from ecct_tf.federated import DeviceData, DeviceSet, DeviceWork
from ecct_tf.federated.crossing import shared_as_received

__all__ = [
    "TABLE_DIM",
    "Workload",
    "known_embeddings",
    "make_workload",
    "sample_inputs",
    "write_work",
]

TABLE_DIM = 16  # of the trainable item table that plain federated recommenders have

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Workload:
    """Devices of one seed, and what they do in a round.

    Attributes:
      work: of a device. Its private weights have the rate of the shared ones, so that peers, who
        have one rate, learn the same.
      devices: the devices.
      cloud: a stub with prepared answers.
      seed: of all.
    """

    work: DeviceWork
    devices: DeviceSet
    cloud: StubCloud
    seed: int

    @property
    def start(self) -> Array:
        """`[P] float32`, the weights that every device starts with, as received."""
        initial = self.work.model.layout.initial(self.seed)
        return shared_as_received(initial, self.work.weights_codec)

    @property
    def table_start(self) -> dict[str, Array]:
        """The same by name, with a table of items, and rows for it where inputs are read."""
        layout = self.work.model.layout
        rng = np.random.default_rng([self.seed, TABLE_DIM])
        started: dict[str, Array] = {}
        for name, value in layout.to_dict(self.start).items():
            if name == "hidden/kernel":
                # The order that Keras gives them: tables first.
                started["item_table"] = _normal(rng, (ITEMS + 1, TABLE_DIM), scale=0.1)
                rows = _normal(rng, (TABLE_DIM, value.shape[1]), scale=0.1)
                started[name] = np.concatenate([value, rows])
            elif name == "head/inputs":
                started[name] = np.concatenate([value, np.zeros(TABLE_DIM, np.float32)])
            else:
                started[name] = value
        return started


def _normal(rng: np.random.Generator, shape: tuple[int, ...], *, scale: float) -> Array:
    return rng.normal(0.0, scale, shape).astype(np.float32)


def make_workload(*, devices: int, seed: int) -> Workload:
    """The work of `simulation_throughput.py`, of so many devices."""
    rng = np.random.default_rng(seed)
    population = synthetic_devices(rng, number=devices)
    cloud = StubCloud(rng, users=devices, queries=RunConfig().exchange.queries)
    work = default_work(cloud.table)
    rate = work.training.learning_rate
    training = dataclasses.replace(work.training, private_learning_rate=rate)
    return Workload(work.changed(training=training), population, cloud, seed)


def known_embeddings(workload: Workload) -> Array:
    """`[users, d_c] float32`, the cloud's user embeddings as devices decode them."""
    coder = workload.work.exchange.coder
    embeddings = tf.constant(workload.cloud.embeddings)
    decoded: Array = coder.decode(coder.encode(embeddings), embeddings.shape[-1]).numpy()
    return decoded


def sample_inputs(workload: Workload, device: DeviceData) -> tuple[EdgeInputs, tf.Tensor]:
    """What the model reads of a device's samples, and the cloud's logits `[B] float32`."""
    known = tf.constant(known_embeddings(workload)[device.users])
    items = ItemTensors(*map(tf.constant, item_tensors(workload.cloud.table)))
    owner = tf.constant(device.owner, tf.int32)
    told = cloud_told(items, known, tf.constant(device.candidates), owner=owner)
    inputs = EdgeInputs(
        interactions=tf.constant(device.features, tf.float32),
        slots=tf.constant(device.slots, tf.float32),
        slot_mask=tf.zeros((len(device.labels), 0, 1)),
        profile=tf.gather(tf.constant(device.profile), owner),
        cloud_embedding=told.embedding,
        cloud_logit=input_logit(items, told.logit, use_logit=True),
    )
    return inputs, told.logit


def write_work(path: Path, workload: Workload) -> None:
    """Writes the samples with the cloud's knowledge joined to them, the start and the rates."""
    parts: list[tuple[npt.NDArray[np.generic], ...]] = []
    for device in workload.devices.devices:
        inputs, teacher = sample_inputs(workload, device)
        dense = [inputs.interactions, inputs.cloud_embedding, inputs.cloud_logit[:, None]]
        labels = device.labels.astype(np.float32)
        joined, profile = np.concatenate(dense, axis=1), inputs.profile.numpy()
        parts.append((joined, profile, device.candidates, labels, teacher))
    work = workload.work
    starts = {"edge": work.model.layout.to_dict(workload.start), "table": workload.table_start}
    settings = {
        "weights": {model: list(start) for model, start in starts.items()},
        "batch_size": work.task.batch_size,
        "learning_rate": work.training.learning_rate,
        "distillation_weight": work.task.distillation_weight,
        "temperature": work.training.temperature,
    }
    arrays = map(np.concatenate, zip(*parts, strict=True))
    np.savez(
        path,
        **dict(zip(("dense", "profile", "item", "label", "teacher"), arrays, strict=True)),
        counts=np.array([len(part[0]) for part in parts]),
        settings=np.array(json.dumps(settings)),
        **{
            f"{model}:{name}": value
            for model, start in starts.items()
            for name, value in start.items()
        },
    )
