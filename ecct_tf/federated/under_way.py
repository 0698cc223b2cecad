"""What devices have sent and what has not arrived: answers, uplinks, changes of shared weights.

Everything here is part of a run's state, in arrays: a checkpoint holds it, and nothing is lost.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.knowledge import Uplink

if TYPE_CHECKING:
    from ecct_tf.federated.cohort import Cohort

__all__ = ["Answers", "SentUplinks", "arriving", "checked_delays", "rows_of", "sent_uplinks"]

Ids = npt.NDArray[np.int64]


class Answers(NamedTuple):
    """Answers of devices, by device: one is all that a device sends at the end of a round.

    Attributes:
      devices: `[k] int64`, who sent them.
      sent: `[k] int64`, the rounds in which they were sent.
      arrives: `[k] int64`, the rounds in which they arrive.
    """

    devices: Ids
    sent: Ids
    arrives: Ids

    @classmethod
    def none(cls) -> "Answers":
        """No answer."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing)

    def with_round(self, devices: Ids, *, round_number: int, delays: Ids) -> "Answers":
        """These, and those that `devices` send in a round.

        Args:
          devices: `[a]`.
          round_number: rounds done before it.
          delays: `[a]`, rounds until each arrives.
        """
        sent = np.full(len(devices), round_number, np.int64)
        added = (devices, sent, round_number + delays)
        return Answers(*(np.concatenate(pair) for pair in zip(self, added, strict=True)))

    def split(self, round_number: int) -> tuple["Answers", "Answers"]:
        """Those that have arrived by the end of a round, and those that are still under way."""
        here = self.arrives <= round_number
        return Answers(*(part[here] for part in self)), Answers(*(part[~here] for part in self))

    def mean_age(self, round_number: int) -> float:
        """Mean rounds since they were sent; NaN where there is none.

        >>> Answers.none().mean_age(3)
        nan
        """
        return float((round_number - self.sent).mean()) if len(self.sent) else math.nan


@dataclasses.dataclass(frozen=True)
class SentUplinks:
    """Uplinks that a cohort's devices sent in one round and that have not arrived.

    Attributes:
      cohort: its place in the process.
      round_number: in which they were sent, rounds done before it.
      uplink: as encoded, one row a user.
      arrives: `[n] int64`, the round in which each row arrives.
    """

    cohort: int
    round_number: int
    uplink: Uplink
    arrives: Ids

    def rows(self, chosen: npt.NDArray[np.bool_]) -> "SentUplinks":
        """Some of the rows."""
        return dataclasses.replace(
            self, uplink=rows_of(self.uplink, chosen), arrives=self.arrives[chosen]
        )

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it by name, for a checkpoint."""
        uplink = self.uplink
        parts = {"embeddings": uplink.embeddings, "logits": uplink.logits}
        encoded = {
            f"{name}/{place}": np.asarray(part)
            for name, found in parts.items()
            for place, part in enumerate(found)
        }
        where = np.array([self.cohort, self.round_number], np.int64)
        users, items = np.asarray(uplink.users), np.asarray(uplink.items)
        return {"where": where, "users": users, "items": items, "arrives": self.arrives, **encoded}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "SentUplinks":
        """What `to_arrays` was given."""

        def encoded(name: str) -> tuple[npt.NDArray[Any], ...]:
            count = sum(key.startswith(f"{name}/") for key in arrays)
            return tuple(arrays[f"{name}/{place}"] for place in range(count))

        cohort, round_number = (int(number) for number in arrays["where"])
        uplink = Uplink(arrays["users"], arrays["items"], encoded("embeddings"), encoded("logits"))
        return cls(cohort, round_number, uplink, arrays["arrives"])


def rows_of(uplink: Uplink, chosen: npt.NDArray[np.bool_]) -> Uplink:
    """Some of the rows of an encoded uplink."""
    return Uplink(
        uplink.users[chosen],
        uplink.items[chosen],
        tuple(part[chosen] for part in uplink.embeddings),
        tuple(part[chosen] for part in uplink.logits),
    )


def checked_delays(delays: Ids | None, answering: Ids, *, asynchronous: bool) -> Ids:
    """`[a] int64`, the delays of the answering devices; None stands for none.

    Raises:
      ConfigError: there are others than one for each device, or answers may not be late.
    """
    if delays is None:
        return np.zeros(len(answering), np.int64)
    if delays.shape != answering.shape or (delays < 0).any():
        raise ConfigError(
            f"delays: expected a number of rounds for each of the {len(answering)} answering "
            f"devices, got {delays.tolist()[:20]}"
        )
    if delays.any() and not asynchronous:
        raise ConfigError(
            "delays: expected none, since the method was built for answers of the same round; set "
            "participation.delay.max_rounds"
        )
    return delays


def sent_uplinks(
    index: int,
    cohort: "Cohort",
    uplink: Uplink,
    round_number: int,
    *,
    answering: Ids,
    delays: Ids,
) -> SentUplinks:
    """The uplinks of a cohort's round, with the round in which each arrives.

    Raises:
      CodecError: they are of others than the users of the devices that answered.
    """
    members_here = cohort.members(answering)
    later = np.zeros(len(cohort), np.int64)
    later[members_here] = delays[cohort.holds(answering)]
    known = cohort.devices.outlines
    # Of those who answer alone, of whom there are few beside the population.
    first = np.searchsorted(known.owners, members_here, side="left")
    last = np.searchsorted(known.owners, members_here, side="right")
    here = _ranges(first, last)
    here = here[np.argsort(known.users[here], kind="stable")]
    places = here[np.searchsorted(known.users[here], uplink.users).clip(max=len(here) - 1)]
    if not np.array_equal(known.users[places], uplink.users):
        raise CodecError(
            f"uplinks of round {round_number + 1}: expected users of the devices that answered, "
            f"got {np.setdiff1d(uplink.users, known.users[here])[:20].tolist()}"
        )
    arrives = round_number + later[known.owners[places]]
    return SentUplinks(index, round_number, uplink, arrives)


def _ranges(first: Ids, last: Ids) -> Ids:
    """The numbers from each of `first` up to, and without, that of `last`.

    >>> _ranges(np.array([4, 9]), np.array([6, 10])).tolist()
    [4, 5, 9]
    """
    counts = last - first
    return np.arange(counts.sum()) + np.repeat(last - np.cumsum(counts), counts)


def arriving(
    sent: Sequence[SentUplinks], *, round_number: int
) -> tuple[list[SentUplinks], list[SentUplinks]]:
    """What has arrived by the end of a round, the oldest first, and what is still under way."""
    here, still = [], []
    for each in sorted(sent, key=lambda found: (found.round_number, found.cohort)):
        arrived = each.arrives <= round_number
        if arrived.any():
            here.append(each if arrived.all() else each.rows(arrived))
        if not arrived.all():
            still.append(each.rows(~arrived) if arrived.any() else each)
    return here, still
