"""Real devices in a simulated round: exported files do the work too, and must agree.

For each tier the first answering devices of a round begin with the weights, samples,
order and downlink of their simulated twins. What they end with is held against the
simulation: weights, and the uplink's bytes, which must be equal for equal weights.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import RunConfig
from ecct_tf.data import DeviceView
from ecct_tf.data.held_items import HeldItems
from ecct_tf.edge import table_tensors
from ecct_tf.errors import ConfigError, ExportError
from ecct_tf.federated import CohortRound, DeviceWork, SimulatedDevice, Witness
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.noise import draw_noise
from ecct_tf.simulation.device_parity import Twin, check_codes, simulated_twin, uplink_bytes
from ecct_tf.simulation.published_rows import published_rows, room_of
from ecct_tf.wire.row_codec import decoded_rows
from mobile_export.device import DeviceModel, DeviceState, ReceivedDownlink, TrainingPlan
from mobile_export.device.moments import context_words
from mobile_export.device.training import train_round
from mobile_export.making.export import export_edge_model
from mobile_export.making.items import exact_encoding

__all__ = ["WEIGHT_TOLERANCE", "RealDevices", "real_devices"]

_log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

WEIGHT_TOLERANCE = 2e-6


def real_devices(
    config: RunConfig,
    groups: Sequence[Sequence[DeviceView]],
    *,
    table: ItemTable,
    held: HeldItems | None = None,
) -> Witness | None:
    """The witness that `runtime.real_devices` asks for; None for none.

    Args:
      config: of the run.
      groups: what each device holds, with interactions of items that it has no row of.
      table: the item table as devices received it.
      held: the items whose rows each device holds; None for the whole table.

    Raises:
      ConfigError: the cloud sends rows.
    """
    if not config.runtime.real_devices:
        return None
    if table.row_dim:
        raise ConfigError(
            "runtime.real_devices: expected 0 with a cloud that sends rows, which exported files "
            f"do not read, got {config.runtime.real_devices}"
        )
    views = {group[0].user: group[0] for group in groups}
    return RealDevices(config, views, table=table, held=held)


class _Tier(NamedTuple):
    """A tier in a stage: its exported file, and its simulated devices."""

    model: DeviceModel
    twin: Twin


class RealDevices:
    """Implements `ecct_tf.federated.Witness`.

    Args:
      config: of the run.
      views: what each user's device holds.
      table: the item table as devices received it.
      held: the items whose rows each device holds; None for the whole table.
    """

    def __init__(
        self,
        config: RunConfig,
        views: Mapping[int, DeviceView],
        *,
        table: ItemTable,
        held: HeldItems | None = None,
    ) -> None:
        self._config = config
        self._views = views
        self._table = table
        self._held = None if held is None else (held, published_rows(config, table))
        self._plan = TrainingPlan(seed=config.seed)
        self._tiers: dict[tuple[str, bool], _Tier] = {}
        self._differences: list[float] = []
        self._equal: list[bool] = []

    def see(self, seen: CohortRound) -> None:
        """Does the work of some devices again.

        Raises:
          ExportError: when a real device ends otherwise than its simulated twin.
        """
        tier = self._tier(seen.work)
        for device in seen.devices(self._config.runtime.real_devices):
            state = self._begin(tier.model, device)
            state, _ = train_round(tier.model, state, self._plan)
            weights = tier.model.weights(state)
            private, simulated = weights[seen.work.shared_size :], tier.twin.weights(device)
            difference = max(
                float(np.abs(weights - simulated).max()),
                float(np.abs(private - device.private).max(initial=0.0)),
            )
            if not difference <= WEIGHT_TOLERANCE:
                raise ExportError(
                    f"round {seen.round_number + 1}: the real device of user {state.user} (tier "
                    f"{seen.work.model.tier}) ended {difference:.2g} from its simulated twin, more "
                    f"than {WEIGHT_TOLERANCE:g}; check the file with `ecct verify`, or set "
                    "runtime.real_devices to 0"
                )
            self._differences.append(difference)
            if seen.work.sends:
                payload = tier.model.uplink(state, noise=_noise(seen, state.user))
                self._equal.append(payload == uplink_bytes(device.uplink))
                if not self._equal[-1]:
                    check_codes(seen.work.exchange, device.uplink, payload)
                self._check_same_state(seen, tier, device, state, simulated)

    def _check_same_state(
        self,
        seen: CohortRound,
        tier: _Tier,
        device: SimulatedDevice,
        state: DeviceState,
        weights: Array,
    ) -> None:
        """With the very weights of its twin a device must send the very bytes."""
        expected = tier.twin.answer(device, weights, seen.noise_seed)
        same = tier.model.with_weights(state, weights)
        if tier.model.uplink(same, noise=_noise(seen, state.user)) != uplink_bytes(expected):
            raise ExportError(
                f"round {seen.round_number + 1}: with the weights of its simulated twin the real "
                f"device of user {state.user} (tier {seen.work.model.tier}) sends other bytes, "
                "although both add in a fixed order; check the file with `ecct verify`, or set "
                "runtime.real_devices to 0"
            )

    def measured(self) -> Mapping[str, float]:
        """How many devices ran, how far their weights are off, how many uplinks are equal."""
        differences, self._differences = self._differences, []
        equal, self._equal = self._equal, []
        return {
            "real_devices": len(differences),
            "real_devices_max_weight_difference": max(differences, default=0.0),
            "real_devices_uplinks": len(equal),
            "real_devices_equal_uplinks": sum(equal),
        }

    def _begin(self, model: DeviceModel, device: SimulatedDevice) -> DeviceState:
        view = self._views[int(device.data.users[0])]
        state = model.begin(
            user=view.user,
            history=view.history,
            profile=device.data.profile[0],
            num_older=view.num_older,
            times=view.times,
            context=context_words(view.context, values=model.file.kept_columns),
        )
        embedding = device.downlink.user_embeddings
        custom = model.file.sizes.custom_codec
        if custom:
            width = model.file.sizes.cloud_dim
            embedding = (decoded_rows(custom, np.asarray(embedding[0]), width),)
        received = ReceivedDownlink(
            embedding[0],
            device.downlink.queries,
            scale=float(embedding[1][0]) if len(embedding) > 1 else 1.0,
        )
        state = model.receive(state, received)
        if self._held is not None:
            held, rows = self._held
            state = model.hold(state, rows.of(np.append(held.of(view.user), 0)))
        return model.with_weights(state, device.before)

    def _tier(self, work: DeviceWork) -> _Tier:
        """The tier in the stage of `work`; its file is made when it is first needed."""
        key = (work.model.tier, work.exchange.with_logits)
        if key not in self._tiers:
            runtime = self._config.runtime.real_devices_runtime
            with tempfile.TemporaryDirectory() as folder:
                (file,) = export_edge_model(
                    work.model,
                    work.model.layout.initial(self._config.seed),
                    self._table,
                    task=work.task,
                    out=Path(folder),
                    variants=[f"trainable-{exact_encoding(self._table)}"],
                    held=None if self._held is None else room_of(self._config),
                )
                codec = work.exchange.codec
                model = DeviceModel(file.path, runtime=runtime, codec=codec)
            _log.info("real devices of tier %s: %s in %s", key[0], model.file.name, runtime)
            items = table_tensors(self._table)
            self._tiers[key] = _Tier(model, simulated_twin(work, items))
        return self._tiers[key]


def _noise(seen: CohortRound, user: int) -> Array | None:
    """The noise that the simulated device drew; outside of a simulation a device draws its own."""
    exchange, seed = seen.work.exchange, seen.work.noise_seed(seen.noise_seed)
    if seed is None:
        return None
    drawn: Array = draw_noise(
        tf.constant([user]), seed, queries=exchange.num_queries, width=exchange.embedding_dim
    ).numpy()[0]
    return drawn
