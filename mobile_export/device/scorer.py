"""What a file says for a device: which weights rank, logits of candidates, answers to the cloud."""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CodecName
from ecct_tf.errors import DeviceError
from ecct_tf.wire.item_rows import ItemRows
from mobile_export.contract.wire import pack_uplink
from mobile_export.device.given import item_rows
from mobile_export.device.guard import DeviceGuard, HeldBack
from mobile_export.device.moments import Context
from mobile_export.device.runner import FileRunner
from mobile_export.device.state import DeviceState
from mobile_export.runtime.interpreter import Runtime

__all__ = ["FileScorer"]

Array = npt.NDArray[np.float32]

_WITHOUT_ANSWER = "expected queries to answer; apply a downlink that has some first"


class FileScorer(FileRunner):
    """Runs what does not change a device; attributes and errors are those of `DeviceModel`."""

    def __init__(
        self,
        path: Path | str,
        *,
        runtime: Runtime = "litert",
        sha256: str | None = None,
        codec: CodecName | None = None,
    ) -> None:
        super().__init__(path, runtime=runtime, sha256=sha256, codec=codec)
        self._guard = DeviceGuard(self.file, self._of_held_back)

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
            usable = self.usable(state)
            found = self._guard.served(usable)
        return state if found is usable else dataclasses.replace(state, values=found.values)

    def score(
        self,
        state: DeviceState,
        candidates: npt.ArrayLike,
        *,
        now: float | None = None,
        context: Context | None = None,
        rows: ItemRows | None = None,
    ) -> Array:
        """Logits of `candidates` for the user as of now, `[K] float32`; see `served`.

        Args:
          state: of the device.
          candidates: item ids.
          now: of the request, seconds since 1970, which a file with a clock reads; None leaves
            the clock silent.
          context: of the request, a value by column, which a file with a context reads; what is
            missing is unknown.
          rows: that came with the request, for a file that takes rows; the device need not have
            those. They are not kept, see `with_interactions`.

        Raises:
          DeviceError: there are no candidates, or the device has no row of one.
        """
        items = item_rows(candidates, what="score: candidates")
        if not items.size:
            raise DeviceError("score: expected a list of item ids, got an empty one")
        with self.alone():
            state = self.usable(state)
            given = {**self._now(state), **self._reading(state, now, context)}
            self._load(self._guard.served(state))
            parts = [
                self._scored(some, {**given, **held})
                for some, held in self._requested(state, items, rows)
            ]
        return np.concatenate(parts)

    def target_logits(
        self,
        state: DeviceState,
        candidates: npt.ArrayLike,
        *,
        now: float | None = None,
        context: Context | None = None,
        rows: ItemRows | None = None,
    ) -> dict[str, Array]:
        """Logits of each further target, `[K] float32` by its name, with the trained weights.

        Raises:
          DeviceError: the file has no further targets, or as for `score`.
        """
        names, items = self.file.sizes.targets, item_rows(candidates, what="candidates")
        if not names or not items.size:
            missing = "item ids" if names else "a file of a run with samples.targets"
            raise DeviceError(f"target_logits: expected {missing}, got none")
        with self.alone():
            state = self.usable(state)
            given = {**self._now(state), **self._reading(state, now, context)}
            self._load(state)
            parts = [
                self._scored(some, {**given, **held}, output="target_logits")
                for some, held in self._requested(state, items, rows)
            ]
        return dict(zip(names, np.concatenate(parts).T, strict=True))

    def _of_held_back(self, state: DeviceState, held: HeldBack) -> Array:
        self._load(state)
        user = self._user(state)
        logits = np.zeros(held.candidates.shape, np.float32)
        for place, (history, clock) in enumerate(zip(held.histories, held.clocks, strict=True)):
            timed = {"clock": clock} if self.file.features.clock_width else {}
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
        if self.file.room is not None:
            self._check_queries(state, state.downlink.queries)
        given = {**self._now(self.usable(state)), "queries": state.downlink.queries}
        if self.file.sizes.with_noise:
            shape = (self.file.sizes.num_queries, self.file.sizes.embedding_dim + 1)
            # From the system's entropy: noise that could be repeated would protect nobody.
            drawn = np.random.default_rng().standard_normal(shape) if noise is None else noise
            given["noise"] = np.asarray(drawn, np.float32)
        with self.alone():
            self._load(state)
            answer = self._call("uplink", given)
        return pack_uplink(state.user, answer, self.file.sizes)

    def _check_queries(self, state: DeviceState, queries: npt.NDArray[np.int32]) -> None:
        missing = int((~np.isin(queries, self._rows(state).items)).sum())
        if missing:
            raise DeviceError(
                f"device of user {state.user}: the cloud asks about {len(queries)} items, the "
                f"device has no row of {missing}; expected those of the publication that asks "
                "(Device.receive takes them as rows=…)"
            )
