"""A device's round with the cloud: fetch, take part, answer. A kill at any point loses nothing."""

import contextlib
import dataclasses
import time
from collections.abc import Callable

from ecct_tf.errors import TransportError
from mobile_export.device import Device, DeviceModel, TrainingPlan, TrainingReport
from mobile_export.transport.client import (
    CloudClient,
    StalePublicationError,
    TokenRefusedError,
)
from mobile_export.transport.spool import Spool, SpoolReport

__all__ = ["RoundReport", "take_part"]

# A cloud that publishes oftener between two requests is out of order.
_MOST_PUBLICATIONS = 3


@dataclasses.dataclass(frozen=True)
class RoundReport:
    """What a call of `take_part` did.

    Attributes:
      round_number: that the cloud asks in.
      training: None where the device had taken part in that round already.
      sent: what became of answers, those that had waited among them; None where the cloud could
        not be reached any more: they wait.
      device: the device, with another model file where the cloud's item table is another.
    """

    round_number: int
    training: TrainingReport | None
    sent: SpoolReport | None
    device: Device


def take_part(
    device: Device,
    client: CloudClient,
    spool: Spool,
    plan: TrainingPlan,
    *,
    rounds: int = 1,
    clock: Callable[[], float] = time.time,
) -> RoundReport:
    """Takes part in the round that the cloud asks in now, once, and answers.

    Where a kill came between training and the answer, the next call answers from the trained
    state, without training again. Where the cloud's item table is not that of the device's file,
    the file of the same name is fetched, and adopts the device.

    Args:
      device: that takes part.
      client: of the cloud.
      spool: of the device's answers.
      plan: how to train.
      rounds: of local training before the answer.
      clock: seconds since 1970, for the answers.

    Raises:
      TransportError: the cloud cannot be reached before the device has taken part.
      TokenRefusedError: the token is not valid; an answer that was made waits in the spool.
      DeviceError: what the cloud sent does not fit the device.
    """
    for _ in range(_MOST_PUBLICATIONS - 1):
        with contextlib.suppress(StalePublicationError):
            return _take_part(device, client, spool, plan, rounds=rounds, clock=clock)
    return _take_part(device, client, spool, plan, rounds=rounds, clock=clock)


def _take_part(
    device: Device,
    client: CloudClient,
    spool: Spool,
    plan: TrainingPlan,
    *,
    rounds: int,
    clock: Callable[[], float],
) -> RoundReport:
    publication = client.current()
    client.prune(publication)
    if publication.item_table.sha256 != device.model.file.table_sha256:
        device = _moved(device, client, publication.item_table.sha256)
    training = None
    known = device.state.downlink
    asked = publication.round_number
    has_taken_part = known is not None and known.round_number >= asked and known.cloud_version > 0
    if not has_taken_part:
        downlink = client.downlink(publication, codec=device.model.codec)
        training, payload = device.take_part(downlink, plan, rounds=rounds)
    elif spool.answered_round is None or spool.answered_round < asked:
        payload = device.uplink()
    else:
        payload = b""
    if payload:
        made = device.model.envelope(device.state, payload, created_at_seconds=int(clock()))
        spool.add(made)
    try:
        sent = spool.send(client)
    except TokenRefusedError:
        raise
    except TransportError:
        # It waits on the disk; the next call sends it.
        sent = None
    return RoundReport(asked, training, sent, device)


def _moved(device: Device, client: CloudClient, table_sha256: str) -> Device:
    """The device with the file that holds the published item table."""
    old = device.model
    model = DeviceModel(client.model(old.file.name), runtime=old.runtime, codec=old.codec)
    if model.file.table_sha256 != table_sha256:
        raise TransportError(
            f"{old.file.name}: expected a file with the published item table {table_sha256[:16]}…, "
            f"the cloud offers one with {model.file.table_sha256[:16]}…; export it anew"
        )
    return Device.adopt(device.path, model, previous=old, clock=device.clock)
