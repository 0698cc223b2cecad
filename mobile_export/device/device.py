"""A device in Python: an exported file, and a state that survives a kill.

It needs LiteRT and NumPy, no TensorFlow, and does what a phone does: it takes the cloud's
downlink, trains on its own interactions, ranks candidates and answers the cloud. One
loaded file (`DeviceModel`) serves any number of devices:

    model = DeviceModel(Path("export/edge-mlp-trainable-int4.tflite"))
    device = Device.create(Path("states/7.state"), model, user=7, history=[3, 1, 4])
    device.interact([1, 5], times=[time.time() - 60, time.time()])
    device.receive(ReceivedDownlink(user_embedding, queries, scale=scale))
    device.train(TrainingPlan())
    device.score([9, 2, 6])
    device.uplink()

Times, where they are known, stay in the state file; a model without a clock does not read them.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DeviceError
from ecct_tf.wire import StartFile
from ecct_tf.wire.item_rows import ItemRows
from mobile_export.device.given import item_rows, whole_number
from mobile_export.device.migration import Migration, WeightsChoice
from mobile_export.device.model import DeviceModel
from mobile_export.device.moments import Context
from mobile_export.device.personal import personal_data
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.device.state_file import StateFile
from mobile_export.device.times import (
    InteractionTimes,
    interaction_times,
    latest_time,
    whole_seconds,
)
from mobile_export.device.training import (
    TrainingPlan,
    TrainingReport,
    train_round,
    train_rounds,
)

__all__ = ["Device"]

_log = logging.getLogger(__name__)


class Device:
    """One device. Each method that changes its state leaves it on disk, whole, or as it was.

    Threads may share it. A second opener of its file, in this process or another, is refused when
    it would write over what the first one wrote.

    Attributes:
      path: of the state file.
      model: the model file.
      migration: what became of it where `adopt` opened it; None elsewhere.

    Args:
      path: of the state file.
      model: the model file, shared with other devices if wanted.
      clock: the device's own, seconds since 1970.

    Raises:
      DeviceError: when the state is missing, damaged, or another model file's.
    """

    def __init__(
        self, path: Path | str, model: DeviceModel, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self.model = model
        self._clock = clock
        self._file = StateFile(path)
        self.migration: Migration | None = None
        model.check(self._file.read())

    @classmethod
    def create(
        cls,
        path: Path | str,
        model: DeviceModel,
        *,
        user: int,
        history: npt.ArrayLike = (),
        profile: npt.ArrayLike | Mapping[str, Any] = (),
        num_older: int = 0,
        times: InteractionTimes = None,
        context: Context | None = None,
        start: StartFile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> "Device":
        """A new device; arguments as for `DeviceModel.begin`.

        It begins with the weights of the file, or with those of `start`, which the cloud sent.

        Raises:
          CodecError: the starting weights are of another architecture.
          DeviceError: when there is a state already, or a time or an id that cannot be.
        """
        known = interaction_times(times, count=np.size(history), latest=latest_time(clock()))
        state = model.begin(
            user=user,
            history=history,
            profile=profile,
            num_older=num_older,
            times=known,
            context=context,
        )
        if start is not None:
            state = model.adopt_start(state, start)
        StateFile(path).create(model.labelled(state))
        return cls(path, model, clock=clock)

    @classmethod
    def adopt(
        cls,
        path: Path | str,
        model: DeviceModel,
        *,
        profile: npt.ArrayLike | Mapping[str, Any] | None = None,
        weights: WeightsChoice = "keep",
        previous: DeviceModel | None = None,
        clock: Callable[[], float] = time.time,
    ) -> "Device":
        """Opens a device with a newer model file; `migration` then tells what became of it.

        Weights, history and profile stay as far as that is sound, by tokens, not by rows:
        `docs/migration.md` has the table. Arguments are those of `DeviceModel.adopt`.

        Raises:
          DeviceError: something cannot be carried over; the state stays as it was.
        """
        file = StateFile(path)
        adopted = model.adopt(file.read(), profile=profile, weights=weights, previous=previous)
        file.replace(adopted.state)
        told = adopted.migration
        if told.unknown or told.notes:
            _log.warning("%s: adopted by %s: %s", path, model.file.name, told)
        device = cls(path, model, clock=clock)
        device.migration = told
        return device

    def set_profile(self, profile: npt.ArrayLike | Mapping[str, Any]) -> None:
        """Replaces the private profile; as for `DeviceModel.begin`."""
        with self._file.lock:
            self._keep(self.model.with_profile(self.state, profile))

    def adopt_start(self, start: StartFile) -> None:
        """Begins with starting weights that the cloud sent; see `DeviceModel.adopt_start`."""
        with self._file.lock:
            self._keep(self.model.adopt_start(self.state, start))

    @property
    def clock(self) -> Callable[[], float]:
        """Its own, seconds since 1970."""
        return self._clock

    @property
    def state(self) -> DeviceState:
        """What it keeps."""
        return self._file.state

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """`[P] float32`."""
        return self.model.weights(self.state)

    @property
    def serves_start(self) -> bool:
        """Whether it ranks with the weights of its start; see `DeviceModel.served`."""
        return self.model.served(self.state) is not self.state

    @property
    def unknown_items(self) -> dict[str, int]:
        """How many interactions wait for a file that knows the item, by its token."""
        labels = self.state.labels
        return dict(Counter(each.token for each in labels.waiting)) if labels else {}

    def interact(
        self,
        items: npt.ArrayLike | Sequence[str],
        *,
        times: InteractionTimes = None,
        context: Context | None = None,
        rows: ItemRows | None = None,
    ) -> None:
        """Adds what the user did, oldest first.

        A model with a clock reads the times of the newest interactions. One that is unknown
        silences it until the interaction is no more among them.

        Args:
          items: row numbers, or tokens. One whose token the file does not know waits in the state,
            see `unknown_items`, and takes its place in the history once a file knows it.
          times: when each was, seconds since 1970, UTC; None where it is unknown.
          context: by column of the file, a value for each of `items`; None where it is unknown.
          rows: that came with the request in which the user met the items, see
            `DeviceModel.with_interactions`.

        Raises:
          DeviceError: a time is negative, no number, or over a day ahead of the device's clock, or
            the file has no such column of context.
        """
        latest = latest_time(self._clock())
        known = interaction_times(times, count=np.size(items), latest=latest)
        with self._file.lock:
            self._keep(
                self.model.with_interactions(
                    self.state, items, times=known, context=context, rows=rows
                )
            )

    def hold(self, rows: ItemRows) -> None:
        """Keeps the rows that the cloud chose for the device now; see `DeviceModel.hold`."""
        with self._file.lock:
            self._keep(self.model.hold(self.state, rows))

    def receive(
        self,
        downlink: ReceivedDownlink,
        *,
        shared_weights: npt.ArrayLike | None = None,
        rows: ItemRows | None = None,
    ) -> None:
        """Applies a downlink and, where a run shares weights, their new mean.

        Args:
          downlink: what the cloud sent.
          shared_weights: their new mean.
          rows: that the cloud chose in the same publication, where devices hold rows of items.

        Raises:
          DeviceError: when one of them does not fit the file, or the downlink was made for another
            user, or is older than the one that the device has.
        """
        with self._file.lock:
            self._keep(self._received(downlink, shared_weights, rows))

    def train(self, plan: TrainingPlan) -> TrainingReport:
        """One round on the device's own interactions."""
        with self._file.lock:
            state, report = train_round(self.model, self.state, plan)
            self._keep(state)
        return report

    def take_part(
        self,
        downlink: ReceivedDownlink,
        plan: TrainingPlan,
        *,
        shared_weights: npt.ArrayLike | None = None,
        rounds: int = 1,
        rows: ItemRows | None = None,
    ) -> tuple[TrainingReport, bytes]:
        """A whole round: downlink, training, answer. A kill leaves the device before it or after.

        Args:
          downlink: what the cloud sent; without queries the answer is empty.
          plan: how to train.
          shared_weights: where a run shares weights, their new mean.
          rounds: of local training between downlink and answer.
          rows: that the cloud chose, as for `receive`.

        Returns:
          What the training was, and the uplink.
        """
        with self._file.lock:
            state = self._received(downlink, shared_weights, rows)
            state, report = train_rounds(self.model, state, plan, rounds=rounds)
            answer = self.model.uplink(state) if len(downlink.queries) else b""
            self._keep(state)
        return report, answer

    def score(
        self,
        candidates: npt.ArrayLike,
        *,
        now: float | None = None,
        context: Context | None = None,
        rows: ItemRows | None = None,
    ) -> npt.NDArray[np.float32]:
        """Logits of `candidates`, `[K] float32`.

        Args:
          candidates: row numbers.
          now: of the request, seconds since 1970; None asks the device's clock.
          context: of the request, a value by column, where the file reads a context.
          rows: that came with the request, as for `DeviceModel.score`.

        Raises:
          DeviceError: `now` is negative, no number, or over a day ahead of the device's clock; or
            the device holds rows of items, and has none of a candidate.
        """
        moment = self._moment(now, what="score: now")
        return self.model.score(self.state, candidates, now=moment, context=context, rows=rows)

    def target_logits(
        self,
        candidates: npt.ArrayLike,
        *,
        now: float | None = None,
        context: Context | None = None,
        rows: ItemRows | None = None,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Logits of each further target, such as a like: `[K] float32` by its name.

        They are of the trained weights, even where the device ranks with those of its start, whose
        further heads are untrained. Arguments and errors are those of `score`.
        """
        moment = self._moment(now, what="target_logits: now")
        return self.model.target_logits(
            self.state, candidates, now=moment, context=context, rows=rows
        )

    def _moment(self, now: float | None, *, what: str) -> float:
        own = self._clock()
        return own if now is None else whole_seconds(now, what=what, latest=latest_time(own))

    def recommend(
        self,
        k: int = 10,
        *,
        candidates: npt.ArrayLike | None = None,
        with_met: bool = False,
        now: float | None = None,
        context: Context | None = None,
    ) -> list[tuple[int, float]]:
        """The best items for the user, best first; of equal ones the lower row number.

        Args:
          k: how many at most.
          candidates: row numbers to choose from, each once; None for all items of the file, or
            all that the device holds rows of.
          with_met: whether items that the user has met may be among them.
          now: of the request, as for `score`.
          context: of the request, as for `score`.

        Returns:
          Row numbers and their logits.

        Raises:
          DeviceError: `k` is no whole number above 0, or as for `score`.
        """
        if whole_number(k, what="recommend: k") < 1:
            raise DeviceError(f"recommend: expected k of 1 or more, got {k}; 10 is usual")
        state = self.state
        rows = self.model.known_items(state)
        if candidates is not None:
            rows = np.intersect1d(rows, item_rows(candidates, what="recommend: candidates"))
        if not with_met:
            rows = np.setdiff1d(rows, state.history)
        if not len(rows):
            return []
        logits = self.score(rows, now=now, context=context)
        best = np.argsort(-logits, kind="stable")[:k]
        return list(zip(rows[best].tolist(), logits[best].tolist(), strict=True))

    def export_personal_data(self) -> dict[str, Any]:
        """All that the device keeps of its user, as values of JSON; see `personal_data`."""
        return personal_data(self.state)

    def forget(self) -> None:
        """Removes the state from the disk: history, profile, weights, times and downlink.

        The device refuses everything afterwards; `Device.create` begins anew. Answers that wait lie
        in their own folder: `DeviceHome.forget` removes them, too, and the token. What has left
        the device in answers is the cloud's to forget (`ecct cloud erase`).

        Raises:
          DeviceError: another opener changed the state since it was read here.
        """
        with self._file.lock:
            self._file.remove()

    def uplink(self) -> bytes:
        """The encoded answer to the last downlink's queries."""
        return self.model.uplink(self.state)

    def _received(
        self, downlink: ReceivedDownlink, weights: npt.ArrayLike | None, rows: ItemRows | None
    ) -> DeviceState:
        state = self.model.receive(self.state, downlink)
        state = state if rows is None else self.model.hold(state, rows)
        return state if weights is None else self.model.with_weights(state, weights)

    def _keep(self, state: DeviceState) -> None:
        self._file.replace(self.model.labelled(state))
