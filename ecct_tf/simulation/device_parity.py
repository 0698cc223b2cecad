"""What a simulated device ended with, to hold a real one against."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import is_own_codec
from ecct_tf.edge import ItemTensors
from ecct_tf.errors import ExportError
from ecct_tf.federated import DeviceData, DeviceWork, SimulatedDevice, stack_devices
from ecct_tf.knowledge import Downlink, ExchangeSpec, Uplink
from ecct_tf.wire import UplinkForm, WireUplink, decoded_uplink, unpack_uplink
from ecct_tf.wire.row_codec import decoded_rows

__all__ = ["Twin", "check_codes", "simulated_twin", "uplink_bytes"]

Array = npt.NDArray[np.float32]

# Devices that end with other weights, in their last bits, may round to the next step of the codec.
_ONE_STEP = {"int8": 1.0, "float16": 2e-2, "float32": 1e-4}


class Twin(NamedTuple):
    """The simulation's device work, for one device at a time.

    Attributes:
      weights: all weights, `[P]`, that a device ends with. A round itself only adds up the
        changes of shared weights, over all devices.
      answer: what a device sends with given weights, and the seed of its noise.
    """

    weights: Callable[[SimulatedDevice], Array]
    answer: Callable[[SimulatedDevice, Array, int], Uplink]


def simulated_twin(work: DeviceWork, items: ItemTensors) -> Twin:
    """The work of the devices of a tier.

    Args:
      work: of the devices.
      items: the item table.
    """
    # The codec of the shared weights is the transport's, not the device's.
    work = dataclasses.replace(work, weights_codec="float32", waits=False, crosses=True)
    split = work.shared_size

    @tf.function(reduce_retracing=True, autograph=False)
    def train(data: DeviceData, start: tf.Tensor, downlink: Downlink) -> tf.Tensor:
        result = work(
            shared=start[:split],
            noise_seed=tf.constant(0),
            items=items,
            data=data,
            private=start[split:],
            downlink=downlink,
            stacked=False,
        )
        change = result.delta / tf.maximum(result.weight, 1.0)
        return tf.concat([start[:split] + change, result.private], axis=0)

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(
        data: DeviceData, final: tf.Tensor, downlink: Downlink, noise_seed: tf.Tensor
    ) -> Uplink:
        return work.answer(final, noise_seed=noise_seed, items=items, data=data, downlink=downlink)

    def inputs(device: SimulatedDevice) -> tuple[DeviceData, Downlink]:
        padded = stack_devices([device.data], batch_size=work.task.batch_size)
        data = DeviceData(*(tf.constant(np.asarray(part)[0]) for part in padded))
        downlink = tf.nest.map_structure(lambda part: tf.constant(part[None]), device.downlink)
        return data, downlink

    def weights_of(device: SimulatedDevice) -> Array:
        data, downlink = inputs(device)
        found: Array = train(data, tf.constant(device.before), downlink).numpy()
        return found

    def answer_of(device: SimulatedDevice, weights: Array, noise_seed: int) -> Uplink:
        data, downlink = inputs(device)
        found = answer(data, tf.constant(weights), downlink, tf.constant(noise_seed, tf.int32))
        arrays: Uplink = tf.nest.map_structure(lambda part: part.numpy(), found)
        return arrays

    return Twin(weights_of, answer_of)


def uplink_bytes(uplink: Uplink) -> bytes:
    """The payload of one simulated device, as `ecct_tf.wire` lays it out."""
    parts = [uplink.users, uplink.items, *uplink.embeddings, *uplink.logits]
    return b"".join(np.asarray(part).tobytes() for part in parts)


def check_codes(exchange: ExchangeSpec, expected: Uplink, payload: bytes) -> None:
    """Whether a payload that is not equal is the same up to one step of its codec.

    Raises:
      ExportError: when it is not.
    """
    form = UplinkForm(
        queries=exchange.num_queries,
        embedding_dim=exchange.embedding_dim,
        codec=exchange.codec,
        with_logits=exchange.with_logits,
    )
    got = unpack_uplink(payload, form)
    if is_own_codec(exchange.codec):
        worst = _largest_step(expected, got)
    else:
        worst = _largest_distance(exchange, expected, payload, form)
    same = got.user == int(expected.users[0]) and np.array_equal(got.items, expected.items[0])
    most = _ONE_STEP.get(exchange.codec, 1.0)
    if not (same and worst <= most):
        raise ExportError(
            f"the uplink of user {int(expected.users[0])}'s real device is not its simulated "
            f"twin's: values of codec {exchange.codec} differ by {worst:.3g}, more than "
            f"{most:g}, or it answers for another user or other items"
        )


def _largest_distance(
    exchange: ExchangeSpec, expected: Uplink, payload: bytes, form: UplinkForm
) -> float:
    """Of two uplinks of a custom codec, in steps: twice its error, and a bit of the weights'."""
    embeddings, logits = decoded_uplink(payload, form)
    pairs = [(embeddings, expected.embeddings, exchange.embedding_dim)]
    if logits is not None:
        pairs.append((logits, expected.logits, exchange.num_queries))
    worst = 0.0
    for theirs, encoded, width in pairs:
        ours = decoded_rows(exchange.codec, np.asarray(encoded[0]), width)[0]
        size = np.maximum(np.abs(ours).max(axis=-1, keepdims=True), 2.0**-14)
        step = size * (2 * exchange.coder.error + _ONE_STEP["float32"])
        worst = max(worst, float((np.abs(ours - theirs) / step).max(initial=0.0)))
    return worst


def _largest_step(expected: Uplink, got: WireUplink) -> float:
    """Largest difference of two encoded uplinks, in steps where there are scales."""
    worst = 0.0
    for ours, theirs in ((expected.embeddings, got.embeddings), (expected.logits, got.logits)):
        for index, (left, right) in enumerate(zip(ours, theirs, strict=True)):
            left, right = (np.asarray(part, np.float32) for part in (left[0], right))
            difference = np.abs(left - right)
            if index:
                # Two neighbours among float16 numbers are at most 2**-10 of their size apart.
                difference = difference / np.maximum(np.abs(left), 2.0**-14) * 2.0**10
            worst = max(worst, float(difference.max(initial=0.0)))
    return worst
