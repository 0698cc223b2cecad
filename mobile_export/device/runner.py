"""Loads states of devices into one file's interpreter, and runs its signatures for them."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.clock import clock_reading
from ecct_tf.data.samples import pad_history
from ecct_tf.errors import DeviceError
from mobile_export.device.moments import Context, moment_codes
from mobile_export.device.state import DeviceState
from mobile_export.device.times import whole_seconds
from mobile_export.runtime.interpreter import Runtime
from mobile_export.runtime.loaded_file import LoadedFile

__all__ = ["FileRunner"]

Array = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]


class FileRunner:
    """One file in one interpreter, for states that come and go; threads may share it.

    Attributes, arguments and errors are those of `DeviceModel`.
    """

    def __init__(
        self, path: Path, *, runtime: Runtime = "litert", sha256: str | None = None
    ) -> None:
        self.file = LoadedFile(path, runtime=runtime, sha256=sha256)
        self.runtime: Runtime = runtime
        self._lock = threading.RLock()
        self._current: Array | None = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other threads out of the model within the block, for calls that belong together."""
        with self._lock:
            yield

    @property
    def trainable(self) -> bool:
        """Whether the file trains."""
        return "train" in self.file.contract

    def check(self, state: DeviceState) -> None:
        """Raises `DeviceError` when `state` is another file's."""
        if state.model != self.file.sha256:
            raise DeviceError(
                f"device of user {state.user}: its state belongs to the file with SHA-256 "
                f"{state.model}, {self.file.name} has {self.file.sha256}. Load that file, or let "
                "this one adopt the state."
            )

    def _scored(self, items: npt.NDArray[Any], given: Arrays, *, output: str = "logit") -> Array:
        """Logits with the weights that are loaded, in as many calls as the file needs."""
        width = self.file.sizes.candidates or len(items)
        logits = [
            self._call(
                "score", {**given, "candidates": _filled(items[start : start + width], width)}
            )[output]
            for start in range(0, len(items), width)
        ]
        found: Array = np.concatenate(logits)[: len(items)]
        return found

    def _load(self, state: DeviceState) -> None:
        self.check(state)
        if not self.trainable or self._current is state.values:
            return
        self._current = None
        if self._call("restore", {"state": state.values})["accepted"][0] != 1.0:
            raise DeviceError(
                f"device of user {state.user}: {self.file.name} refused its values; they are not "
                "finite, or far too large. Begin the device anew."
            )
        self._current = state.values

    def _now(self, state: DeviceState) -> Arrays:
        history = pad_history(state.history, self.file.sizes.history_length)
        return {"history": history, **self._user(state)}

    def _reading(self, state: DeviceState, now: float | None, context: Context | None) -> Arrays:
        """What a file with a clock or a context reads of the moment of a request."""
        features = self.file.features
        codes = moment_codes(context, values=features.context)
        if not features.clock_width:
            return {}
        moment = 0 if now is None else whole_seconds(now, what="score: now")
        reading = clock_reading(state.times, now=moment, config=features, context=codes)
        return {"clock": reading}

    def _user(self, state: DeviceState) -> Arrays:
        """Profile and downlink as the signatures take them; without a downlink, zeros."""
        given: Arrays = {}
        if self.file.sizes.profile_columns:
            given["profile"] = state.profile
        dtype = np.int8 if self.file.sizes.codec == "int8" else np.float32
        known = state.downlink
        embedding = np.zeros(self.file.sizes.cloud_dim) if known is None else known.user_embedding
        given["user_embedding"] = embedding.astype(dtype)
        if self.file.sizes.codec == "int8":
            given["user_embedding_scale"] = np.array([1.0 if known is None else known.scale], "f4")
        return given

    def _call(self, signature: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        # What a refused call left in the interpreter is nobody's state.
        current, self._current = self._current, None
        found = self.file.call(signature, inputs)
        self._current = current
        return found


def _filled(items: npt.NDArray[Any], length: int) -> npt.NDArray[np.int32]:
    filled = np.zeros(length, np.int32)
    filled[: len(items)] = items
    return filled
