"""A model file that serves any number of devices, whose states come and go."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CodecName
from ecct_tf.errors import DeviceError
from ecct_tf.wire import StartFile, UplinkRecord
from ecct_tf.wire.item_rows import ItemRows
from mobile_export.contract.wire import uplink_form
from mobile_export.device.given import finite_values, whole_number
from mobile_export.device.history import labelled, with_tokens
from mobile_export.device.labels import StateLabels
from mobile_export.device.migration import Adopted, WeightsChoice, adopt_state
from mobile_export.device.moments import Context, context_rows
from mobile_export.device.profile import profile_row, profile_texts
from mobile_export.device.received import check_downlink
from mobile_export.device.rows import begin_rows
from mobile_export.device.scorer import FileScorer
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.device.times import InteractionTimes, interaction_times
from mobile_export.runtime.interpreter import Runtime

__all__ = ["DeviceModel"]

Array = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]

_UNUSED = {"unused": np.zeros(1, np.float32)}


class DeviceModel(FileScorer):
    """Runs the signatures of one exported file for devices, whose states come and go.

    Its methods take a `DeviceState` and return what comes of it; a state is never changed.
    Threads may share it: it has one interpreter, and its calls run one after another.

    Attributes:
      file: what it runs.
      runtime: what runs it.
      codec: that it was told; None for any of the library's.

    Args:
      path: the file. Its hash is checked before it is loaded.
      runtime: `litert`, `litert-compiled` for its CompiledModel, or `tensorflow` for its
        interpreter.
      sha256: expected of the file; by default what the manifest beside it says.
      codec: through which this device exchanges. A file of a run with a custom `exchange.codec`
        needs its name here, for no file decides what a device imports; None takes whichever of the
        library's codecs the file names.

    Raises:
      ExportError: when the file is not what the manifest says, or the runtime is not
        installed or refuses it.
      DeviceError: the file exchanges through another codec; it names both.
      ConfigError: the custom codec cannot be imported, or has no NumPy form.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        runtime: Runtime = "litert",
        sha256: str | None = None,
        codec: CodecName | None = None,
    ) -> None:
        super().__init__(path, runtime=runtime, sha256=sha256, codec=codec)
        self._first: Array = np.zeros(0, np.float32)
        if self.trainable:
            self._first = self._call("save", _UNUSED)["state"]

    @property
    def num_items(self) -> int:
        """Items that the file knows, from 1."""
        return self.file.num_items

    def known_items(self, state: DeviceState) -> npt.NDArray[np.int32]:
        """`[n] int32`: the items that a device can rank by itself, ascending."""
        if self.file.room is None:
            return np.arange(1, self.num_items + 1, dtype=np.int32)
        return self._rows(state).items[1:]

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
        context: Context | None = None,
    ) -> DeviceState:
        """The state of a device that has just got the file: its weights, no downlink.

        Args:
          user: the id that the cloud knows the user by.
          history: items of the user's training part, oldest first.
          profile: values of the private columns by name, such as `{"age": 34}`, or the row of
            whole numbers that stand for them; 0 for unknown.
          num_older: how many of `history` the cloud knows too.
          times: when each of `history` was, seconds since 1970; None where it is unknown.
          context: by column of the file, a value for each of `history`; None where it is unknown.
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
            labels=StateLabels(self.file.meaning, texts=profile_texts(self.file, profile)),
            context=context_rows(context, count=np.size(history), values=self.file.kept_columns),
            context_values=self.file.kept_columns,
        )

    def with_interactions(
        self,
        state: DeviceState,
        items: npt.ArrayLike | Sequence[str],
        *,
        times: InteractionTimes = None,
        context: Context | None = None,
        rows: ItemRows | None = None,
    ) -> DeviceState:
        """The state after the user interacted with `items`, oldest first.

        Args:
          state: of the device.
          items: `[m]`, row numbers, or tokens. Interactions whose token the file does not know wait
            in the state until a file knows it.
          times: when each was, seconds since 1970; None where it is unknown.
          context: by column of the file, a value for each; None where it is unknown.
          rows: that came with the request in which the user met the items, for a file that takes
            rows; those of `items` are kept.

        Raises:
          DeviceError: the rows are of another item table.
        """
        self.check(state)
        after = self._after(state, items, times=times, context=context)
        if rows is None or self.file.room is None:
            return after
        kept = self._rows(state).with_touched(rows, history=after.history, room=self.file.room)
        return dataclasses.replace(after, rows=kept)

    def _after(
        self,
        state: DeviceState,
        items: npt.ArrayLike | Sequence[str],
        *,
        times: InteractionTimes,
        context: Context | None,
    ) -> DeviceState:
        listed = list(items) if isinstance(items, Sequence) and not isinstance(items, str) else []
        if not listed or not all(isinstance(item, str) for item in listed):
            return state.with_interactions(items, times=times, context=context)
        return with_tokens(state, self.file, listed, times=times, context=context)

    def hold(self, state: DeviceState, rows: ItemRows) -> DeviceState:
        """The device with the rows that the cloud chose for it now, shared ones among them.

        They take the place of those that it chose before. What the user touched stays, as long as
        the item table is the same and there is room.

        Args:
          state: of the device.
          rows: `shared.rows.joined(own.of(user))` of the two files of a publication.

        Raises:
          DeviceError: the file holds the whole item table, they are of another table or row, or
            more than the file has room for.
        """
        self.check(state)
        room, sizes = self.file.room, self.file.sizes
        if room is None:
            raise DeviceError(
                f"{self.file.name} holds the whole item table, expected a file of a run with "
                "exchange.items=candidates where rows of items are given"
            )
        if rows.table_sha256 != self.file.table_sha256 or rows.row_bytes + 4 != sizes.row_bytes:
            raise DeviceError(
                f"rows of items: {self.file.name} takes {sizes.row_bytes - 4} B of item table "
                f"{self.file.table_sha256[:16]}…, got {rows.row_bytes} B of "
                f"{rows.table_sha256[:16]}…; fetch the file that was exported with the new table, "
                "and let it adopt the device"
            )
        own = state.rows
        held = begin_rows(rows, room=room)
        if own is not None:
            held = own.with_chosen(rows, history=state.history, room=room)
        return dataclasses.replace(state, rows=held)

    def labelled(self, state: DeviceState) -> DeviceState:
        """The state with labels that tell the next file what its rows mean."""
        self.check(state)
        return labelled(state, self.file)

    def with_profile(
        self, state: DeviceState, profile: npt.ArrayLike | Mapping[str, Any]
    ) -> DeviceState:
        """The device with another profile; as for `begin`."""
        self.check(state)
        row = profile_row(self.file, profile, what=f"device of user {state.user}")
        known = labelled(state, self.file).labels or StateLabels(self.file.meaning)
        labels = dataclasses.replace(known, texts=profile_texts(self.file, profile))
        return dataclasses.replace(state, profile=row, labels=labels)

    def adopt(
        self,
        state: DeviceState,
        *,
        profile: npt.ArrayLike | Mapping[str, Any] | None = None,
        weights: WeightsChoice = "keep",
        previous: "DeviceModel | None" = None,
    ) -> Adopted:
        """Takes over a device from another file; see `docs/migration.md` for what is kept.

        Args:
          state: of the other file.
          profile: given anew, as for `begin`; a file that reads a column otherwise may need it.
          weights: `keep` what was learned, or begin `anew` with those of this file.
          previous: runs the other file; needed for states of earlier releases alone.

        Raises:
          DeviceError: something cannot be carried over; it tells the reason and the way out.
        """
        former = None if previous is None else previous.file
        return adopt_state(
            state, self.file, self._first, profile=profile, weights=weights, previous=former
        )

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

    def receive(self, state: DeviceState, downlink: ReceivedDownlink) -> DeviceState:
        """The state after a downlink.

        Raises:
          DeviceError: when the downlink was made for another user, is not of the file's form,
            belongs to another item table, or is older than the one that the device has.
        """
        self.check(state)
        check_downlink(state, downlink, self.file)
        return dataclasses.replace(state, downlink=downlink)

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
