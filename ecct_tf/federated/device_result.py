"""What the work of one client value yields, and the stages of the exchange."""

from typing import Any, Literal, NamedTuple

import tensorflow as tf

__all__ = ["STAGES", "DeviceResult", "Stage"]

Stage = Literal[1, 2]
STAGES: tuple[Stage, ...] = (1, 2)


class DeviceResult(NamedTuple):
    """What the work of one client value yields.

    Attributes:
      private: `[..., P_private] float32`, stays on the device.
      delta: `[P_shared] float32`, weighted sum of the changes of the shared weights.
      weight: `[] float32`, what is behind `delta`: samples, unless a method says otherwise.
      loss: `[] float32`, sample-weighted sum of each device's mean loss in its last epoch;
        NaN if the weights of a device are not finite. With T further targets `[1 + T]`: behind it
        the loss of each, before its weight.
      samples: `[] float32`, the samples behind `loss`.
      uplink: goes to the cloud; `()` where nothing does.
    """

    private: tf.Tensor
    delta: tf.Tensor
    weight: tf.Tensor
    loss: tf.Tensor
    samples: tf.Tensor
    uplink: Any
