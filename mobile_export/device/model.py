"""A model file that serves any number of devices, whose states come and go."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.clock import clock_reading
from ecct_tf.data.samples import pad_history
from ecct_tf.errors import DeviceError
from ecct_tf.wire import StartFile, UplinkRecord
from mobile_export.contract.wire import pack_uplink, uplink_form
from mobile_export.device.given import finite_values, item_rows, whole_number
from mobile_export.device.guard import DeviceGuard, HeldBack
from mobile_export.device.profile import profile_row
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.device.times import InteractionTimes, interaction_times, whole_seconds
from mobile_export.runtime.interpreter import Runtime
from mobile_export.runtime.loaded_file import LoadedFile

__all__ = ["DeviceModel"]

Array = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]

_UNUSED = {"unused": np.zeros(1, np.float32)}
_WITHOUT_ANSWER = "expected queries to answer; apply a downlink that has some first"


class DeviceModel:
    """Runs the signatures of one exported file for devices, whose states come and go.

    Its methods take a `DeviceState` and return what comes of it; a state is never changed.
    Threads may share it: it has one interpreter, and its calls run one after another.

    Attributes:
      file: what it runs.
      runtime: what runs it.

    Args:
      path: the file. Its hash is checked before it is loaded.
      runtime: `litert`, or `tensorflow` for its interpreter.
      sha256: expected of the file; by default what the manifest beside it says.

    Raises:
      ExportError: when the file is not what the manifest says, or the runtime is not
        installed or refuses it.
    """

    def __init__(
        self, path: Path, *, runtime: Runtime = "litert", sha256: str | None = None
    ) -> None:
        self.file = LoadedFile(path, runtime=runtime, sha256=sha256)
        self.runtime: Runtime = runtime
        self._lock = threading.RLock()
        self._current: Array | None = None
        self._guard = DeviceGuard(self.file, self._of_held_back)
        self._first: Array = np.zeros(0, np.float32)
        if self.trainable:
            self._first = self._call("save", _UNUSED)["state"]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other threads out of the model within the block, for calls that belong together."""
        with self._lock:
            yield

    @property
    def trainable(self) -> bool:
        """Whether the file trains."""
        return "train" in self.file.contract

    @property
    def num_items(self) -> int:
        """Items that the file knows, from 1."""
        return int(self.file.metadata["items"]["rows"]) - 1

    @property
    def shared_size(self) -> int:
        """P_shared: how many of the weights, the first, are a federated mean."""
        return int(self.file.metadata["weights"]["shared"])

    def begin(
        self,
        *,
        user: int,
        history: npt.ArrayLike = (),
        profile: npt.ArrayLike | Mapping[str, Any] = (),
        num_older: int = 0,
        times: InteractionTimes = None,
    ) -> DeviceState:
        """The state of a device that has just got the file: its weights, no downlink.

        Args:
          user: the id that the cloud knows the user by.
          history: items of the user's training part, oldest first.
          profile: values of the private columns by name, such as `{"age": 34}`, or the row of
            whole numbers that stand for them; 0 for unknown.
          num_older: how many of `history` the cloud knows too.
          times: when each of `history` was, seconds since 1970; None where it is unknown.
        """
        user = whole_number(user, what="device: user")
        return DeviceState(
            model=self.file.sha256,
            layout=self.file.layout,
            user=user,
            profile=profile_row(self.file, profile, what=f"device of user {user}"),
            history=np.asarray(history),
            num_older=num_older,
            values=self._first,
            times=interaction_times(times, count=np.size(history)),
        )

    def with_profile(
        self, state: DeviceState, profile: npt.ArrayLike | Mapping[str, Any]
    ) -> DeviceState:
        """The device with another profile; as for `begin`."""
        self.check(state)
        row = profile_row(self.file, profile, what=f"device of user {state.user}")
        return dataclasses.replace(state, profile=row)

    def adopt(self, state: DeviceState) -> DeviceState:
        """Takes over a device from another file: it keeps its weights, the optimiser starts anew.

        A downlink that belongs to another item table than this file's is dropped.

        Raises:
          DeviceError: when the other file has other weights, or another optimiser.
        """
        if state.layout != self.file.layout:
            raise DeviceError(
                f"device of user {state.user}: its weights are not laid out as those of "
                f"{self.file.name}: tier, variant, sizes or optimiser differ. Begin it anew."
            )
        weights = state.values[: self.file.sizes.weights]
        values = np.concatenate([weights, self._first[self.file.sizes.weights :]])
        downlink = state.downlink
        if downlink is not None and downlink.table_sha256 not in ("", self.file.table_sha256):
            downlink = None
        return dataclasses.replace(state, model=self.file.sha256, values=values, downlink=downlink)

    def adopt_start(self, state: DeviceState, start: StartFile) -> DeviceState:
        """A device that never trained with starting weights that did not come in its file.

        A file of `ecct export` holds its starting weights; newer ones can be fetched apart.

        Args:
          state: of the device.
          start: from the cloud.

        Raises:
          CodecError: when they are of another architecture; it names both fingerprints.
          DeviceError: when the device has trained, or its file does not train.
        """
        self.check(state)
        start.check(self.file.architecture, where=self.file.name)
        if state.round_number:
            raise DeviceError(
                f"device of user {state.user}: it has trained (rounds: {state.round_number}), "
                "which starting weights would undo; begin it anew if that is meant"
            )
        if not self.trainable:
            raise DeviceError(
                f"{self.file.name} does not train, so its weights are constants; export a file "
                "with the new starting weights"
            )
        begun = self.with_weights(state, start.weights)
        # They are the start now, whatever came before.
        return dataclasses.replace(begun, start=np.zeros(0, np.float32))

    def check(self, state: DeviceState) -> None:
        """Raises `DeviceError` when `state` is another file's."""
        if state.model != self.file.sha256:
            raise DeviceError(
                f"device of user {state.user}: its state belongs to the file with SHA-256 "
                f"{state.model}, {self.file.name} has {self.file.sha256}. Load that file, or let "
                "this one adopt the state."
            )

    def weights(self, state: DeviceState) -> Array:
        """`[P] float32`: what the device has learned so far."""
        self.check(state)
        found: Array = state.values[: self.file.sizes.weights]
        return found

    def with_weights(self, state: DeviceState, weights: npt.ArrayLike) -> DeviceState:
        """The state with other weights: all of them, or the shared ones at the front.

        Args:
          state: of the device.
          weights: `[P] float32` or `[P_shared] float32`.

        Raises:
          DeviceError: when they are of another length, not finite, or far too large, or the file
            does not train.
        """
        self.check(state)
        if not self.trainable:
            raise DeviceError(
                f"{self.file.name} does not train, so its weights are constants; export a file "
                "with the new ones"
            )
        given = finite_values(weights, what=f"device of user {state.user}: weights")
        if given.shape not in ((self.file.sizes.weights,), (self.shared_size,)):
            raise DeviceError(
                f"device of user {state.user}: expected {self.file.sizes.weights} weights, or the "
                f"{self.shared_size} shared ones, got the shape {given.shape}"
            )
        changed = dataclasses.replace(
            state,
            values=np.concatenate([given, state.values[len(given) :]]),
            start=self._guard.start(state),
        )
        # The file judges what is too large; a state that it refuses must not come to be.
        with self.alone():
            self._load(changed)
        return changed

    def served(self, state: DeviceState) -> DeviceState:
        """The state whose weights rank: the device's own, or the same with those of its start.

        A device serves with its start where its own weights rank its newest positions, which it
        never trained on, lower than its start does. It trains and answers with its own all the
        same. Files without a guard, and those that do not train, leave it as it is.

        Args:
          state: of the device.

        Raises:
          DeviceError: the starting weights are of another file.
        """
        with self.alone():
            return self._guard.served(state)

    def receive(self, state: DeviceState, downlink: ReceivedDownlink) -> DeviceState:
        """The state after a downlink.

        Raises:
          DeviceError: when the downlink is not of the file's form, belongs to another item
            table, or is older than the one that the device has.
        """
        self.check(state)
        if downlink.table_sha256 not in ("", self.file.table_sha256):
            raise DeviceError(
                f"this downlink belongs to item table {downlink.table_sha256[:16]}…, "
                f"{self.file.name} holds {self.file.table_sha256[:16]}…; fetch the file that was "
                "exported with the new table, and let it adopt the device"
            )
        sizes = self.file.sizes
        expected = ((sizes.cloud_dim,), sizes.codec)
        got = (downlink.user_embedding.shape, downlink.user_embedding.dtype.name)
        if got != expected or len(downlink.queries) not in (0, sizes.num_queries):
            raise DeviceError(
                f"downlink: expected a user embedding {expected[0]} {expected[1]} and "
                f"{sizes.num_queries} queries (or none), got {got[0]} {got[1]} and "
                f"{len(downlink.queries)}; cloud and {self.file.name} were built with different "
                "settings"
            )
        newest = state.downlink
        if newest is not None and downlink.is_older_than(newest):
            raise DeviceError(
                f"device of user {state.user}: this downlink is of round {downlink.round_number} "
                f"and version {downlink.cloud_version}, the device has one of round "
                f"{newest.round_number} and version {newest.cloud_version}; fetch what the cloud "
                "publishes now"
            )
        return dataclasses.replace(state, downlink=downlink)

    def score(
        self, state: DeviceState, candidates: npt.ArrayLike, *, now: float | None = None
    ) -> Array:
        """Logits of `candidates` for the user as of now, `[K] float32`; see `served`.

        Args:
          state: of the device.
          candidates: item ids.
          now: of the request, seconds since 1970, which a file with a clock reads; None leaves
            the clock silent.
        """
        items = item_rows(candidates, what="score: candidates")
        if not items.size:
            raise DeviceError("score: expected a list of item ids, got an empty one")
        given = {**self._now(state), **self._reading(state, now)}
        with self.alone():
            self._load(self.served(state))
            return self._scored(items, given)

    def _scored(self, items: npt.NDArray[Any], given: Arrays) -> Array:
        """Logits with the weights that are loaded, in as many calls as the file needs."""
        width = self.file.sizes.candidates or len(items)
        logits = [
            self._call(
                "score", {**given, "candidates": _filled(items[start : start + width], width)}
            )["logit"]
            for start in range(0, len(items), width)
        ]
        found: Array = np.concatenate(logits)[: len(items)]
        return found

    def _of_held_back(self, state: DeviceState, held: HeldBack) -> Array:
        self._load(state)
        user = self._user(state)
        logits = np.zeros(held.candidates.shape, np.float32)
        for place, (history, clock) in enumerate(zip(held.histories, held.clocks, strict=True)):
            timed = {"clock": clock} if self.file.features.clock else {}
            given = {"history": history, **user, **timed}
            logits[place] = self._scored(held.candidates[place], given)
        return logits

    def uplink(self, state: DeviceState, *, noise: npt.ArrayLike | None = None) -> bytes:
        """The encoded answer to the cloud's queries.

        Args:
          state: of the device.
          noise: `[Q, d_e + 1]`, standard normal, for a file with local noise; drawn when None.

        Raises:
          DeviceError: when the cloud has not asked anything.
        """
        self.check(state)
        if state.downlink is None or not len(state.downlink.queries):
            raise DeviceError(f"device of user {state.user}: {_WITHOUT_ANSWER}")
        given = {**self._now(state), "queries": state.downlink.queries}
        if self.file.sizes.with_noise:
            shape = (self.file.sizes.num_queries, self.file.sizes.embedding_dim + 1)
            # From the system's entropy: noise that could be repeated would protect nobody.
            drawn = np.random.default_rng().standard_normal(shape) if noise is None else noise
            given["noise"] = np.asarray(drawn, np.float32)
        with self.alone():
            self._load(state)
            answer = self._call("uplink", given)
        return pack_uplink(state.user, answer, self.file.sizes)

    def envelope(
        self, state: DeviceState, payload: bytes, *, created_at_seconds: int
    ) -> UplinkRecord:
        """An uplink as the cloud's log keeps it: with the round and version that it answers.

        Args:
          state: of the device.
          payload: from `uplink`.
          created_at_seconds: when, in whole seconds since 1970, UTC.
        """
        asked = state.downlink
        return UplinkRecord(
            user=state.user,
            round_number=0 if asked is None else asked.round_number,
            cloud_version=0 if asked is None else asked.cloud_version,
            created_at_seconds=created_at_seconds,
            form=uplink_form(self.file.sizes),
            payload=payload,
        )

    def begin_training(self, state: DeviceState) -> Arrays:
        """Loads `state` with a fresh optimiser; what belongs to the user in every batch.

        From here to `end_training` the model is its caller's: call both within `alone()`.
        """
        if not self.trainable:
            raise DeviceError(
                f"{self.file.name} does not train: it is of variant "
                f"{self.file.metadata['variant']['name']}; export a trainable one"
            )
        self._load(state)
        self._current = None
        self._call("reset_optimizer", _UNUSED)
        return self._user(state)

    def train_batch(self, batch: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """One step on what `begin_training` loaded."""
        return self._call("train", batch)

    def end_training(self, state: DeviceState) -> DeviceState:
        """The state with the weights that the steps led to."""
        values: Array = self._call("save", _UNUSED)["state"]
        return dataclasses.replace(
            state,
            values=values,
            round_number=state.round_number + 1,
            start=self._guard.start(state),
        )

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

    def _reading(self, state: DeviceState, now: float | None) -> Arrays:
        """What a file with a clock reads of the time of a request."""
        if not self.file.features.clock:
            return {}
        moment = 0 if now is None else whole_seconds(now, what="score: now")
        return {"clock": clock_reading(state.times, now=moment, config=self.file.features)}

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
