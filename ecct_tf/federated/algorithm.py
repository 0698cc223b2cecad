"""What every way of learning offers a run: ECCT, its baselines, and models in closed form.

An algorithm is a value of pure functions over a state that it alone understands. A run
needs no more of it than this: start, do a round, score candidates, and turn the state
into arrays and back, so that a checkpoint holds it whole.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from ecct_tf.data import Candidates

if TYPE_CHECKING:
    from ecct_tf.federated.item_rows import Asked
    from ecct_tf.knowledge import Uplink

__all__ = ["Algorithm", "Arrays", "GuardedAlgorithm", "Ids", "RoundReport", "mean_loss"]

Ids = npt.NDArray[np.int64]
# Each an array, or `TouchedRows`, which checkpoints store as such.
Arrays = Mapping[str, Any]

StateT = TypeVar("StateT")


@dataclasses.dataclass(frozen=True)
class RoundReport:
    """Measurements of one round; bytes are of payloads as encoded.

    Attributes:
      stage: of the exchange: 1 (embeddings), 2 (embeddings and logits), 0 without one.
      devices: devices that answered.
      train_loss: mean local loss over their samples; NaN where nothing was measured: nobody
        answered, nobody had samples, or nothing was trained. See `mean_loss`.
      target_losses: mean of each further target's own loss over the same samples, before its weight
        in the loss; NaN as for `train_loss`.
      downlink_bytes: knowledge and queries, cloud to devices.
      uplink_bytes: embeddings and logits, devices to cloud.
      weights_bytes: shared weights, both directions.
      weights_up_bytes: those of them that devices sent.
      item_table_bytes: item tables and starting weights, to devices that had none yet.
      sums_bytes: what devices told of items in sums before the first round, counted in it.
      cloud: what the cloud measured while learning.
      witnessed: what a witness of the round measured.
      aggregated: what a custom aggregator measured, by name; NaN where nobody answered.
      uplinks: what reached the cloud, as it was encoded, by cohort, each with the round in which
        it was sent, rounds done before it.
      sums: what reached the cloud where only sums over devices do, by cohort, with what it asked.
      arrived: answers of devices that arrived, of this round or an earlier one.
      under_way: answers that have been sent and have not arrived.
      refused: uplinks that answered for other items than the cloud asked about.
      silent: users of answering devices who sent no uplink (`exchange.speak_above`).
      mean_age: mean rounds that those which arrived were under way; NaN where none did.
    """

    stage: int
    devices: int
    train_loss: float
    downlink_bytes: int = 0
    uplink_bytes: int = 0
    weights_bytes: int = 0
    item_table_bytes: int = 0
    sums_bytes: int = 0
    cloud: Mapping[str, float] = dataclasses.field(default_factory=dict)
    witnessed: Mapping[str, float] = dataclasses.field(default_factory=dict)
    aggregated: Mapping[str, float] = dataclasses.field(default_factory=dict)
    # Arrays have no single truth: reports are compared without them.
    uplinks: "Sequence[tuple[int, Uplink]]" = dataclasses.field(
        default=(), repr=False, compare=False
    )
    sums: "Sequence[Asked]" = dataclasses.field(default=(), repr=False, compare=False)
    arrived: int = 0
    under_way: int = 0
    mean_age: float = math.nan
    refused: int = 0
    silent: int = 0
    weights_up_bytes: int = 0
    target_losses: Mapping[str, float] = dataclasses.field(default_factory=dict)


def mean_loss(total: float, samples: float) -> float:
    """A sum of losses over the samples behind it; NaN without samples, which is not zero loss.

    >>> mean_loss(3.0, 2.0), mean_loss(0.0, 0.0)
    (1.5, nan)
    """
    return total / samples if samples else math.nan


class Algorithm(Protocol[StateT]):
    """One way of learning, over the devices and the data it was built for."""

    @property
    def rounds(self) -> int:
        """Rounds of a whole run; 0 for a model in closed form."""
        ...

    @property
    def num_devices(self) -> int:
        """Devices that can take part in a round."""
        ...

    def initialize(self) -> StateT:
        """The state before the first round, a function of the run's seed."""
        ...

    def next(
        self,
        state: StateT,
        *,
        round_number: int,
        participants: Ids,
        answering: Ids,
        delays: Ids | None = None,
    ) -> tuple[StateT, RoundReport]:
        """One round.

        Args:
          state: before it; not changed.
          round_number: rounds done before this one.
          participants: numbers of the devices that start the round.
          answering: those of them that finish it.
          delays: rounds until the answer of each of these arrives; None for none.
        """
        ...

    def scores(
        self, state: StateT, candidates: Candidates
    ) -> Mapping[str, npt.NDArray[np.float32]]:
        """Scores `[rows, 1 + negatives]` of each side's model, by side.

        Sides are `edge` (scored on the devices), `cloud` (scored in the cloud) and
        `everything` (a model that sees all raw data in one place). Histories reach up to
        the tested interaction, also where the model was trained on less.
        """
        ...

    def to_arrays(self, state: StateT) -> Arrays:
        """All that `from_arrays` needs, by name; names may contain `/`."""
        ...

    def from_arrays(self, arrays: Arrays) -> StateT:
        """The state that `to_arrays` was given; going on from it repeats the run bit by bit."""
        ...


@runtime_checkable
class GuardedAlgorithm(Protocol):
    """An algorithm whose devices may serve with the weights that they started with."""

    def at_start(self, state: Any, candidates: Candidates) -> float | None:
        """Share of the tested interactions that are; None where no device has a guard."""
        ...
