"""Loads states of devices into one file's interpreter, and runs its signatures for them."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CodecName
from ecct_tf.data.clock import clock_reading
from ecct_tf.data.samples import pad_history
from ecct_tf.errors import DeviceError
from ecct_tf.wire.item_rows import ItemRows
from mobile_export.contract.held import HeldRoom
from mobile_export.device.moments import Context, moment_codes
from mobile_export.device.received import check_codec
from mobile_export.device.rows import DeviceRows, PlacedRows, placed, usable_part
from mobile_export.device.state import DeviceState
from mobile_export.device.times import whole_seconds
from mobile_export.runtime.interpreter import Runtime
from mobile_export.runtime.loaded_file import LoadedFile

__all__ = ["FileRunner"]

Array = npt.NDArray[np.float32]
Arrays = dict[str, Any]

_ROWS = "item_rows"


class FileRunner:
    """One file in one interpreter, for states that come and go; threads may share it.

    Attributes, arguments and errors are those of `DeviceModel`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        runtime: Runtime = "litert",
        sha256: str | None = None,
        codec: CodecName | None = None,
    ) -> None:
        self.file = LoadedFile(path, runtime=runtime, sha256=sha256)
        check_codec(self.file, codec)
        self.codec = codec
        self.runtime: Runtime = runtime
        self._lock = threading.RLock()
        self._current: Array | None = None
        # The newest rows that were laid out, and the newest state whose history was thinned.
        self._placed: tuple[DeviceRows, PlacedRows] | None = None
        self._usable: tuple[DeviceState, DeviceState] | None = None

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

    def usable(self, state: DeviceState) -> DeviceState:
        """The state without recent interactions of items that the device has no row of.

        Raises:
          DeviceError: the file takes rows, and the device has none, or those of another table.
        """
        if self.file.room is None:
            return state
        rows, known = self._rows(state), self._usable
        if known is None or known[0] is not state:
            kept = usable_part(state.history, num_older=state.num_older, rows=rows)
            known = self._usable = state, state if kept.all() else _only(state, kept)
        return known[1]

    def _rows(self, state: DeviceState) -> DeviceRows:
        rows = state.rows
        if rows is None or rows.table_sha256 != self.file.table_sha256:
            told = "none" if rows is None else f"those of {rows.table_sha256[:16]}…"
            raise DeviceError(
                f"device of user {state.user}: {self.file.name} takes rows of items, expected "
                f"those that the cloud chose of item table {self.file.table_sha256[:16]}…, got "
                f"{told}; give it those of the publication (Device.hold)"
            )
        return rows

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
        if self.file.room is not None:
            given[_ROWS] = self._laid_out(self._rows(state), self.file.room)
        return given

    def _laid_out(self, rows: DeviceRows, room: HeldRoom) -> PlacedRows:
        known = self._placed
        if known is None or known[0] is not rows:
            known = self._placed = rows, placed(rows.known, room=room)
        return known[1]

    def _requested(
        self, state: DeviceState, items: npt.NDArray[np.int32], rows: ItemRows | None
    ) -> Iterator[tuple[npt.NDArray[np.int32], dict[str, PlacedRows]]]:
        """Candidates of a request piece by piece, each with the rows that the file then takes.

        Args:
          state: of the device.
          items: the candidates.
          rows: that came with the request; None for none.

        Raises:
          DeviceError: there is no row of a candidate.
        """
        room = self.file.room
        if room is None:
            yield items, {}
            return
        own = self._rows(state)
        known = own.known if rows is None else own.known.joined(rows.of(items))
        missing = int((~np.isin(items, known.items)).sum())
        if missing:
            raise DeviceError(
                f"device of user {state.user}: expected a row of each of {len(items)} candidates, "
                f"got none of {missing}; give those that came with the request (rows=…), or rank "
                "the items that the device has rows of"
            )
        lacking = ~np.isin(items, own.items)
        if not lacking.any():
            yield items, {_ROWS: self._laid_out(own, room)}
            return
        pieces = (np.cumsum(lacking) - 1).clip(0) // (room.rows - len(own.items))
        for piece in np.unique(pieces):
            some = items[pieces == piece]
            yield some, {_ROWS: placed(own.known.joined(known.of(some)), room=room)}

    def _call(self, signature: str, inputs: Mapping[str, Any]) -> Arrays:
        # What a refused call left in the interpreter is nobody's state.
        current, self._current = self._current, None
        rows = inputs.get(_ROWS)
        found = self.file.call(signature, inputs if rows is None else rows.given(inputs))
        self._current = current
        return found


def _only(state: DeviceState, kept: npt.NDArray[np.bool_]) -> DeviceState:
    # None of the older ones is missing, so that as many are older.
    return dataclasses.replace(
        state, history=state.history[kept], times=state.times[kept], context=state.context[kept]
    )


def _filled(items: npt.NDArray[Any], length: int) -> npt.NDArray[np.int32]:
    filled = np.zeros(length, np.int32)
    filled[: len(items)] = items
    return filled
