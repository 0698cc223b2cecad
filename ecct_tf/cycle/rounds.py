"""A round of local training on real devices, and the federated mean of what they share."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ecct_tf.config import CodecName, ServerConfig
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.crossing import shared_as_received
from ecct_tf.federated.server import server_step
from ecct_tf.wire import UplinkRecord
from mobile_export.device import DeviceFleet, DeviceModel, DeviceState, TrainingPlan
from mobile_export.device.training import train_round

__all__ = ["answers", "local_round"]


def local_round(
    model: DeviceModel,
    states: Sequence[DeviceState],
    server: ServerState,
    *,
    plan: TrainingPlan,
    config: ServerConfig,
    codec: CodecName,
    receives: bool = True,
    sends: bool = True,
) -> tuple[list[DeviceState], ServerState]:
    """One round of all devices of a tier: each trains; the mean change is applied, if it crosses.

    Args:
      model: the devices' file.
      states: of the devices, which have received their downlink.
      server: the shared weights before the round.
      plan: how devices train.
      config: the server's optimiser.
      codec: of the shared weights, in both directions.
      receives: whether devices receive the shared weights; else they go on from their own.
      sends: whether they send their change since they received them; else it stays with them.

    Returns:
      States and shared weights after the round.
    """
    size = model.shared_size
    sent = np.asarray(server.shared, np.float32)
    received = shared_as_received(sent, codec) if size else sent
    change = np.zeros(size, np.float32)
    samples = 0
    after = []
    for state in states:
        begun = model.with_weights(state, received) if receives else state
        trained, report = train_round(model, begun, plan)
        after.append(trained)
        samples += report.samples
        if size and sends:
            own = model.weights(trained)[:size] - received
            change += np.float32(report.samples) * shared_as_received(own, codec)
    if not sends:
        return after, server
    stepped = server_step(
        ServerState(*(tf.constant(part) for part in server)),
        tf.constant(change),
        tf.constant(samples, tf.float32),
        config,
    )
    return after, ServerState(*(np.asarray(part) for part in stepped))


def answers(fleet: DeviceFleet, *, created_at_seconds: int) -> list[UplinkRecord]:
    """The devices' answers to the queries of their downlink, as records of the log.

    Args:
      fleet: devices that have a downlink.
      created_at_seconds: when, in whole seconds since 1970, UTC.
    """
    return [
        fleet.model.envelope(device.state, device.uplink(), created_at_seconds=created_at_seconds)
        for device in fleet
    ]
