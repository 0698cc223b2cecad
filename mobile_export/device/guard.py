"""Whether a device ranks with its trained weights, or with those that it started with."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import FeatureConfig, SampleConfig
from ecct_tf.data.clock import clock_readings
from ecct_tf.data.guard import guard_candidates, guard_positions, keeps_training
from ecct_tf.data.samples import histories_before
from ecct_tf.errors import DeviceError
from mobile_export.device.state import DeviceState
from mobile_export.runtime.loaded_file import LoadedFile

__all__ = ["DeviceGuard", "HeldBack", "held_back"]

Array = npt.NDArray[np.float32]


class HeldBack(NamedTuple):
    """The newest positions of a device, on which it does not train.

    Attributes:
      histories: `[g, L] int32`, what came before each.
      candidates: `[g, 1 + 99] int32`, the item of each first.
      clocks: `[g, W] float32`, what the clock said when each happened.
    """

    histories: npt.NDArray[np.int32]
    candidates: npt.NDArray[np.int32]
    clocks: npt.NDArray[Any]


def held_back(
    state: DeviceState, *, num_items: int, samples: SampleConfig, features: FeatureConfig
) -> HeldBack:
    """The held-back positions of a device as it is now.

    Args:
      state: of the device; items that the file does not know do not count.
      num_items: items that it knows, from 1.
      samples: what devices train on.
      features: how histories and clocks are read.
    """
    known = (state.history >= 1) & (state.history <= num_items)
    history = state.history[known]
    positions = guard_positions(
        len(history), num_older=int(known[: state.num_older].sum()), samples=samples
    )
    pool = None if state.rows is None else state.rows.pool
    candidates = guard_candidates(history, positions, num_items=num_items, pool=pool)
    positions = positions[: len(candidates)]
    return HeldBack(
        histories_before(history, positions, features.history_length),
        candidates,
        clock_readings(
            state.times[known], positions, config=features, context=state.context[known]
        ),
    )


class DeviceGuard:
    """Judges devices of a file by their held-back positions.

    Args:
      file: of the devices.
      logits: `(state, held) -> [g, 1 + 99] float32`, with the weights of the state.
    """

    def __init__(self, file: LoadedFile, logits: Callable[[DeviceState, HeldBack], Array]) -> None:
        self._file = file
        self._logits = logits
        # The newest state that was judged, and the one that serves in its place.
        self._judged: tuple[DeviceState, DeviceState] | None = None

    @property
    def _guards(self) -> bool:
        return "train" in self._file.contract and self._file.samples.guard_positions > 0

    def start(self, state: DeviceState) -> Array:
        """What a device whose weights are about to change has as its start from then on."""
        if len(state.start) or not self._guards:
            return state.start
        return state.values[: self._file.sizes.weights]

    def served(self, state: DeviceState) -> DeviceState:
        """The state whose weights rank; see `DeviceModel.served`.

        Raises:
          DeviceError: the starting weights are of another file.
        """
        size = self._file.sizes.weights
        if not len(state.start) or not self._guards:
            return state
        if len(state.start) != size:
            raise DeviceError(
                f"device of user {state.user}: expected {size} starting weights, as "
                f"{self._file.name} has, got {len(state.start)}. Begin the device anew."
            )
        if self._judged is None or self._judged[0] is not state:
            values = np.concatenate([state.start, state.values[size:]])
            begun = dataclasses.replace(state, values=values)
            held = held_back(
                state,
                num_items=self._file.num_items,
                samples=self._file.samples,
                features=self._file.features,
            )
            keeps = keeps_training(
                self._logits(begun, held),
                self._logits(state, held),
                wanted=self._file.samples.guard_positions,
            )
            self._judged = state, state if keeps else begun
        return self._judged[1]
